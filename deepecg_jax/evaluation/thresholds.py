"""Thresholds: where they come from, and the file they live in."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from deepecg_jax.errors import UserError

Method = Literal["youden", "f1"]
DEFAULT = 0.5


def fit_thresholds(
    labels: np.ndarray, scores: np.ndarray, names: Sequence[str], method: Method = "youden"
) -> dict[str, float]:
    """Fit one threshold a finding, on validation data, never on the data to be reported.

    ``youden`` maximises sensitivity + specificity (Youden, Cancer 3, 1950), ``f1`` the F1 score,
    over every observed score; of equally good thresholds the highest is taken. A finding without
    both classes has nothing to fit and gets 0.5: `unfitted` names those findings, and a caller
    should say so.

    Args:
        labels: (N, C), 1, 0 or -1 unknown.
        scores: (N, C) probabilities; a score at or above the threshold is positive.
        names: the C findings.
        method: what to maximise.

    Returns:
        finding -> threshold.
    """
    if method not in ("youden", "f1"):
        raise UserError(f"There is no threshold method '{method}'; use youden or f1.")
    labels, scores = np.asarray(labels), np.asarray(scores)
    if labels.shape != scores.shape or labels.shape[1:] != (len(names),):
        raise UserError(
            f"labels {labels.shape}, scores {scores.shape} and {len(names)} names do not fit."
        )
    skip = set(unfitted(labels, names))
    fitted = {}
    for j, name in enumerate(names):
        known = labels[:, j] >= 0
        positive = labels[known, j] == 1
        fitted[name] = DEFAULT if name in skip else _best(positive, scores[known, j], method)
    return fitted


def unfitted(labels: np.ndarray, names: Sequence[str]) -> list[str]:
    """Findings that lack a positive or a negative, so that no threshold can be fitted."""
    labels = np.asarray(labels)
    lacking = ~((labels == 1).any(axis=0) & (labels == 0).any(axis=0))
    return [name for name, lacks in zip(names, lacking, strict=True) if lacks]


def _best(positive: np.ndarray, scores: np.ndarray, method: Method) -> float:
    order = np.argsort(-scores, kind="stable")
    scores, positive = scores[order], positive[order]
    last_of_score = np.r_[scores[1:] != scores[:-1], True]
    true_positive = np.cumsum(positive)[last_of_score]
    predicted = np.flatnonzero(last_of_score) + 1
    n_positive, n = true_positive[-1], len(positive)
    if method == "youden":
        false_positive = predicted - true_positive
        gain = true_positive / n_positive - false_positive / (n - n_positive)
    else:
        gain = 2 * true_positive / (predicted + n_positive)
    return float(scores[last_of_score][np.argmax(gain)])


def write_thresholds(path: str | Path, thresholds: Mapping[str, float]) -> None:
    """Write ``{finding: number}`` as JSON."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(dict(thresholds), indent=1, ensure_ascii=False)
    Path(path).write_text(text + "\n", encoding="utf-8")


def read_thresholds(path: str | Path) -> dict[str, float]:
    """Read ``{finding: number}``.

    Raises:
        UserError: no such file, not JSON, not an object of finite numbers.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"There is no thresholds file {path}; give a JSON file finding -> number.")
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not JSON ({error}); write finding -> number.") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds a {type(content).__name__}, not finding -> number.")
    for name, value in content.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not np.isfinite(value):
            raise UserError(f"{path}: the threshold of '{name}' is {value!r}, not a finite number.")
    return {name: float(value) for name, value in content.items()}


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
