"""What ``metrics.json`` holds.

Each part's own type stands beside the code that makes it: `fairness.results`,
`calibration.results`, `survival.results` and `discrimination.results`.
"""

from typing_extensions import TypedDict

from deepecg_jax.evaluation.calibration.results import CalibrationResult
from deepecg_jax.evaluation.discrimination.results import ThresholdFit
from deepecg_jax.evaluation.fairness.results import GroupComparison
from deepecg_jax.evaluation.resampling.intervals import Estimate, MacroEstimate
from deepecg_jax.evaluation.resampling.resampling import Strata
from deepecg_jax.evaluation.survival.results import SurvivalResult


class Confusion(TypedDict):
    """Records at the threshold; whole numbers unless records are weighted."""

    true_positive: float
    false_negative: float
    false_positive: float
    true_negative: float


class Finding(TypedDict, extra_items=Estimate):
    """One finding: its numbers, and every metric of the table by name."""

    n: int
    n_positive: int
    threshold: float
    confusion: Confusion


class Averages(TypedDict):
    """Metric -> mean over findings, and metric -> value of records x findings flattened."""

    macro: dict[str, MacroEstimate]
    micro: dict[str, Estimate]


class SetOfFindings(Averages):
    """A category or a group of findings."""

    findings: list[str]


class Evaluation(Averages):
    """The whole file.

    ``n_patients`` counts clusters where whole patients are drawn; ``thresholds`` is what the report
    says about them; ``stratify`` says how large the strata are.
    """

    schema: int
    n_records: int
    n_patients: int
    resamples: int
    seed: int
    cluster: str | None
    interval: str
    stratify: Strata | None
    weighted: bool
    thresholds: str
    threshold_fit: ThresholdFit | None
    findings: dict[str, Finding]
    categories: dict[str, SetOfFindings]
    groups: dict[str, SetOfFindings]
    fairness: dict[str, GroupComparison]
    calibration: CalibrationResult
    survival: dict[str, SurvivalResult]
