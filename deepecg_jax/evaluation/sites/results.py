"""What ``sites.json`` holds."""

from typing import Literal

from typing_extensions import TypedDict

from deepecg_jax.evaluation.resampling.intervals import Estimate


class MetaAnalysis(TypedDict):
    """What `meta_analysis.random_effects` finds of K effects.

    With K = 1 there is nothing between studies: tau2, i2 and q_p are ``None``. The prediction
    interval needs K of 3 or more. ``weights`` sum to 1.
    """

    k: int
    effect: float
    se: float
    low: float
    high: float
    prediction_low: float | None
    prediction_high: float | None
    tau2: float | None
    i2: float | None
    q: float
    q_df: int
    q_p: float | None
    weights: list[float]


class RandomEffects(TypedDict):
    """The same in the file: mean and intervals in the metric, the rest on the logit scale."""

    value: float
    low: float
    high: float
    prediction_low: float | None
    prediction_high: float | None
    k: int
    tau2: float | None
    i2: float | None
    q: float
    q_df: int
    q_p: float | None


class SiteEstimate(Estimate):
    """One finding at one site. A site that is left out has no ``weight`` and a ``reason``."""

    n: int
    n_positive: int
    weight: float | None
    reason: str | None


RowKind = Literal["site", "random_effects", "prediction", "pooled"]


class ForestRow(TypedDict):
    """A row of a forest plot."""

    label: str
    kind: RowKind
    value: float | None
    low: float | None
    high: float | None
    weight: float | None


class FindingSites(TypedDict):
    """One finding: all records together, each site, the mean over sites, that mean without each
    site, and the rows of a forest plot in order."""

    pooled: Estimate
    sites: dict[str, SiteEstimate]
    random_effects: RandomEffects | None
    leave_one_out: dict[str, RandomEffects | None]
    figure: list[ForestRow]


class SiteSize(TypedDict):
    """How large a site is."""

    n_records: int
    n_patients: int


class SitesResult(TypedDict):
    """The whole file; ``without_site`` counts records."""

    schema: int
    metric: str
    site_column: str
    method: str
    resamples: int
    seed: int
    cluster: str | None
    without_site: int
    sites: dict[str, SiteSize]
    findings: dict[str, FindingSites]
