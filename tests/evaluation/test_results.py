"""The types of the results hold what the files hold: no key more, none less, nothing else in it."""

import dataclasses
import json
from typing import get_args, get_origin, get_type_hints, is_typeddict

import numpy as np
import pytest
from pydantic import TypeAdapter

from deepecg_jax.evaluation.calibration.recalibration import fit_recalibration
from deepecg_jax.evaluation.calibration.results import Recalibration
from deepecg_jax.evaluation.comparison.compare import compare
from deepecg_jax.evaluation.comparison.results import ComparisonResult
from deepecg_jax.evaluation.discrimination.fitted import fit_for
from deepecg_jax.evaluation.discrimination.thresholds import ThresholdMethod
from deepecg_jax.evaluation.evaluate import Options, evaluate
from deepecg_jax.evaluation.privacy.analysis import privacy
from deepecg_jax.evaluation.privacy.embedding_table import Embeddings
from deepecg_jax.evaluation.privacy.results import PrivacyResult
from deepecg_jax.evaluation.resampling.resampling import Resampling
from deepecg_jax.evaluation.results import Evaluation
from deepecg_jax.evaluation.sites.across import across_sites
from deepecg_jax.evaluation.sites.results import SitesResult
from deepecg_jax.evaluation.survival.analysis import survival
from deepecg_jax.evaluation.survival.results import SurvivalResult
from deepecg_jax.evaluation.table.pairing import pair

TEN = Resampling(10)


@pytest.fixture(scope="module")
def everything(predictions):
    """With sites, and follow-up that the first finding predicts."""
    rng = np.random.default_rng(1)
    time = rng.exponential(2000 * np.exp(-2 * predictions.scores[:, 0])) + 1
    extra = {
        "site": np.array(["x", "y", "z"], object)[rng.integers(0, 3, len(predictions))],
        "time_days": np.round(time),
        "event": rng.integers(0, 3, len(predictions)),
        "pgs": rng.normal(size=len(predictions)),
    }
    return dataclasses.replace(predictions, extra=extra)


def check(kind, result):
    """As the type says, in Python and after a round through JSON; nothing is dropped or changed."""
    adapter = TypeAdapter(kind)
    assert adapter.validate_python(result, strict=True) == result
    read = json.loads(json.dumps(result, allow_nan=False))
    assert adapter.validate_python(read) == read == result


def test_evaluation(everything):
    limits, _ = fit_for(everything, "same", everything, ThresholdMethod("youden"), TEN)
    options = Options(
        groups={"mine": ["plain", "Afib"]}, by=["site"], survival=["Afib"], horizon_years=3
    )
    how = Resampling(10, interval="bca", stratify="site")
    result = evaluate(everything, limits, how, options)
    check(Evaluation, result)
    check(Evaluation, evaluate(dataclasses.replace(everything, extra={}), None, TEN))
    weighted = dataclasses.replace(everything, weight=np.random.default_rng(0).random(400))
    check(Evaluation, evaluate(weighted, None, TEN))


def test_comparison(everything):
    other = dataclasses.replace(everything, scores=everything.scores[:, ::-1])
    check(ComparisonResult, compare(pair(everything, other), resampling=TEN, permutations=3))


def test_survival(everything):
    result = survival(everything, "Afib", 0.3, ("pgs",), horizon_years=3, resampling=TEN)
    assert result["threshold"] is not None and "adding_score" in result["beside"]["pgs"]
    check(SurvivalResult, result)


def test_sites_and_recalibration(everything):
    check(SitesResult, across_sites(everything, resampling=TEN))
    for method in ("temperature", "platt", "isotonic"):
        fitted = fit_recalibration(
            everything.labels, everything.scores, everything.names, method, "v"
        )
        check(Recalibration, fitted)


def test_privacy(everything):
    half = np.arange(400) < 200
    parts = [
        dataclasses.replace(
            everything,
            **{
                name: getattr(everything, name)[side]
                for name in ("labels", "scores", "record_id", "patient_id", "age", "sex")
            },
            extra={},
        )
        for side in (half, ~half)
    ]
    rng = np.random.default_rng(2)
    seen = [rng.random(400) < 0.5 for _ in range(5)]
    references = [
        dataclasses.replace(
            everything, scores=rng.permuted(everything.scores, axis=0), extra={"member": own}
        )
        for own in seen
    ]
    patients = np.array([f"p{i}" for i in rng.integers(0, 9, 40)], object)
    days = np.datetime64("2020-01-01") + rng.integers(0, 9, 40)
    embeddings = Embeddings(rng.normal(size=(40, 4)).astype(np.float32), patients, days, 0)
    result = privacy(*parts, references, embeddings, TEN)
    assert result["membership"] is not None and result["reidentification"] is not None
    assert result["membership"]["likelihood_ratio"] is not None
    check(PrivacyResult, result)


def test_the_check_would_see_a_key_too_many_or_of_another_kind(everything):
    result = across_sites(everything, findings=["Afib"], resampling=TEN)
    with pytest.raises(AssertionError):
        check(SitesResult, result | {"more": 1})
    with pytest.raises(ValueError, match="n_patients"):
        check(SitesResult, result | {"sites": {"x": {"n_records": 1}}})


def test_every_typed_part_names_its_fields():
    """No result hides a part behind Any."""

    def walk(kind, seen):
        if is_typeddict(kind) or hasattr(kind, "__total__"):
            if kind in seen:
                return
            seen.add(kind)
            for hint in get_type_hints(kind).values():
                walk(hint, seen)
        for inner in get_args(kind) if get_origin(kind) else ():
            walk(inner, seen)
        assert str(kind) != "typing.Any"

    seen: set = set()
    for kind in (Evaluation, ComparisonResult, SitesResult, PrivacyResult, Recalibration):
        walk(kind, seen)
    assert len(seen) > 30
