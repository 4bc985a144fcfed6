"""What ``comparison.json`` holds. Every difference is A minus B."""

from typing import NotRequired

from typing_extensions import TypedDict

from deepecg_jax.evaluation.resampling.intervals import Estimate
from deepecg_jax.evaluation.resampling.resampling import Strata
from deepecg_jax.evaluation.table.pairing import Matched


class MetricComparison(TypedDict):
    """One metric of both models, with intervals and p-values of their difference."""

    a: Estimate
    b: Estimate
    difference: Estimate
    p_bootstrap: float | None
    p_permutation: float | None


class Entry(TypedDict):
    """A finding or an average: the AUROC at the head, every metric below ``metrics``.

    ``p_holm`` and ``p_bh`` (Benjamini and Hochberg) are there where the entry belongs to a family
    of tests, which those of categories do not.
    """

    a: float | None
    b: float | None
    difference: Estimate
    p_bootstrap: float | None
    p_permutation: float | None
    metrics: dict[str, MetricComparison]
    p_holm: NotRequired[float | None]
    p_bh: NotRequired[float | None]


class DeLongTests(TypedDict):
    """p-values and standard errors of the difference, ``None`` for weighted records."""

    p_delong: float | None
    se_delong: float | None
    p_delong_clustered: float | None
    se_delong_clustered: float | None


class DecisionCurves(TypedDict):
    """Net benefit at each threshold probability: of A, of B, of treating everybody or nobody."""

    threshold: list[float]
    a: list[float | None]
    b: list[float | None]
    all: list[float | None]
    none: list[float]


class FindingEntry(Entry, DeLongTests):
    """A finding."""

    n: int
    n_positive: int
    threshold_a: float
    threshold_b: float
    reclassification: dict[str, Estimate]
    decision_curve: DecisionCurves


class MacroEntry(Entry):
    """The mean over findings, with the means of their reclassification."""

    reclassification: dict[str, Estimate]


class CategoryComparison(TypedDict):
    """Of a category of findings."""

    macro: Entry
    micro: Entry


class Family(TypedDict):
    """Which p-value was adjusted, over how many tests."""

    p: str
    family: int


class ComparisonResult(Matched):
    """The whole file; ``a`` and ``b`` are what the command calls the models."""

    a: NotRequired[str]
    b: NotRequired[str]
    schema: int
    n_patients: int
    resamples: int
    permutations: int
    seed: int
    cluster: str | None
    interval: str
    stratify: Strata | None
    weighted: bool
    thresholds_a: str
    thresholds_b: str
    difference_is: str
    adjusted: dict[str, Family]
    findings: dict[str, FindingEntry]
    macro: MacroEntry
    micro: Entry
    categories: dict[str, CategoryComparison]
