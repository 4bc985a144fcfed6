"""The likelihood-ratio attack, with reference models (Carlini et al., IEEE S&P 2022)."""

import numpy as np

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.privacy.attack import judge_attack, restrict
from deepecg_jax.evaluation.privacy.audit import Audit, References, confidence
from deepecg_jax.evaluation.privacy.results import (
    LikelihoodRatioAttack,
    NoAttack,
    RatioAttack,
)
from deepecg_jax.evaluation.resampling.draws import Resampler

FEW = 16
"""Below this many models on a side, each finding has one variance, common to all records."""
_LEAST = 2


def likelihood_ratio_attack(
    audit: Audit, references: References, resampler: Resampler | None, resamples: int
) -> LikelihoodRatioAttack:
    """How much likelier the target's confidence is if the record was in the training data.

    Confidence is normal over models, with a mean of each record. ``offline`` asks how far the
    target's lies above the models that did not see the record: the sum over findings of
    (confidence - mean_out) / sd_out, divided by the root of their number. ``online`` needs models
    that saw it too, and is the log-likelihood ratio of the two normals, summed over findings. Both
    take findings as independent given the record.
    """
    observed = confidence(audit.labels, audit.scores)
    outside = references.scored & ~references.trained_on
    inside = references.scored & references.trained_on
    out = _Normal(references.confidence, outside)
    z = (observed - out.mean) / out.deviation
    offline = np.nansum(z, axis=1) / np.sqrt(np.maximum((~np.isnan(z)).sum(axis=1), 1))
    usable = out.enough & ~np.isnan(z).all(axis=1)
    if not _both_sides(audit, usable):
        raise UserError(
            "The likelihood-ratio attack needs members and non-members that at least two reference "
            "models scored without having been trained on them."
        )
    by_out = _judge(audit, offline, usable, out.common, resampler, resamples)
    own = _Normal(references.confidence, inside)
    ratio = _log_density(observed, own) - _log_density(observed, out)
    usable = own.enough & out.enough & ~np.isnan(ratio).all(axis=1)
    if _both_sides(audit, usable):
        online = np.nansum(ratio, axis=1)
        common = own.common or out.common
        by_both = _judge(audit, online, usable, common, resampler, resamples)
    else:
        by_both: RatioAttack | NoAttack = {
            "reason": "needs members and non-members that two reference models were trained on "
            "(column 'member') and two were not"
        }
    return {"models": len(references.scored), "offline": by_out, "online": by_both}


class _Normal:
    """Mean and deviation of the confidence over the models of one side, each (M, C)."""

    def __init__(self, values: np.ndarray, side: np.ndarray):
        own = np.where(side[:, :, None], values, np.nan)
        n = (~np.isnan(own)).sum(axis=0)
        self.enough = side.sum(axis=0) >= _LEAST
        self.mean = np.where(n > 0, np.nansum(own, axis=0) / np.maximum(n, 1), np.nan)
        squares = np.nansum((own - self.mean) ** 2, axis=0)
        self.common = bool(side.sum(axis=0)[self.enough].min(initial=FEW) < FEW)
        if self.common:
            use = n >= _LEAST
            freedom = np.where(use, n - 1, 0).sum(axis=0)
            variance = np.where(use, squares, 0.0).sum(axis=0) / np.maximum(freedom, 1)
            variance = np.broadcast_to(np.where(freedom > 0, variance, np.nan), n.shape)
        else:
            variance = np.where(n >= _LEAST, squares / np.maximum(n - 1, 1), np.nan)
        # models that agree to the last digit (scores at 0 or 1) must not divide by zero
        self.deviation = np.sqrt(np.maximum(variance, 1e-12))


def _log_density(x: np.ndarray, side: _Normal) -> np.ndarray:
    return -0.5 * ((x - side.mean) / side.deviation) ** 2 - np.log(side.deviation)


def _both_sides(audit: Audit, usable: np.ndarray) -> bool:
    return bool((usable & audit.member).any() and (usable & ~audit.member).any())


def _judge(
    audit: Audit,
    score: np.ndarray,
    usable: np.ndarray,
    common: bool,
    resampler: Resampler | None,
    resamples: int,
) -> RatioAttack:
    rows = np.flatnonzero(usable)
    return {
        **judge_attack(audit.member[rows], score[rows], restrict(resampler, rows), resamples),
        "left_out": int(len(usable) - len(rows)),
        "variance": "common" if common else "by record",
    }
