"""ROC curves of the sample, thinned for drawing."""

import numpy as np

_MOST_POINTS = 80


def roc_curve(positive: np.ndarray, scores: np.ndarray) -> list[tuple[float, float]]:
    """(false-positive rate, true-positive rate) from (0, 0) to (1, 1), at most 80 points.

    Points in the middle of a straight stretch are dropped first; what is left is thinned evenly
    along the curve's length, so that the steep rise keeps its shape.

    Args:
        positive: (M,) bool, both classes present.
        scores: (M,).
    """
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], positive[order]
    last_of_score = np.r_[ranked[1:] != ranked[:-1], True]
    true_positive = np.r_[0, np.cumsum(hits)[last_of_score]]
    false_positive = np.r_[0, np.cumsum(~hits)[last_of_score]]
    y, x = true_positive / true_positive[-1], false_positive / false_positive[-1]
    corner = np.r_[True, np.abs(np.diff(x)[1:] * np.diff(y)[:-1] - np.diff(x)[:-1] * np.diff(y)[1:])
                   > 1e-15, True]  # fmt: skip
    x, y = x[corner], y[corner]
    if len(x) > _MOST_POINTS:
        length = np.r_[0, np.cumsum(np.hypot(np.diff(x), np.diff(y)))]
        wanted = np.linspace(0, length[-1], _MOST_POINTS)
        keep = np.unique(np.clip(np.searchsorted(length, wanted), 0, len(x) - 1))
        x, y = x[keep], y[keep]
    return list(zip(x.tolist(), y.tolist(), strict=True))
