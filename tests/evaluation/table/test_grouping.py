"""Groups by any column, their intersection, custom sets of findings."""

import dataclasses
import json

import numpy as np
import pytest

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.evaluate import Options, evaluate
from deepecg_jax.evaluation.resampling.resampling import Resampling
from deepecg_jax.evaluation.table.finding_sets import group_members, read_groups
from deepecg_jax.evaluation.table.grouping import column, groups_of


@pytest.fixture
def with_columns(predictions):
    site = np.where(np.arange(len(predictions)) % 3 == 0, "A", "B").astype(object)
    site[7] = None
    device = np.where(np.arange(len(predictions)) % 2 == 0, 1.0, 2.0)
    device[9] = np.nan
    return dataclasses.replace(predictions, extra={"site": site, "device": device})


def test_columns_become_text_and_nulls_nobody(with_columns):
    assert set(column(with_columns, "site")) == {"", "A", "B"}
    assert set(column(with_columns, "device")) == {"", "1", "2"}
    assert set(column(with_columns, "label:Afib")) == {"", "0", "1"}
    assert column(with_columns, "age")[10:14].tolist() == ["<=55", "56-75", "56-75", ">75"]
    with pytest.raises(UserError, match="no column 'ethnicity'; there are sex, age, site, device"):
        column(with_columns, "ethnicity")


def test_groups_of_every_column_and_the_intersection(with_columns):
    groups = groups_of(with_columns, ["site", "device"])
    assert list(groups) == ["sex", "age", "sex x age", "site", "device"]
    assert groups["site"]["A"].sum() + groups["site"]["B"].sum() == len(with_columns) - 1
    expected = groups["sex"]["female"] & groups["age"][">75"]
    np.testing.assert_array_equal(groups["sex x age"]["female >75"], expected)
    assert "unknown" in groups_of(with_columns, with_unknown=True)["sex"]


def test_too_many_groups_are_refused(with_columns):
    many = dataclasses.replace(
        with_columns, extra={"device": np.arange(len(with_columns)).astype(str)}
    )
    with pytest.raises(UserError, match="'device' has 400 different values"):
        groups_of(many, ["device"])


def test_custom_groups_are_macro_and_micro_of_their_findings(predictions):
    found = evaluate(
        predictions,
        None,
        Resampling(5),
        options=Options(groups={"mine": ["plain", "superclass:NORM"]}),
    )
    mine = found["groups"]["mine"]
    assert mine["findings"] == ["plain", "superclass:NORM"]
    values = [found["findings"][name]["auroc"]["value"] for name in mine["findings"]]
    assert mine["macro"]["auroc"]["value"] == pytest.approx(np.mean(values), abs=1e-15)
    assert mine["micro"]["auroc"]["low"] is not None


@pytest.mark.parametrize(
    ("groups", "says"),
    [
        ({"g": ["a", "x"]}, "'g' names 'x'"),
        ({"g": []}, "has no findings"),
        ({"g": ["a", "a"]}, "twice"),
    ],
)
def test_bad_groups(groups, says):
    with pytest.raises(UserError, match=says):
        group_members(groups, ["a", "b"])


def test_groups_file(tmp_path):
    path = tmp_path / "g.json"
    path.write_text(json.dumps({"g": ["a"]}))
    assert read_groups(path) == {"g": ["a"]}
    for content, says in (("{", "is no JSON"), ("[]", "must hold"), ('{"g": [1]}', "must hold")):
        path.write_text(content)
        with pytest.raises(UserError, match=says):
            read_groups(path)
    with pytest.raises(UserError, match="no groups file"):
        read_groups(tmp_path / "none.json")
