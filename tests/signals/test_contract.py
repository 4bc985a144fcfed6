"""The signal contract: values, JSON, contradictions."""

import json

import pytest

from deepecg_jax.errors import UserError
from deepecg_jax.signals.contract import STANDARD_LEADS, SignalContract, load, require_same


def test_defaults_are_ten_seconds_of_twelve_leads_at_250_hz():
    contract = SignalContract()
    assert contract.n_samples == 2500
    assert contract.leads == STANDARD_LEADS
    assert len(STANDARD_LEADS) == 12
    assert contract.unit == "mV"


def test_saved_and_loaded_contract_is_equal(tmp_path):
    contract = SignalContract(500, 5, leads=("II", "V5"), scaling="deepecg")
    path = contract.save(tmp_path / "new")
    assert path.name == "signal.json"
    assert load(tmp_path / "new") == contract
    assert json.loads(path.read_text())["leads"] == ["II", "V5"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"sampling_rate": 0}, "sampling_rate"),
        ({"sampling_rate": float("nan")}, "sampling_rate"),
        ({"sampling_rate": "250"}, "sampling_rate"),
        ({"seconds": -1.0}, "seconds"),
        ({"seconds": True}, "seconds"),
        ({"seconds": 0.0013}, "whole number"),
        ({"unit": "furlong"}, "unit"),
        ({"scaling": "minmax"}, "scaling"),
        ({"leads": ("I", "AVR")}, "AVR"),
        ({"leads": ("I", "I")}, "different"),
        ({"leads": ()}, "leads"),
        ({"leads": "I"}, "leads"),
        ({"filters": ("hum",)}, "baseline, powerline"),
        ({"filters": "powerline"}, "filters"),
        ({"filters": None}, "filters"),
    ],
)
def test_impossible_values_are_user_errors(values, words):
    with pytest.raises(UserError, match=words):
        SignalContract(**values)


def test_unknown_key_names_the_nearest_one():
    values = SignalContract().to_dict() | {"samplingrate": 250}
    with pytest.raises(UserError, match=r"a\.json.*samplingrate.*did you mean 'sampling_rate'"):
        SignalContract.from_dict(values, where="a.json")


def test_missing_key_is_named():
    values = SignalContract().to_dict()
    del values["unit"]
    with pytest.raises(UserError, match="missing unit"):
        SignalContract.from_dict(values)


@pytest.mark.parametrize("text", ["", "[1, 2]", "{"])
def test_broken_file_is_a_user_error_that_names_it(tmp_path, text):
    (tmp_path / "signal.json").write_text(text)
    with pytest.raises(UserError, match=r"signal\.json"):
        load(tmp_path)


def test_absent_file_is_a_user_error_that_names_it(tmp_path):
    with pytest.raises(UserError, match=r"signal\.json does not exist"):
        load(tmp_path)


def test_contradiction_names_both_sides_and_every_field():
    require_same(SignalContract(), SignalContract(), "a", "b")
    with pytest.raises(UserError) as caught:
        require_same(
            SignalContract(), SignalContract(500, unit="uV"), "the data set", "the checkpoint"
        )
    message = str(caught.value)
    for words in ("the data set", "the checkpoint", "250", "500", "mV", "uV"):
        assert words in message
    assert "seconds" not in message


def test_filters_are_part_of_the_contract_and_optional_in_a_file(tmp_path):
    filtered = SignalContract(filters=("powerline", "baseline"))
    assert filtered.filters == ("baseline", "powerline")
    assert filtered.scaling_in_words == "millivolts without baseline and powerline"
    assert SignalContract(scaling="deepecg").scaling_in_words.endswith("as by DeepECG")
    filtered.save(tmp_path)
    assert load(tmp_path) == filtered
    values = SignalContract().to_dict()
    del values["filters"]  # files of the first version
    assert SignalContract.from_dict(values) == SignalContract()
    with pytest.raises(UserError, match="filters is baseline powerline in a but none in b"):
        require_same(filtered, SignalContract(), "a", "b")
