"""What ``metrics.json`` holds of the groups of one attribute, such as sex."""

from typing import NotRequired

from typing_extensions import TypedDict

from deepecg_jax.evaluation.resampling.intervals import Estimate


class Gap(Estimate):
    """A difference or ratio between groups: the mean over findings, and each finding."""

    incomplete: float | None
    by_finding: NotRequired[dict[str, Estimate]]


class GroupFinding(TypedDict, extra_items=float | None):
    """One finding in one group: its numbers of records, and each metric by name."""

    n: int
    n_positive: int


class Group(TypedDict, extra_items=float | None):
    """One group: its numbers of records, each metric by name (the mean over the findings that are
    compared), the same with ``intervals``, and every finding."""

    n: int
    n_positive: int
    intervals: dict[str, Estimate]
    by_finding: dict[str, GroupFinding]


class GroupValue(TypedDict):
    """A group, and its value of a metric."""

    group: str
    value: float | None


class WorstGroup(TypedDict):
    """The group with the worst value: of the mean over compared findings, and of each of them."""

    mean: GroupValue | None
    by_finding: dict[str, GroupValue | None]


class DetectableGap(TypedDict):
    """The smallest gap that would have been found: the largest over pairs of groups, of each pair
    ("A - B"), and of each finding."""

    value: float | None
    pairs: dict[str, float | None]
    by_finding: dict[str, float | None]


class Power(TypedDict):
    """``smallest_detectable``: metric -> gap, of a two-sided test at ``alpha``."""

    alpha: float
    power: float
    smallest_detectable: dict[str, DetectableGap]


class GroupComparison(TypedDict, extra_items=Gap):
    """One attribute. Beside these, ``METRIC_difference`` and ``METRIC_ratio`` of every metric of
    groups, of ``equalized_odds``, ``equal_opportunity`` and ``demographic_parity``; all but the
    first and the last only where there are two groups or more."""

    groups: dict[str, Group]
    worst_group: NotRequired[dict[str, WorstGroup]]
    power: NotRequired[Power]
    definition: NotRequired[str]
    findings_compared: list[str]
