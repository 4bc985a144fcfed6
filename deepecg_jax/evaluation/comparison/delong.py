"""DeLong's test of two AUROCs on the same records, plain and for several records a patient.

Plain: DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988; computed with midranks in
O(n log n) (Sun and Xu, IEEE Signal Processing Letters 21, 2014). Clustered: Obuchowski, Biometrics
53, 1997, eq. 2 to 4, where the structural components of a patient's records are summed first. With
one record a patient the two are the same.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, rankdata


@dataclass(frozen=True)
class DeLong:
    """Two AUROCs and the test of their difference.

    Attributes:
        auroc: (2,) of the models A and B.
        covariance: (2, 2) of the two.
        p: two-sided, from the normal distribution; NaN where two AUROCs differ but neither varies.
    """

    auroc: np.ndarray
    covariance: np.ndarray
    p: float

    @property
    def standard_error(self) -> float:
        """Of the difference A - B."""
        c = self.covariance
        return float(np.sqrt(max(c[0, 0] + c[1, 1] - 2 * c[0, 1], 0.0)))


def components(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Structural components of one AUROC.

    Args:
        positive: (M,) bool, both classes present.
        scores: (M,).

    Returns:
        (positives,) the share of negatives that each beats (ties one half), and (negatives,) the
        share of positives that beat each. The mean of either is the AUROC.
    """
    of_all = rankdata(scores)
    n_positive, n_negative = positive.sum(), (~positive).sum()
    beats = (of_all[positive] - rankdata(scores[positive])) / n_negative
    beaten = 1 - (of_all[~positive] - rankdata(scores[~positive])) / n_positive
    return beats, beaten


def delong(
    positive: np.ndarray, a: np.ndarray, b: np.ndarray, cluster: np.ndarray | None = None
) -> DeLong | None:
    """Test whether two scores have the same AUROC.

    Args:
        positive: (M,) bool.
        a: (M,) scores of model A.
        b: (M,) scores of model B.
        cluster: (M,) integers 0.., the patient of each record; ``None`` for independent records.

    Returns:
        the test, or ``None`` with fewer than two positives or two negatives (or, clustered,
        fewer than two patients with each).
    """
    positive = np.asarray(positive, bool)
    if min(positive.sum(), (~positive).sum()) < 2:
        return None
    parts = [components(positive, scores) for scores in (a, b)]
    beats, beaten = (np.stack([part[k] for part in parts]) for k in (0, 1))
    auroc = beats.mean(axis=1)
    if cluster is None:
        covariance = np.cov(beats) / beats.shape[1] + np.cov(beaten) / beaten.shape[1]
    else:
        found = _clustered(beats, beaten, auroc, cluster[positive], cluster[~positive])
        if found is None:
            return None
        covariance = found
    difference = auroc[0] - auroc[1]
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    # equal scores leave rounding only
    if variance <= 1e-18 * max(1.0, float(np.abs(covariance).max())):
        p = 1.0 if abs(difference) < 1e-12 else np.nan
    else:
        p = float(2 * norm.sf(abs(difference) / np.sqrt(variance)))
    return DeLong(auroc, covariance, p)


def _clustered(
    beats: np.ndarray,
    beaten: np.ndarray,
    auroc: np.ndarray,
    of_positive: np.ndarray,
    of_negative: np.ndarray,
) -> np.ndarray | None:
    n_clusters = int(max(of_positive.max(), of_negative.max())) + 1
    n_positive, n_negative = beats.shape[1], beaten.shape[1]

    def centred(values: np.ndarray, cluster: np.ndarray) -> np.ndarray:
        """Sum over each patient's records of (component - AUROC), (2, clusters)."""
        pairs = zip(values, auroc, strict=True)
        return np.stack([np.bincount(cluster, v - mean, n_clusters) for v, mean in pairs])

    positive, negative = centred(beats, of_positive), centred(beaten, of_negative)
    with_positive = len(np.unique(of_positive))
    with_negative = len(np.unique(of_negative))
    with_any = len(np.unique(np.concatenate([of_positive, of_negative])))
    if min(with_positive, with_negative) < 2:
        return None
    s10 = with_positive / ((with_positive - 1) * n_positive) * positive @ positive.T
    s01 = with_negative / ((with_negative - 1) * n_negative) * negative @ negative.T
    s11 = with_any / (with_any - 1) * positive @ negative.T
    return s10 / n_positive + s01 / n_negative + (s11 + s11.T) / (n_positive * n_negative)
