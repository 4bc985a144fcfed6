"""What ``metrics.json`` holds of calibration, and ``calibration.json`` of a recalibration."""

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from deepecg_jax.evaluation.resampling.intervals import Estimate, MacroEstimate


class Bin(TypedDict):
    """The records with a score in a range; its edges, their mean score and share of positives."""

    low: float
    high: float
    n: int
    mean_score: float
    positive_rate: float
    positive_rate_low: float | None
    positive_rate_high: float | None


class CurvePoint(TypedDict):
    """The smooth share of positives at a score, with its band."""

    score: float
    positive_rate: float | None
    low: float | None
    high: float | None


class FindingCalibration(TypedDict):
    """One finding; ``intervals`` holds every measure of `measures.CALIBRATION_MEASURES`, and
    ``slope`` and ``intercept``."""

    n: int
    n_positive: int
    ece: float | None
    slope: float | None
    intercept: float | None
    intervals: dict[str, Estimate]
    bins: list[Bin]
    bins_equal_mass: list[Bin]
    curve: list[CurvePoint]


class MacroCalibration(TypedDict):
    """Means over the findings with both classes."""

    ece: float | None
    intervals: dict[str, MacroEstimate]


class MicroCalibration(TypedDict):
    """All records x findings, without the measures that need a smooth curve or bins of equal
    mass."""

    ece: float | None
    intervals: dict[str, Estimate]
    bins: list[Bin]


class CalibrationResult(TypedDict):
    """``bins`` is how many; the next two say how intervals were made."""

    bins: int
    curve_intervals: str | None
    slope_intervals: str | None
    findings: dict[str, FindingCalibration]
    macro: MacroCalibration
    micro: MicroCalibration


RecalibrationMethod = Literal["temperature", "platt", "isotonic"]


class _Mapping(TypedDict):
    n: NotRequired[int]
    n_positive: NotRequired[int]


class Temperature(_Mapping):
    """expit(logit(score) / temperature)."""

    method: Literal["temperature"]
    temperature: float


class Platt(_Mapping):
    """expit(slope x logit(score) + intercept)."""

    method: Literal["platt"]
    slope: float
    intercept: float


class Isotonic(_Mapping):
    """A step through these corners."""

    method: Literal["isotonic"]
    x: list[float]
    y: list[float]


class Identity(_Mapping):
    """The scores stay, for a reason."""

    method: Literal["identity"]
    reason: NotRequired[str]


FittedMapping = Temperature | Platt | Isotonic | Identity


class Recalibration(TypedDict):
    """``calibration.json``: one mapping a finding; in a bundle, the fingerprint of its weights."""

    schema: int
    method: str
    source: str
    findings: dict[str, FittedMapping]
    fingerprint: NotRequired[str | None]
