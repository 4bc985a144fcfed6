"""Sites: consistency with single evaluations, one-class sites, refusals, the command."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

from deepecg_jax.cli.sites import command
from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.evaluate import evaluate
from deepecg_jax.evaluation.resampling.resampling import Resampling
from deepecg_jax.evaluation.sites.across import across_sites
from deepecg_jax.evaluation.sites.meta_analysis import random_effects
from deepecg_jax.evaluation.table.predictions import Predictions, write_predictions


@pytest.fixture(scope="module")
def table(predictions):
    site = np.array(["north", "south", "west"], object)[
        np.random.default_rng(0).choice(3, len(predictions), p=[0.5, 0.3, 0.2])
    ]
    site[:7] = None
    return replace(predictions, extra={"site": site})


def part(table, rows):
    fields = ("labels", "scores", "record_id", "patient_id", "age", "sex")
    return replace(table, extra={}, **{name: getattr(table, name)[rows] for name in fields})


def test_each_site_is_evaluated_as_if_alone_and_pooled_by_random_effects(table):
    found = across_sites(table, resampling=Resampling(60))
    assert found["without_site"] == 7 and list(found["sites"]) == ["north", "south", "west"]
    site = table.extra["site"]
    alone = evaluate(part(table, site == "west"), resampling=Resampling(60))["findings"]
    finding = found["findings"]["Afib"]
    west = finding["sites"]["west"]
    assert {k: west[k] for k in ("value", "low", "high", "degenerate")} == alone["Afib"]["auroc"]
    assert west["n"] == alone["Afib"]["n"] and west["n_positive"] == alone["Afib"]["n_positive"]
    known = (table.labels[:, 0] >= 0) & (site != None)  # noqa: E711
    whole = roc_auc_score(table.labels[known, 0], table.scores[known, 0])
    assert finding["pooled"]["value"] == pytest.approx(whole)
    meta = finding["random_effects"]
    values = [finding["sites"][s]["value"] for s in found["sites"]]
    assert min(values) < meta["value"] < max(values) and meta["k"] == 3
    assert sum(finding["sites"][s]["weight"] for s in found["sites"]) == pytest.approx(1)
    rest = finding["leave_one_out"]["north"]
    assert rest["k"] == 2 and min(values[1:]) < rest["value"] < max(values[1:])
    kinds = [row["kind"] for row in finding["figure"]]
    assert kinds == ["site", "site", "site", "random_effects", "prediction", "pooled"]
    never = found["findings"]["never"]
    assert never["random_effects"] is None and never["figure"] == []
    assert never["sites"]["west"]["reason"] == "undefined at this site"


def test_weights_count_at_each_site(table):
    weight = np.random.default_rng(3).integers(1, 4, len(table)).astype(float)
    found = across_sites(replace(table, weight=weight), resampling=Resampling(20))["findings"][
        "Afib"
    ]
    rows = (table.extra["site"] == "west") & (table.labels[:, 0] >= 0)
    expected = roc_auc_score(
        table.labels[rows, 0], table.scores[rows, 0], sample_weight=weight[rows]
    )
    assert found["sites"]["west"]["value"] == pytest.approx(expected, abs=1e-12)
    assert found["sites"]["west"]["n"] == rows.sum()


def test_the_variance_is_that_of_the_patient_resamples(table):
    """Two copies of every ECG of a patient are no more evidence."""
    twice = np.repeat(np.arange(len(table)), 2)
    double = replace(
        part(table, twice),
        record_id=np.array([f"r{i}" for i in range(len(twice))], object),
        extra={"site": table.extra["site"][twice]},
    )
    one = across_sites(table, findings=["Afib"], resampling=Resampling(50))["findings"]["Afib"]
    two = across_sites(double, findings=["Afib"], resampling=Resampling(50))["findings"]["Afib"]
    assert two["random_effects"]["value"] == pytest.approx(one["random_effects"]["value"])
    assert two["sites"]["west"]["low"] == pytest.approx(one["sites"]["west"]["low"])
    logits = np.log([s["value"] / (1 - s["value"]) for s in one["sites"].values()])
    weights = np.array([s["weight"] for s in one["sites"].values()])
    tau2 = one["random_effects"]["tau2"]
    # weights are 1 / (variance + tau2) up to scale: back to the variances, and pooled again
    if tau2 == 0:
        again = random_effects(logits, 1 / weights)
        assert again["effect"] == pytest.approx(
            np.log(one["random_effects"]["value"] / (1 - one["random_effects"]["value"]))
        )


def test_a_site_without_both_classes_is_left_out_and_named(table):
    labels = table.labels.copy()
    labels[table.extra["site"] == "south", 0] = 0
    scores = table.scores.copy()
    west = table.extra["site"] == "west"
    scores[west, 0] = np.where(labels[west, 0] == 1, 0.9, 0.1)
    found = across_sites(
        replace(table, labels=labels, scores=scores), findings=["Afib"], resampling=Resampling(20)
    )["findings"]["Afib"]
    assert found["sites"]["south"]["reason"] == "undefined at this site"
    assert found["sites"]["west"]["reason"] == "exactly 1, which has no logit"
    assert found["random_effects"]["k"] == 1
    assert found["leave_one_out"] == {"north": None}


def test_refusals(table):
    with pytest.raises(UserError, match="no metric 'auc'"):
        across_sites(table, "auc")
    with pytest.raises(UserError, match="no column 'sites' \\(did you mean 'site'\\?\\)"):
        across_sites(table, site_column="sites")
    with pytest.raises(UserError, match="no finding 'AFib' \\(did you mean 'Afib'\\?\\)"):
        across_sites(table, findings=["AFib"])
    one = replace(table, extra={"site": np.full(len(table), "a", object)})
    with pytest.raises(UserError, match="names 1 site"):
        across_sites(one)
    with pytest.raises(UserError, match="at least 10"):
        across_sites(table, resampling=Resampling(5))


def test_command(table, tmp_path):
    write_predictions(
        tmp_path / "p.parquet",
        Predictions(
            names=table.names,
            labels=table.labels,
            scores=table.scores,
            record_id=table.record_id,
            patient_id=table.patient_id,
            age=table.age,
            sex=table.sex,
            extra={"hospital": pa.array(table.extra["site"])},
        ),
    )
    assert pq.read_schema(tmp_path / "p.parquet").field("hospital").type == pa.string()
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(command)
    arguments = [
        tmp_path / "p.parquet",
        "--out",
        tmp_path / "o",
        "--site-column",
        "hospital",
        "--finding",
        "Afib",
        "--resamples",
        20,
        "--metric",
        "brier",
    ]
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output
    assert "random effects" in result.stdout and "I2" in result.stdout
    found = json.loads((tmp_path / "o" / "sites.json").read_text())
    assert list(found["findings"]) == ["Afib"] and found["metric"] == "brier"
