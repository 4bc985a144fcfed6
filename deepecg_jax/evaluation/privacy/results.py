"""What ``privacy.json`` holds."""

from typing import NotRequired

from typing_extensions import TypedDict

from deepecg_jax.evaluation.resampling.intervals import Estimate


class Rate(Estimate):
    """A true-positive rate, or the ``reason`` why there is none."""

    reason: NotRequired[str]


class Attack(TypedDict):
    """How well an attack tells members from non-members; ``tpr_at_fpr``: ``0.001`` and ``0.01`` ->
    the true-positive rate at that false-positive rate."""

    n_members: int
    n_non_members: int
    auroc: Estimate
    tpr_at_fpr: dict[str, Rate]


class LossAttack(Attack):
    """``advantage``: true minus false-positive rate of calling member whoever's loss is at most the
    members' mean, which is Yeom's own attack; ``left_out``: records without a known label."""

    left_out: int
    mean_loss_members: float
    mean_loss_non_members: float
    advantage: float


class RatioAttack(Attack):
    """``left_out``: records with fewer than two models on a side; ``variance``: ``common`` or ``by
    record``."""

    left_out: int
    variance: str


class NoAttack(TypedDict):
    """Why there is none."""

    reason: str


class LikelihoodRatioAttack(TypedDict):
    """From so many reference ``models``."""

    models: int
    offline: RatioAttack
    online: RatioAttack | NoAttack


class Spread(TypedDict):
    """The mean over repeated splits, with percentiles over them."""

    value: float
    low: float
    high: float


class PublishedAttack(TypedDict):
    """The published protocol, over these seeds."""

    auroc: Spread
    seeds: list[int]


class LearnedAttack(TypedDict):
    """Judged on records of new patients, and as published."""

    by_patient: Attack
    published: PublishedAttack


class Membership(TypedDict):
    """Every attack on membership; ``likelihood_ratio`` needs references."""

    patients_in_both: int
    loss: LossAttack | NoAttack
    learned: LearnedAttack
    likelihood_ratio: LikelihoodRatioAttack | None


class Chance(TypedDict):
    """What a random order would reach."""

    rank_1: float
    rank_5: float


class Reidentified(TypedDict):
    """``rank_k`` is the share of queries with a recording of the patient among the k nearest,
    ``map`` the mean average precision."""

    n_recordings: int
    n_patients: int
    n_queries: int
    n_query_patients: int
    left_out: int
    rank_1: Estimate
    rank_5: Estimate
    map: Estimate
    chance: Chance


class PrivacyResult(TypedDict):
    """The whole file, null for what was not asked."""

    schema: int
    resamples: int
    seed: int
    cluster: str | None
    membership: Membership | None
    reidentification: Reidentified | None
