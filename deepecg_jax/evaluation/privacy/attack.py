"""How well an attack tells members from non-members."""

import numpy as np

from deepecg_jax.evaluation.privacy.results import Attack, Rate
from deepecg_jax.evaluation.resampling.bootstrap import bootstrap_auroc
from deepecg_jax.evaluation.resampling.chunks import count_blocks
from deepecg_jax.evaluation.resampling.defined import ratio
from deepecg_jax.evaluation.resampling.draws import Resampler
from deepecg_jax.evaluation.resampling.intervals import interval

FALSE_POSITIVE_RATES = (0.001, 0.01)
_LANES = 128


def judge_attack(
    member: np.ndarray, score: np.ndarray, resampler: Resampler | None, resamples: int
) -> Attack:
    """AUROC, and the true-positive rate where almost nobody is accused falsely.

    An average hides an attack that is certain about a few, so Carlini et al. (IEEE S&P 2022) ask
    for the true-positive rate at false-positive rates of 0.1 % and 1 %.

    Args:
        member: (M,) bool, in the training data.
        score: (M,) higher means member; no NaN.
        resampler: of the M records (whole patients).
        resamples: how many.

    Returns:
        with fewer non-members than one false positive takes, a rate has no value and says why.
    """
    member = np.asarray(member, bool)
    labels, scores = member[:, None].astype(np.int8), np.asarray(score, np.float64)[:, None]
    auroc: list[np.ndarray] = []
    tpr: dict[float, list[np.ndarray]] = {rate: [] for rate in FALSE_POSITIVE_RATES}
    low_rates = _LowRates(member, scores[:, 0])
    for counts in count_blocks(len(member), resampler, resamples, _LANES):
        auroc.append(bootstrap_auroc(labels, scores, counts.T.astype(np.int64))[:, 0])
        for rate in FALSE_POSITIVE_RATES:
            tpr[rate].append(low_rates(rate, counts))
    outside = int((~member).sum())
    at: dict[str, Rate] = {}
    for rate in FALSE_POSITIVE_RATES:
        if outside * rate < 1:
            at[f"{rate:g}"] = {
                **interval(np.array([np.nan])),
                "reason": f"needs at least {round(1 / rate):,} non-members",
            }
        else:
            at[f"{rate:g}"] = {**interval(np.concatenate(tpr[rate]))}
    return {
        "n_members": int(member.sum()),
        "n_non_members": outside,
        "auroc": interval(np.concatenate(auroc)),
        "tpr_at_fpr": at,
    }


def restrict(resampler: Resampler | None, rows: np.ndarray) -> Resampler | None:
    """The same draws, seen by some of the records."""
    if resampler is None:
        return None
    return Resampler(resampler.cluster_of[rows], resampler.n_clusters, resampler.seed)


class _LowRates:
    """The largest true-positive rate of a threshold whose false-positive rate stays within."""

    def __init__(self, member: np.ndarray, score: np.ndarray):
        order = np.argsort(-score, kind="stable")
        self._order, self._member = order, member[order][:, None]
        ranked = score[order]
        self._last_of_score = np.flatnonzero(np.r_[ranked[1:] != ranked[:-1], True])

    def __call__(self, rate: float, counts: np.ndarray) -> np.ndarray:
        """(R,) for counts (M, R); NaN without members or without non-members."""
        drawn = counts[self._order]
        hits = np.cumsum(np.where(self._member, drawn, 0.0), axis=0)
        alarms = np.cumsum(np.where(self._member, 0.0, drawn), axis=0)
        within = alarms[self._last_of_score] <= rate * alarms[-1]
        reached = np.where(within, hits[self._last_of_score], 0.0).max(axis=0)
        return np.where(alarms[-1] > 0, ratio(reached, hits[-1]), np.nan)
