"""Thresholds: how they are fitted, and the file they live in."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import numpy as np

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.discrimination.results import ThresholdFit
from deepecg_jax.files import read_json

DEFAULT = 0.5
METHODS = "youden, f1, sensitivity=S or specificity=S with S between 0 and 1"


Kind = Literal["youden", "f1", "sensitivity", "specificity"]


@dataclass(frozen=True)
class Thresholds:
    """Thresholds and where they come from.

    Attributes:
        values: finding -> threshold; ``None`` means 0.5 for every finding.
        source: what the report says about them.
        fit: how they were fitted, if this run fitted them (see `fitted.fit_for`).
    """

    values: Mapping[str, float] | None = None
    source: str = f"{DEFAULT} (none given)"
    fit: ThresholdFit | None = None

    def of(self, names: Sequence[str]) -> np.ndarray:
        """In the order of `names`, (C,).

        Raises:
            UserError: a finding has no threshold.
        """
        if self.values is None:
            return np.full(len(names), DEFAULT)
        return align_thresholds(self.values, names, self.source)


@dataclass(frozen=True)
class ThresholdMethod:
    """How a threshold is chosen.

    Attributes:
        kind: ``youden`` maximises sensitivity + specificity (Youden, Cancer 3, 1950), ``f1`` the F1
            score; ``sensitivity`` takes the highest threshold that reaches `target`,
            ``specificity`` the lowest.
        target: of the last two, between 0 and 1.
    """

    kind: Kind
    target: float | None = None

    @classmethod
    def parse(cls, text: str) -> "ThresholdMethod":
        """``youden``, ``f1``, ``sensitivity=0.9`` or ``specificity=0.9``.

        Raises:
            UserError: anything else.
        """
        kind, equals, value = text.partition("=")
        if kind in ("youden", "f1") and not equals:
            return cls(cast(Kind, kind))
        try:
            target = float(value)
        except ValueError:
            target = -1.0
        if kind not in ("sensitivity", "specificity") or not 0 < target <= 1:
            raise UserError(f"There is no threshold method '{text}'; use {METHODS}.")
        return cls(cast(Kind, kind), target)

    def __str__(self) -> str:
        return self.kind if self.target is None else f"{self.kind}={self.target:g}"


def fit_thresholds(
    labels: np.ndarray,
    scores: np.ndarray,
    names: Sequence[str],
    method: str | ThresholdMethod = "youden",
    weights: np.ndarray | None = None,
) -> dict[str, float]:
    """Fit one threshold a finding, on validation data, never on the data to be reported.

    Every observed score is a candidate; of equally good thresholds the highest is taken. A
    specificity that no observed score reaches is reached just above the highest. A finding without
    both classes has nothing to fit and gets 0.5: `unfitted` names those findings, and a caller
    should say so.

    Args:
        labels: (N, C), 1, 0 or -1 unknown.
        scores: (N, C) probabilities; a score at or above the threshold is positive.
        names: the C findings.
        method: see `ThresholdMethod`.
        weights: (N,) how much each record counts.

    Returns:
        finding -> threshold.
    """
    method = ThresholdMethod.parse(method) if isinstance(method, str) else method
    labels, scores = np.asarray(labels), np.asarray(scores)
    if labels.shape != scores.shape or labels.shape[1:] != (len(names),):
        raise UserError(
            f"labels {labels.shape}, scores {scores.shape} and {len(names)} names do not fit."
        )
    counts = np.ones((len(labels), 1), np.int64) if weights is None else weights[:, None]
    used = counts[:, 0] > 0
    skip = set(unfitted(labels[used], names))
    return {
        name: DEFAULT
        if name in skip
        else float(fitted_in_resamples(labels[:, j], scores[:, j], counts, method)[0])
        for j, name in enumerate(names)
    }


def unfitted(labels: np.ndarray, names: Sequence[str]) -> list[str]:
    """Findings that lack a positive or a negative, so that no threshold can be fitted."""
    labels = np.asarray(labels)
    lacking = ~((labels == 1).any(axis=0) & (labels == 0).any(axis=0))
    return [name for name, lacks in zip(names, lacking, strict=True) if lacks]


def fitted_in_resamples(
    labels: np.ndarray, scores: np.ndarray, counts: np.ndarray, method: ThresholdMethod
) -> np.ndarray:
    """The threshold of one finding that each resample would have fitted.

    Args:
        labels: (N,), 1, 0 or -1 unknown.
        scores: (N,).
        counts: (N, R), how often, or with what weight, each record is in each resample.
        method: what is optimised.

    Returns:
        (R,) float64; NaN in a resample without both classes.
    """
    at = np.flatnonzero(labels >= 0)
    order = at[np.argsort(-scores[at], kind="stable")]
    ranked = scores[order]
    # one row a distinct score: a threshold cannot part equal scores
    first = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]]) if len(order) else order
    if not len(first):
        return np.full(counts.shape[1], np.nan)
    drawn = counts[order].astype(np.float64 if counts.dtype.kind == "f" else np.int64)
    positive = (labels[order] == 1)[:, None]
    tp = np.cumsum(np.add.reduceat(np.where(positive, drawn, 0), first), axis=0)
    fp = np.cumsum(np.add.reduceat(np.where(positive, 0, drawn), first), axis=0)
    # a score that nobody in the resample has is no candidate
    present = np.add.reduceat(drawn, first) > 0
    n_positive, n_negative = tp[-1], fp[-1]
    both = (n_positive > 0) & (n_negative > 0)
    values = ranked[first].astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        if method.kind in ("youden", "f1"):
            if method.kind == "youden":
                gain = tp / n_positive - fp / n_negative
            else:
                gain = 2 * tp / (tp + fp + n_positive)
            best = np.argmax(np.where(present, gain, -np.inf), axis=0)
            chosen = values[best]
        elif method.kind == "sensitivity":
            reached = present & (tp / n_positive >= method.target)
            chosen = values[np.argmax(reached, axis=0)]
        else:
            reached = present & ((n_negative - fp) / n_negative >= method.target)
            lowest = len(values) - 1 - np.argmax(reached[::-1], axis=0)
            above_all = np.nextafter(ranked[0], np.array(np.inf, ranked.dtype))
            chosen = np.where(reached.any(axis=0), values[lowest], float(above_all))
    return np.where(both, chosen, np.nan)


def read_thresholds(path: str | Path) -> dict[str, float]:
    """Read ``{finding: number}`` from JSON, or a published table from CSV.

    A CSV file has a column ``finding`` (or ``label``) and a column ``threshold``; of a table with
    several threshold columns, ``FILE.csv:COLUMN`` picks one. An empty or NaN cell is no threshold.

    Raises:
        UserError: no such file or column, not JSON, not an object of finite numbers.
    """
    name, colon, column = str(path).rpartition(":")
    if colon and not Path(path).is_file() and name.lower().endswith(".csv"):
        return _from_csv(Path(name), column)
    path = Path(path)
    if not path.is_file():
        raise UserError(
            f"There is no thresholds file {path}; give a JSON file finding -> number, or a CSV "
            "file with the columns finding and threshold."
        )
    if path.suffix.lower() == ".csv":
        return _from_csv(path, "threshold")
    content = read_json(path, dict, "write finding -> number")
    for name, value in content.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not np.isfinite(value):
            raise UserError(f"{path}: the threshold of '{name}' is {value!r}, not a finite number.")
    return {name: float(value) for name, value in content.items()}


def _from_csv(path: Path, column: str) -> dict[str, float]:
    if not path.is_file():
        raise UserError(f"There is no thresholds file {path}; give a CSV or JSON file.")
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        header = list(reader.fieldnames or [])
        rows = list(reader)
    key = next((name for name in ("finding", "label") if name in header), None)
    if key is None or column not in header:
        wanted = "finding" if key is None else column
        raise UserError(
            f"{path} has no column '{wanted}'; it has {', '.join(header)}. Name the column with "
            f"{path.name}:COLUMN."
        )
    found: dict[str, float] = {}
    for line, row in enumerate(rows, 2):
        text = (row[column] or "").strip()
        if text.lower() in ("", "nan", "na"):
            continue
        try:
            value = float(text)
        except ValueError:
            value = np.nan
        if not np.isfinite(value):
            raise UserError(f"{path}, line {line}: the threshold '{text}' is not a finite number.")
        if row[key] in found:
            raise UserError(f"{path}, line {line}: '{row[key]}' stands a second time; keep one.")
        found[row[key]] = value
    return found


def align_thresholds(
    thresholds: Mapping[str, float], names: Sequence[str], source: str
) -> np.ndarray:
    """Thresholds in the order of `names`, (C,).

    Raises:
        UserError: a finding has no threshold in `source`.
    """
    missing = [name for name in names if name not in thresholds]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(
            f"{source} has no threshold for '{missing[0]}'{more}; add it, or drop the finding from "
            "the predictions."
        )
    return np.array([thresholds[name] for name in names], np.float64)
