"""What ``survival.json`` holds, which is also what ``metrics.json`` holds of each score."""

from typing import NotRequired

from typing_extensions import TypedDict

from deepecg_jax.evaluation.resampling.intervals import Estimate


class Endings(TypedDict):
    """How follow-up ended: ``n`` in all, by the event, by a competing event."""

    n: int
    n_events: int
    n_competing: int


class HazardRatio(TypedDict):
    """Of one covariate, with its 95 % Wald interval."""

    hazard_ratio: float
    low: float
    high: float
    p: float


class NoFit(TypedDict):
    """Why there is no finite estimate."""

    reason: str


class CoxFit(TypedDict):
    """Cox's regression of K covariates: ``coefficients`` (K,) and their ``covariance`` (K, K);
    ``errors`` is ``clustered by patient`` or ``independent records``."""

    covariates: dict[str, HazardRatio]
    coefficients: list[float]
    covariance: list[list[float]]
    log_likelihood: float
    n: int
    n_events: int
    errors: str


class NestedTest(TypedDict):
    """Does a score say more than another already does?

    The likelihood-ratio test of two nested Cox models takes ECGs as independent; where patients
    have several, ``independent_records`` is false and ``p_wald``, the Wald test of all that is
    added with errors clustered by patient, is the one to quote. ``hazard_ratios`` are those of the
    larger model.
    """

    chi2: float
    df: int
    p_likelihood_ratio: float
    independent_records: bool
    wald_chi2: float
    p_wald: float
    wald_errors: str
    hazard_ratios: dict[str, HazardRatio]


class LogRank(TypedDict):
    """Both tests, ``None`` where there is none, as with fewer than two groups."""

    statistic: float | None
    df: int | None
    p: float | None
    statistic_clustered: float | None
    p_clustered: float | None


class CurveRow(TypedDict):
    """A point of a cumulative incidence curve."""

    time_days: float
    n_at_risk: int
    incidence: float | None
    low: float | None
    high: float | None


class RiskGroup(Endings):
    """``incidence_by_year``: year -> cumulative incidence."""

    incidence_by_year: dict[str, Estimate]


class Discrimination(TypedDict):
    """How well a score ranks the risk; ``auroc_by_year`` is cumulative/dynamic and weighted for
    censoring, ``event_auroc`` plainly events by the horizon against all others."""

    harrell_c: Estimate
    uno_c: Estimate
    event_auroc: Estimate
    auroc_by_year: dict[str, Estimate]


class AtThreshold(TypedDict):
    """A fixed threshold at the horizon, and the hazard ratio of high against low."""

    value: float
    high_risk_share: Estimate
    incidence: Estimate
    incidence_high: Estimate
    incidence_low: Estimate
    sensitivity: Estimate
    specificity: Estimate
    ppv: Estimate
    npv: Estimate
    hazard_ratio: CoxFit | NoFit


class Beside(Endings):
    """Another score on the records that have both. Without an event among them, a ``reason``
    instead of the rest; ``difference`` is the score minus the other, measure by measure."""

    reason: NotRequired[str]
    discrimination: NotRequired[Discrimination]
    score_discrimination: NotRequired[Discrimination]
    difference: NotRequired[dict[str, Estimate]]
    cox: NotRequired[CoxFit | NoFit]
    adding_score: NotRequired[NestedTest | NoFit]
    adding_column: NotRequired[NestedTest | NoFit]


class LeftOut(TypedDict):
    """Records without follow-up, and those of the blanking period."""

    without_follow_up: int
    blanked: int


class FollowUpLength(TypedDict):
    """Median by reverse Kaplan-Meier, and the longest."""

    median_days: float | None
    longest_days: float


class SurvivalResult(TypedDict):
    """The whole file; ``cox`` is of one standard deviation of the score."""

    schema: int
    score: str
    horizon_years: float
    horizon_days: float
    blanking_days: float
    blanking_rule: str
    resamples: int
    seed: int
    cluster: str | None
    n_records: int
    n_patients: int
    n_events: int
    n_competing: int
    left_out: LeftOut
    follow_up: FollowUpLength
    discrimination: Discrimination
    group_rule: str
    groups: dict[str, RiskGroup]
    log_rank: LogRank
    threshold: AtThreshold | None
    cox: CoxFit | NoFit
    beside: dict[str, Beside]
    curves: dict[str, list[CurveRow]]
