"""Estimates as figures and sentences take them: what is undefined is told apart once."""

from collections.abc import Mapping
from typing import NamedTuple

from deepecg_jax.evaluation.resampling.intervals import Estimate


class Shown(NamedTuple):
    """A value, and the ends of its interval if it has one."""

    value: float
    ends: tuple[float, float] | None


def shown_of(estimate: Estimate) -> Shown | None:
    """The numbers of an estimate; ``None`` where it is undefined."""
    value, low, high = estimate["value"], estimate["low"], estimate["high"]
    if value is None:
        return None
    return Shown(value, None if low is None or high is None else (low, high))


def defined(estimates: Mapping[str, Estimate]) -> dict[str, float]:
    """Name -> value, of those that are defined, the highest first; equal ones keep their order."""
    found = {name: part["value"] for name, part in estimates.items()}
    values = {name: value for name, value in found.items() if value is not None}
    return dict(sorted(values.items(), key=lambda item: -item[1]))
