"""A sweep file: what it may say, and what is refused with a sentence."""

import pytest
from sweeps import STAGES, written

from deepecg_jax.errors import UserError
from deepecg_jax.sweep.planning.config import read_sweep


def test_a_file_with_what_was_typed(tmp_path):
    file = written(tmp_path / "s.yaml", {"stages": STAGES, "set": {"data.dir": "a"}, "seeds": [3]})
    typed = ["data.dir=b", "pretrain.train.steps=7", "seeds=[0, 1]", "evaluate.split=validation"]
    sweep = read_sweep(file, [*typed, "runs.x={model.size: small}", "reference=x"])
    assert sweep.set == {"data.dir": "b", "pretrain.train.steps": 7}
    assert sweep.seeds == (0, 1) and sweep.evaluate.split == "validation"
    assert sweep.runs == {"x": {"model.size": "small"}}
    assert sweep.reference is not None and sweep.reference.run == "x"
    assert read_sweep(file).runs == {"run": {}} and read_sweep(file).baselines


def test_a_run_without_keys_of_its_own(tmp_path):
    file = tmp_path / "s.yaml"
    file.write_text("stages: {finetune: x.yaml}\nruns:\n  a:\n  b: {mode: full}\n")
    assert read_sweep(str(file)).runs == {"a": {}, "b": {"mode": "full"}}


@pytest.mark.parametrize(
    "text, message",
    [
        ("stages: {}", "stages: name a config for pretrain, finetune or both"),
        ("stages: {finetune: f}\nsead: [1]", "unknown key 'sead' .did you mean 'seeds'"),
        ("stages: {finetune: f}\nruns: {a: {}, a: {}}", "the key 'a' stands twice"),
        ("stages: {finetune: f}\nruns: {'a/b': {}}", "'a/b' is no name of a run"),
        ("stages: {finetune: f}\nruns: {}", "runs: .* at least 1"),
        ("stages: {finetune: f}\ngrid: {mode: []}", "mode needs values that differ"),
        ("stages: {finetune: f}\ngrid: {mode: [full, full]}", "mode needs values that differ"),
        ("stages: {finetune: f}\nseeds: [1, 1]", "seeds must be 0 or more and differ"),
        ("stages: {finetune: f}\nseeds: [-1]", "seeds must be 0 or more and differ"),
        ("stages: {finetune: f}\nexclude: [{mode: full}]", "exclude: mode is no key of grid"),
        (
            "stages: {finetune: f}\ngrid: {mode: [full]}\nreference: {run: run, at: {mode: x}}",
            "reference.at: the grid has no mode of x",
        ),
        ("[1]", "must hold keys and values, but holds list"),
        ("a: [", "is not valid YAML"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(tmp_path, text, message):
    file = tmp_path / "s.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match=message) as refused:
        read_sweep(str(file))
    assert str(file) in str(refused.value) and "\n" not in str(refused.value)


def test_merged_keys_are_no_doubles(tmp_path):
    file = tmp_path / "s.yaml"
    file.write_text(
        "stages: {finetune: f}\nruns:\n  a: &a {mode: full, seed: 1}\n  b: {<<: *a, mode: linear}\n"
    )
    assert read_sweep(str(file)).runs["b"] == {"mode": "linear", "seed": 1}


def test_typed_words_need_an_equals_sign(tmp_path):
    file = written(tmp_path / "s.yaml", {"stages": STAGES})
    with pytest.raises(UserError, match="'seeds' is not an override"):
        read_sweep(file, ["seeds"])
