"""The whole analysis, on follow-up with known answers; and what it refuses."""

import json
from dataclasses import replace

import numpy as np
import pytest
from survival_data import draw

pytest.importorskip("lifelines")

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.resampling.resampling import Resampling
from deepecg_jax.evaluation.survival.analysis import survival
from deepecg_jax.evaluation.survival.at_threshold import ThresholdAtHorizon
from deepecg_jax.evaluation.survival.follow_up import read_follow_up, score_column
from deepecg_jax.evaluation.survival.result_files import write_survival
from deepecg_jax.evaluation.table.predictions import Predictions


def table(seed=0, n=500, **options):
    time, event, score, patient = draw(seed, n, **options)
    rng = np.random.default_rng(seed)
    return Predictions(
        names=("AF", "Other"),
        labels=np.full((n, 2), -1, np.int8),
        scores=np.stack([1 / (1 + np.exp(-score)), rng.random(n)], axis=1),
        record_id=np.array([f"r{i}" for i in range(n)], object),
        patient_id=np.array([f"p{i}" for i in patient], object),
        age=rng.uniform(40, 90, n),
        sex=np.full(n, "female", object),
        extra={"time_days": time, "event": event.astype(float), "pgs": score + rng.normal(size=n)},
    )


def changed(predictions, **columns):
    return replace(predictions, extra={**predictions.extra, **columns})


def test_the_whole_analysis(tmp_path):
    pgs = table().extra["pgs"].copy()
    pgs[:100] = np.nan
    predictions = changed(table(), pgs=pgs)
    found = survival(
        predictions, "AF", 0.6, ("pgs", "age"), blanking_days=90, resampling=Resampling(30)
    )
    assert found == survival(
        predictions, "score:AF", 0.6, ("pgs", "age"), blanking_days=90, resampling=Resampling(30)
    ) | {"score": "AF", "cox": found["cox"], "beside": found["beside"]}
    follow = read_follow_up(predictions, 90)
    assert found["n_records"] == len(follow.time) and (follow.time >= 90).all()
    assert found["left_out"]["blanked"] == 500 - len(follow.time)
    at = found["threshold"]
    for name in ("sensitivity", "specificity", "ppv", "npv", "high_risk_share"):
        assert at[name]["low"] <= at[name]["value"] <= at[name]["high"]
    assert at["ppv"]["value"] == found["groups"]["high"]["incidence_by_year"]["5"]["value"]
    assert at["hazard_ratio"]["covariates"]["high"]["low"] > 1
    assert at["hazard_ratio"]["errors"] == "clustered by patient"
    assert found["log_rank"]["p"] < found["log_rank"]["p_clustered"] < 1e-4
    beside = found["beside"]["pgs"]
    assert beside["n"] == int((follow.rows >= 100).sum())
    gap = beside["difference"]["harrell_c"]
    own, other = beside["score_discrimination"], beside["discrimination"]
    expected = own["harrell_c"]["value"] - other["harrell_c"]["value"]
    assert gap["value"] == pytest.approx(expected) and gap["low"] > 0
    assert beside["adding_score"]["p_wald"] < 1e-6
    curve = found["curves"]["high"]
    assert [row["incidence"] for row in curve] == sorted(row["incidence"] for row in curve)
    assert curve[-1]["incidence"] == at["ppv"]["value"]
    files = write_survival(found, tmp_path / "new")
    assert json.loads(files[0].read_text()) == found
    assert files[1].read_text().splitlines()[0] == "group,time_days,n_at_risk,incidence,low,high"
    assert len(files[2].read_text().splitlines()) == 1 + 3 * 5
    assert {f.name for f in (tmp_path / "new").iterdir()} == {f.name for f in files}


def test_without_a_threshold_groups_are_thirds():
    found = survival(table(1), "AF", resampling=Resampling(2), horizon_years=1.5)
    assert found["threshold"] is None and list(found["groups"]) == ["low", "middle", "high"]
    assert [part["n"] for part in found["groups"].values()] == pytest.approx([167] * 3, abs=20)
    assert list(found["discrimination"]["auroc_by_year"]) == ["1", "1.5"]


def test_without_censoring_the_threshold_measures_are_plain_shares():
    rng = np.random.default_rng(0)
    high, ill = rng.random(300) < 0.3, rng.random(300) < 0.4
    time = np.where(ill, rng.integers(1, 1825, 300), 1825).astype(float)
    found = ThresholdAtHorizon(time, ill.astype(int), high, 1825)(np.ones((300, 1)))
    assert found["sensitivity"][0] == pytest.approx((high & ill).sum() / ill.sum())
    assert found["specificity"][0] == pytest.approx((~high & ~ill).sum() / (~ill).sum())
    assert found["ppv"][0] == pytest.approx(ill[high].mean())
    assert found["npv"][0] == pytest.approx(1 - ill[~high].mean())
    nobody = ThresholdAtHorizon(time, ill.astype(int), high & False, 1825)(np.ones((300, 1)))
    assert nobody["high_risk_share"][0] == 0 and np.isnan(nobody["ppv"][0])


def test_a_threshold_that_nobody_reaches_is_reported_not_hidden():
    found = survival(table(2), "AF", 1.0, resampling=Resampling(2))
    assert list(found["groups"]) == ["low"]
    assert found["threshold"]["ppv"]["value"] is None
    assert found["threshold"]["hazard_ratio"] == {"reason": "high is the same in every ECG"}
    assert found["log_rank"]["p"] is None


def test_blanking_leaves_out_or_censors():
    predictions = changed(
        table(3, 6),
        time_days=np.array([10.0, 10, 10, 40, 50, 30]),
        event=np.array([1.0, 0, 2, 1, 0, 1]),
    )
    left = read_follow_up(predictions, 30)
    assert left.rows.tolist() == [3, 4, 5] and left.blanked == 3
    censored = read_follow_up(predictions, 30, "censor")
    assert censored.event.tolist() == [0, 0, 2, 1, 0, 1] and censored.blanked == 1
    assert censored.time.tolist() == predictions.extra["time_days"].tolist()


def test_charge_af_is_computed_from_its_inputs():
    rng = np.random.default_rng(1)
    yes = {
        name: rng.integers(0, 2, 500)
        for name in (
            "white",
            "current_smoker",
            "antihypertensive",
            "diabetes",
            "heart_failure",
            "myocardial_infarction",
        )
    }
    inputs = yes | {
        "height_cm": rng.uniform(150, 190, 500),
        "weight_kg": rng.uniform(50, 110, 500),
        "systolic_mmhg": rng.uniform(100, 170, 500),
        "diastolic_mmhg": rng.uniform(60, 100, 500),
    }
    found = survival(
        changed(table(4), **inputs), "AF", beside=("charge_af",), resampling=Resampling(2)
    )
    assert found["beside"]["charge_af"]["n"] == 500
    with pytest.raises(UserError, match="CHARGE-AF needs white"):
        survival(table(4), "AF", beside=("charge_af",), resampling=Resampling(2))


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"time_days": -1.0}, "'time_days' has 1 wrong values: -1 in row 7 is negative"),
        ({"time_days": np.inf}, "is infinite"),
        ({"event": 7.0}, "'event' has 1 wrong values: 7 in row 7 is none of 0"),
        ({"event": np.nan}, "Row 7 has time_days but not the other"),
        ({"pgs": np.inf}, "'pgs' has 1 wrong values"),
    ],
)
def test_wrong_values_are_named(columns, words):
    base = table()
    bad = {name: base.extra[name].copy() for name in columns}
    for name, value in columns.items():
        bad[name][7] = value
    with pytest.raises(UserError, match=words):
        survival(changed(base, **bad), "AF", beside=("pgs",), resampling=Resampling(2))


def test_columns_that_are_missing_name_their_neighbour():
    predictions = table()
    with pytest.raises(UserError, match="no score 'pqs' \\(did you mean 'pgs'\\?\\)"):
        score_column(predictions, "pqs")
    extra = dict(predictions.extra)
    extra["times_day"] = extra.pop("time_days")
    with pytest.raises(UserError, match="no column 'time_days' \\(did you mean 'times_day'\\?\\)"):
        survival(replace(predictions, extra=extra), "AF")
    text = changed(predictions, pgs=np.array(["a"] * 500))
    with pytest.raises(UserError, match="'pgs' holds"):
        score_column(text, "pgs")


def test_follow_up_that_says_nothing_is_refused():
    base = table()
    censored = changed(base, event=np.zeros(500))
    with pytest.raises(UserError, match="No ECG has an event"):
        survival(censored, "AF")
    with pytest.raises(UserError, match="No ECG has an event \\(1\\) from day 9000 on"):
        survival(base, "AF", blanking_days=9000)
    nothing = changed(base, event=np.full(500, -1.0), time_days=np.full(500, np.nan))
    with pytest.raises(UserError, match="empty in every row"):
        survival(nothing, "AF")
    short = changed(base, time_days=np.minimum(base.extra["time_days"], 300))
    with pytest.raises(UserError, match="short of the horizon of 1825 .* 0.82 or less"):
        survival(short, "AF")
    pgs = base.extra["pgs"].copy()
    pgs[3] = np.nan
    with pytest.raises(UserError, match="'pgs' is missing or NaN in 1 ECGs .* row 3"):
        survival(changed(base, pgs=pgs), "pgs")


def test_rows_without_follow_up_are_left_out_and_counted():
    base = table()
    time, event = base.extra["time_days"].copy(), base.extra["event"].copy()
    time[:20], event[:20] = np.nan, -1
    found = survival(changed(base, time_days=time, event=event), "AF", resampling=Resampling(2))
    assert found["left_out"]["without_follow_up"] == 20 and found["n_records"] == 480


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"horizon_years": 0}, "horizon is 0 years"),
        ({"threshold": np.nan}, "threshold is nan"),
        ({"resampling": Resampling(stratify="site")}, "does not use stratify"),
        ({"resampling": Resampling(interval="bca")}, "does not use interval"),
        ({"blanking_days": -3}, "blanking period is -3 days"),
        ({"blanking_rule": "drop"}, "no blanking rule 'drop'"),
    ],
)
def test_wrong_options_are_named(options, words):
    with pytest.raises(UserError, match=words):
        survival(table(), "AF", **options)
