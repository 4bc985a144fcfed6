"""Damaged folders are refused with one sentence, old ones are read."""

import json
import sys

import jax
import numpy as np
import pytest
from bert_folders import TEXTS, VOCABULARY, config, write_folder
from safetensors.numpy import load_file, save_file

from deepecg_jax.errors import UserError
from deepecg_jax.labelling.bert import huggingface
from deepecg_jax.labelling.bert.classifier import ReportClassifier, published_thresholds
from deepecg_jax.labelling.bert.tokenizer import train_tokenizer
from deepecg_jax.labels.findings import FINDINGS

pytest.importorskip("tokenizers")
POOLER = "bert.pooler.dense.weight"


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "model")


def edit_weights(folder, change):
    state = load_file(folder / "model.safetensors")
    change(state)
    save_file(state, folder / "model.safetensors", {"format": "pt"})


def edit_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def unfinished(state):
    state["classifier.weight"][0, 0] = np.nan


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: (f / "config.json").unlink(), "config.json does not exist"),
        (lambda f: (f / "config.json").write_text("{"), "is no JSON"),
        (lambda f: (f / "model.safetensors").unlink(), "neither model.safetensors nor pytorch"),
        (lambda f: cut(f / "model.safetensors"), "not a complete safetensors file"),
        (lambda f: edit_weights(f, lambda s: s.pop(POOLER)), f"missing {POOLER} (32, 32)"),
        (lambda f: edit_weights(f, lambda s: s.update(more=s[POOLER])), "extra more (32, 32)"),
        (lambda f: edit_config(f, intermediate_size=64), "(48, 32), expected (64, 32)"),
        (lambda f: edit_config(f, num_hidden_layers=3), "bert.encoder.layer.2"),
        (lambda f: edit_weights(f, unfinished), "NaN or infinity in: classifier.kernel"),
        (lambda f: [(f / n).unlink() for n in ("tokenizer.json", "vocab.txt")], "no tokenizer"),
        (lambda f: (f / "tokenizer.json").write_text("{}"), "not a tokenizer that can be read"),
        (
            lambda f: (f / "thresholds.json").write_text("[]"),
            "must hold a JSON object; write finding -> number",
        ),
        (lambda f: (f / "thresholds.json").write_text('{"PVC": 1}'), "no threshold for 'Afib'"),
        (lambda f: (f / "thresholds.json").unlink(), "give --thresholds FILE.json"),
    ],
)
def test_damage_is_one_sentence(folder, damage, words):
    damage(folder)
    with pytest.raises(UserError) as caught:
        ReportClassifier.load(folder)
    text = str(caught.value)
    assert words in text and "model" in text and "\n" not in text


def test_all_wrong_tensors_are_named(folder):
    def change(state):
        del state["classifier.bias"], state["bert.embeddings.LayerNorm.weight"]
        state["bert.pooler.dense.bias"] = np.zeros(5, np.float32)
        state["cls.extra"] = np.zeros(2, np.float32)

    edit_weights(folder, change)
    with pytest.raises(UserError) as caught:
        huggingface.load(folder)
    wrong = [
        "missing classifier.bias (3,)",
        "missing bert.embeddings.LayerNorm.weight (32,)",
        "bert.pooler.dense.bias is (5,), expected (32,)",
        "extra cls.extra (2,)",
    ]
    assert [words for words in wrong if words not in str(caught.value)] == []


def test_a_tokenizer_of_another_model(folder):
    edit_config(folder, vocab_size=len(VOCABULARY) - 1)
    with pytest.raises(UserError, match=f"has {len(VOCABULARY)} tokens, but the model only"):
        huggingface.read_folder_tokenizer(folder, huggingface.read_config(folder))


def test_a_tokenizer_without_cls_and_sep(folder):
    values = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    (folder / "tokenizer.json").write_text(json.dumps(values | {"post_processor": None}))
    with pytest.raises(UserError, match=r"does not put \[CLS\] and \[SEP\]"):
        huggingface.load(folder)


@pytest.mark.parametrize(("text", "words"), [("[PAD]\n[UNK]\n", "[CLS]"), ("a\na\n", "'a' twice")])
def test_a_vocabulary_that_is_none(folder, text, words):
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text(text)
    with pytest.raises(UserError) as caught:
        huggingface.load(folder)
    assert words in str(caught.value)


def test_without_the_library(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(UserError, match=r"pip install 'deepecg_jax\[bert\]'"):
        huggingface.load(folder)


def test_old_names_and_constants(folder):
    new = huggingface.load(folder).params

    def age(state):
        for name in [name for name in state if "LayerNorm" in name]:
            old = name.replace(".weight", ".gamma").replace(".bias", ".beta")
            state[old] = state.pop(name)
        state["bert.embeddings.position_ids"] = np.arange(512)[None]

    edit_weights(folder, age)
    assert "bert.embeddings.LayerNorm.gamma" in load_file(folder / "model.safetensors")
    same = jax.tree.map(np.array_equal, huggingface.load(folder).params, new)
    assert all(jax.tree.leaves(same))


def test_half_precision_weights_are_widened(folder):
    state = load_file(folder / "model.safetensors")
    halves = {name: value.astype(np.float16) for name, value in state.items()}
    save_file(halves, folder / "model.safetensors")
    kernel = huggingface.load(folder).params["pooler"]["kernel"]
    assert kernel.dtype == np.float32
    np.testing.assert_array_equal(kernel.T, halves[POOLER].astype(np.float32))


def test_pytorch_file_and_a_pickle_that_runs_code(folder):
    torch = pytest.importorskip("torch")
    expected = huggingface.load(folder).params["pooler"]["kernel"]
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    path = folder / "pytorch_model.bin"
    torch.save({name: torch.tensor(value) for name, value in state.items()}, path)
    np.testing.assert_array_equal(huggingface.load(folder).params["pooler"]["kernel"], expected)
    torch.save({"a": print}, path)
    with pytest.raises(UserError, match="could run code when loaded"):
        huggingface.load(folder)


@pytest.mark.parametrize("kind", ["bare", "masked_language_model"])
def test_encoder_of_other_folders(folder, kind):
    own = huggingface.load(folder)

    def change(state):
        for name in list(state):
            if name.startswith("classifier") or (kind != "bare" and "pooler" in name):
                del state[name]
        if kind == "bare":
            for name in list(state):
                state[name.removeprefix("bert.")] = state.pop(name)
        else:
            state["cls.predictions.bias"] = np.zeros(3, np.float32)

    edit_weights(folder, change)
    other = config(labels=("a", "b"))
    params, fresh = huggingface.load_encoder(folder, other)
    assert fresh == (["classifier"] if kind == "bare" else ["classifier", "pooler"])
    assert set(params) == {"embeddings", "encoder", "pooler"} - set(fresh)
    np.testing.assert_array_equal(params["embeddings"]["word"], own.params["embeddings"]["word"])


def test_nameless_outputs_are_the_77_findings_with_published_thresholds(tmp_path):
    own = config(labels=tuple(f"LABEL_{i}" for i in range(77)))
    folder = write_folder(tmp_path / "model", own)
    (folder / "thresholds.json").unlink()
    classifier = ReportClassifier.load(folder)
    assert classifier.labels == FINDINGS
    assert classifier.thresholds[:3].tolist() == [0.43, 0.48, 0.51]
    scores = np.full((1, 77), 0.43, np.float32)  # a score at the threshold is positive
    assert classifier.positive(scores)[0, 0] and not classifier.positive(scores)[0, 1]


@pytest.mark.real
def test_published_thresholds(shared):
    import pandas as pd

    table = pd.read_csv(shared / "reference" / "labels77.csv")
    expected = dict(zip(table["label"], table["bert_threshold"], strict=True))
    assert published_thresholds() == expected and tuple(expected) == FINDINGS


def test_trained_vocabulary(tmp_path):
    texts = TEXTS[:3] * 3
    first, again = (train_tokenizer(texts, 110) for _ in range(2))
    assert first.size <= 110 and first.pad_id == 0
    assert max(len(own) for own in first.encode(TEXTS[:3])) < len(TEXTS[0]) - 3  # pieces of words
    assert [x.tolist() for x in first.encode(TEXTS)] == [x.tolist() for x in again.encode(TEXTS)]
    first.save(tmp_path)
    assert len((tmp_path / "vocab.txt").read_text(encoding="utf-8").splitlines()) == first.size
    with pytest.raises(UserError, match="different characters"):
        train_tokenizer(texts, 50)
