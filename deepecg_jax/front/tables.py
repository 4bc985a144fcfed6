"""Predictions of any make -> measures: `evaluate`, `compare`, `auroc`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.comparison.compare import compare as compare_pair
from deepecg_jax.evaluation.comparison.results import ComparisonResult
from deepecg_jax.evaluation.discrimination.thresholds import Thresholds, read_thresholds
from deepecg_jax.evaluation.evaluate import Options, write_metrics
from deepecg_jax.evaluation.evaluate import evaluate as evaluate_table
from deepecg_jax.evaluation.report.page import write_report
from deepecg_jax.evaluation.resampling.bootstrap import bootstrap_auroc
from deepecg_jax.evaluation.resampling.draws import Resampler
from deepecg_jax.evaluation.resampling.intervals import IntervalMethod
from deepecg_jax.evaluation.resampling.intervals import interval as interval_of
from deepecg_jax.evaluation.resampling.resampling import Resampling
from deepecg_jax.evaluation.results import Evaluation
from deepecg_jax.evaluation.table.pairing import pair
from deepecg_jax.evaluation.table.predictions import Predictions, from_table, read_predictions

if TYPE_CHECKING:
    import pandas as pd

    Table = str | Path | Predictions | pa.Table | pd.DataFrame

_BLOCK = 250  # resamples whose counts are in memory at once


def predictions_of(table: "Table") -> Predictions:
    """A predictions table from whatever holds one: a path, a pandas or Arrow table, predictions.

    UserError where it is none of these, or not of a predictions file's form.
    """
    if isinstance(table, Predictions):
        return table
    if isinstance(table, (str, Path)):
        return read_predictions(table)
    if isinstance(table, pa.Table):
        return from_table(table)
    if type(table).__module__.partition(".")[0] == "pandas":
        return from_table(pa.Table.from_pandas(table, preserve_index=False))
    raise UserError(
        f"Predictions are a path, a pandas or an Arrow table, not a {type(table).__name__}."
    )


def evaluate(
    table: "Table",
    *,
    thresholds: Mapping[str, float] | str | Path | None = None,
    resamples: int = 1000,
    seed: int = 0,
    cluster: str | None = "patient_id",
    stratify: str | None = None,
    interval: IntervalMethod = "percentile",
    by: Sequence[str] = (),
    survival: Sequence[str] = (),
    horizon_years: float = 5.0,
    out: str | Path | None = None,
) -> Evaluation:
    """Measure predictions: what ``deepecg evaluate`` writes to ``metrics.json``, as a dict.

    >>> metrics = de.evaluate("predictions.parquet", resamples=200)
    >>> sorted(metrics["macro"]["auroc"])
    ['degenerate', 'high', 'incomplete', 'low', 'value']
    >>> import pandas as pd
    >>> frame = pd.read_parquet("predictions.parquet")
    >>> metrics == de.evaluate(frame, resamples=200)
    True

    Args:
        table: a file, a pandas or Arrow table, or predictions, with record_id, patient_id, age,
            sex, and score:X and label:X for each finding X.
        thresholds: finding -> threshold, or a file of them, fitted on validation data; else 0.5.
        resamples: of the bootstrap.
        seed: of the bootstrap.
        cluster: ``patient_id`` draws whole patients, None single records.
        stratify: a column within whose values patients are drawn, such as ``site``.
        interval: ``percentile`` or ``bca``.
        by: further columns whose groups are compared, such as ``device``.
        survival: findings or columns that are held against ``time_days`` and ``event``.
        horizon_years: how far the survival analysis looks.
        out: a folder for ``metrics.json`` and ``report.html``.

    Raises:
        UserError: the table or an option is wrong, in one sentence.
    """
    predictions = predictions_of(table)
    resampling = Resampling(resamples, seed, cluster, stratify, interval)
    options = Options(
        by=tuple(by),
        survival=tuple(survival),
        horizon_years=horizon_years,
    )
    limits = _thresholds(thresholds)
    metrics = evaluate_table(predictions, limits, resampling, options)
    if out is not None:
        write_metrics(metrics, Path(out) / "metrics.json")
        write_report(predictions, metrics, Path(out) / "report.html", _name(table))
    return metrics


def compare(
    a: "Table",
    b: "Table",
    *,
    thresholds_a: Mapping[str, float] | str | Path | None = None,
    thresholds_b: Mapping[str, float] | str | Path | None = None,
    resamples: int = 1000,
    permutations: int = 1000,
    seed: int = 0,
    cluster: str | None = "patient_id",
    stratify: str | None = None,
    interval: IntervalMethod = "percentile",
) -> ComparisonResult:
    """Two models on the same records: what ``deepecg compare`` writes, as a dict. A minus B.

    >>> found = de.compare("predictions.parquet", "other.parquet", resamples=100, permutations=100)
    >>> sorted(found["macro"]["difference"])
    ['degenerate', 'high', 'low', 'value']

    Args:
        a: the first model's predictions, in any form that `evaluate` takes.
        b: the second model's; records are joined by record_id.
        thresholds_a: of the first model, see `evaluate`.
        thresholds_b: of the second.
        resamples: of the paired bootstrap.
        permutations: of the permutation test; 0 leaves it out.
        seed: of both.
        cluster: ``patient_id`` draws and swaps whole patients, None single records.
        stratify: a column within whose values patients are drawn.
        interval: ``percentile`` or ``bca``.

    Raises:
        UserError: no common record or finding, labels that contradict, a wrong option.
    """
    resampling = Resampling(resamples, seed, cluster, stratify, interval)
    joined = pair(predictions_of(a), predictions_of(b), _name(a, "A"), _name(b, "B"))
    limits = (_thresholds(thresholds_a), _thresholds(thresholds_b))
    return compare_pair(joined, limits, resampling, permutations)


class AUROC(NamedTuple):
    """An AUROC and its 95 % interval; NaN where a class is absent."""

    estimate: float
    low: float
    high: float


def auroc(
    labels: Sequence[float] | np.ndarray,
    scores: Sequence[float] | np.ndarray,
    patients: Sequence[Any] | np.ndarray | None = None,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> AUROC:
    """The AUROC of one finding with the interval of `evaluate`: whole patients are resampled.

    >>> found = de.auroc([0, 0, 1, 1, 0, 1], [0.1, 0.4, 0.35, 0.8, 0.2, 0.3])
    >>> round(found.estimate, 3), found.low <= found.estimate <= found.high
    (0.778, True)
    >>> estimate, low, high = de.auroc([0, 1, 0, 1], [0.1, 0.4, 0.5, 0.8], ["a", "a", "b", "b"])

    Args:
        labels: (N,) 1, 0, or -1 or NaN where it is unknown: these records are left out.
        scores: (N,) finite numbers of any range; equal ones tie, and a tie counts one half.
        patients: (N,) the patient of each record; None if every record is one of its own.
        resamples: of the bootstrap; those without one of the classes are skipped.
        seed: of the bootstrap.

    Returns:
        The estimate and the 2.5 and 97.5 percentiles.

    Raises:
        UserError: lengths that disagree, a label or a score that is none, a patient without a name.
    """
    known = np.asarray(labels, np.float64)
    values = np.asarray(scores)
    if known.ndim != 1 or known.shape != values.shape or not len(known):
        raise UserError(
            f"labels and scores must be two lists of one length, got shapes {known.shape} and "
            f"{values.shape}."
        )
    if resamples < 1:
        raise UserError(f"resamples is {resamples}; at least 1 is needed for an interval.")
    codes = np.where(np.isnan(known), -1, known)
    if patients is None:
        resampler = Resampler.of_records(len(codes), seed)
    else:
        names = np.asarray(patients)
        if names.shape != codes.shape:
            raise UserError(f"There are {len(codes)} labels, but patients of shape {names.shape}.")
        resampler = Resampler.of_patients(names, seed)
    table, column = codes.reshape(-1, 1), values.reshape(-1, 1)
    drawn = [bootstrap_auroc(table, column, np.ones((1, len(codes)), np.uint8))]
    for start in range(0, resamples, _BLOCK):
        counts = resampler.counts(start, min(start + _BLOCK, resamples))
        drawn.append(bootstrap_auroc(table, column, counts))
    found = interval_of(np.concatenate(drawn)[:, 0])
    said = (found["value"], found["low"], found["high"])
    return AUROC(*(np.nan if value is None else value for value in said))


def _thresholds(given: Mapping[str, float] | str | Path | None) -> Thresholds:
    if given is None:
        return Thresholds()
    if isinstance(given, Mapping):
        return Thresholds(dict(given), "given in Python")
    return Thresholds(read_thresholds(Path(given)), Path(given).name)


def _name(table: object, otherwise: str = "predictions") -> str:
    return Path(table).name if isinstance(table, (str, Path)) else otherwise
