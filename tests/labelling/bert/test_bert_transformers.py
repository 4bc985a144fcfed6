"""Classifier and tokenizer against `transformers`."""

import jax.numpy as jnp
import numpy as np
import pytest
from bert_folders import TEXTS, VOCABULARY, config, need_transformers, random_params, tokenizer
from flax import nnx

from deepecg_jax.labelling.bert import huggingface
from deepecg_jax.labelling.bert.model import BertClassifier
from deepecg_jax.labelling.bert.scorer import BertScorer
from deepecg_jax.labelling.bert.tokenizer import read_tokenizer
from deepecg_jax.training.state import split_model

pytest.importorskip("tokenizers")

SHAPES = [
    {},
    {"hidden_act": "gelu_new", "layer_norm_eps": 1e-5, "type_vocab_size": 1, "pad_token_id": None},
    {
        "hidden_act": "relu",
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "max_position_embeddings": 40,
        "classifier_dropout": 0.3,
        "labels": tuple(f"LABEL_{i}" for i in range(77)),
    },
]


def oracle_logits(model, ids, mask, **inputs):
    import torch

    with torch.no_grad():
        tensors = {name: torch.tensor(value) for name, value in inputs.items()}
        output = model(input_ids=torch.tensor(ids), attention_mask=torch.tensor(mask), **tensors)
    return output.logits.numpy()


@pytest.mark.slow
@pytest.mark.parametrize("changes", SHAPES)
def test_logits_of_a_folder_written_by_transformers(tmp_path, changes):
    transformers = need_transformers()
    import torch

    own = config(**changes)
    torch.manual_seed(0)
    values = {k: v for k, v in own.to_json().items() if k not in ("architectures", "torch_dtype")}
    model = transformers.BertForSequenceClassification(transformers.BertConfig(**values)).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # norms and biases are 1 and 0 when made
            parameter.add_(0.2 * torch.randn_like(parameter))
    model.save_pretrained(tmp_path)
    tokenizer(tmp_path)

    loaded = huggingface.load(tmp_path)
    assert loaded.config.labels == own.labels and loaded.config.hidden_act == own.hidden_act
    rng = np.random.default_rng(1)
    n = min(40, own.max_position_embeddings)
    ids = rng.integers(5, own.vocab_size, (6, n))
    mask = np.arange(n)[None] < np.array([n, 2, 9, n, 1, 17])[:, None]
    types = rng.integers(0, own.type_vocab_size, (6, n))
    expected = oracle_logits(model, ids, mask, token_type_ids=types)
    graph, _ = split_model(BertClassifier(own, jnp.array([0, 0], jnp.uint32)))
    logits = nnx.merge(graph, loaded.params)(
        jnp.asarray(ids), jnp.asarray(mask), token_types=jnp.asarray(types)
    )
    assert np.abs(expected).max() > 0.5
    np.testing.assert_allclose(logits, expected, atol=1e-5, rtol=0)


def test_folder_written_here_and_read_by_transformers(tmp_path):
    transformers = need_transformers()
    own = config()
    params = random_params(own)
    huggingface.save(tmp_path, own, params, tokenizer(tmp_path), dict.fromkeys(own.labels, 0.5))
    model = transformers.BertForSequenceClassification.from_pretrained(tmp_path).eval()
    assert [model.config.id2label[i] for i in range(3)] == list(own.labels)
    encode = transformers.AutoTokenizer.from_pretrained(tmp_path)
    batch = encode(TEXTS, padding=True, truncation=True, max_length=512, return_tensors="np")
    expected = 1 / (1 + np.exp(-oracle_logits(model, batch["input_ids"], batch["attention_mask"])))
    loaded = huggingface.load(tmp_path)
    scorer = BertScorer(own)
    found = scorer(scorer.place(loaded.params), loaded.tokenizer.encode(TEXTS))
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"do_lower_case": False},
        {"do_lower_case": True, "strip_accents": False, "tokenize_chinese_chars": False},
        {"do_lower_case": False, "strip_accents": True, "model_max_length": 100},
    ],
)
def test_tokens(tmp_path, settings):
    transformers = need_transformers()
    ours = tokenizer(tmp_path, **settings)
    theirs = transformers.BertTokenizer.from_pretrained(tmp_path)
    expected = theirs(TEXTS, truncation=True, max_length=ours.max_length)["input_ids"]
    assert [one.tolist() for one in ours.encode(TEXTS)] == expected
    assert max(len(one) for one in expected) == settings.get("model_max_length", 512)
    # the same through tokenizer.json
    ours.save(tmp_path)
    (tmp_path / "vocab.txt").unlink()
    again = read_tokenizer(tmp_path, len(VOCABULARY))
    assert [one.tolist() for one in again.encode(TEXTS)] == expected
