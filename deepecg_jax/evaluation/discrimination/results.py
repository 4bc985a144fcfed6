"""What ``metrics.json`` holds of thresholds that this run fitted."""

from typing_extensions import TypedDict


class Corrected(TypedDict):
    """A metric at the fitted threshold, what the fit flatters it by, and what is left."""

    apparent: float | None
    optimism: float | None
    corrected: float | None


class Optimism(TypedDict):
    """``findings``: name -> metric -> values, of findings with both classes; ``macro``: metric ->
    their means."""

    resamples: int
    findings: dict[str, dict[str, Corrected]]
    macro: dict[str, Corrected]


class ThresholdFit(TypedDict):
    """How thresholds were fitted.

    ``unfitted`` names findings that got 0.5; ``shared_patients`` counts patients of the fit who are
    also reported on; ``optimism`` is there when the data are the same.
    """

    method: str
    source: str
    n_records: int
    unfitted: list[str]
    same_data: bool
    shared_patients: int
    optimism: Optimism | None
