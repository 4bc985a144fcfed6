"""What flows through a build: planned records, the examples made of them, and the rejects."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

import numpy as np

UNLABELLED = "unlabelled"  # the one label of a data set without labels
SPLITS: tuple[str, ...] = ("train", "validation", "test")
"""Every data set has some of these splits, in this order."""


@dataclass(frozen=True)
class PlannedRecord:
    """One recording that a builder found in its source, with what the metadata says about it.

    ``labels`` are int8 values (1, 0, -1) in the order of the builder's label names, or None when
    the builder finds them while reading the file. ``age`` in years, NaN unknown; ``time_days`` and
    ``event`` are follow-up (NaN and -1 without). ``counts`` names repairs of the metadata;
    ``reading`` is what the reader must be told beside the path; ``unknown_labels`` is how many
    labels follow that the source cannot express.
    """

    record_id: str
    patient_id: str
    split: str
    path: str
    labels: np.ndarray | None = None
    age: float = math.nan
    sex: str = "unknown"
    site: str = ""
    device: str = ""
    report: str = ""
    fold: int = -1
    time_days: float = math.nan
    event: int = -1
    counts: tuple[str, ...] = ()
    reading: Mapping[str, Any] = field(default_factory=dict)
    unknown_labels: int = 0


class Features(TypedDict):
    """What is stored of an ECG; shapes and units stand in ``deepecg_jax.data.shards.schema``."""

    signal: np.ndarray
    lead_mask: np.ndarray
    labels: np.ndarray
    record_id: str
    patient_id: str
    age: float
    sex: str
    site: str
    device: str
    report: str
    time_days: float
    event: int


@dataclass(frozen=True)
class Example:
    """One stored ECG: the features of the schema, and quality measures kept beside the shards.

    ``counts`` names what was repaired or noticed, for the totals of ``summary.json``.
    """

    features: Features
    quality: Mapping[str, float | bool] = field(default_factory=dict)
    counts: Sequence[str] = ()


@dataclass(frozen=True)
class Reject:
    """One recording that was left out: ``stage`` and ``reason`` are short codes for counting."""

    path: str
    record_id: str
    stage: str
    reason: str
    message: str


@dataclass(frozen=True)
class Plan:
    """All recordings of a source; ``counts`` and ``notes`` go to ``summary.json`` as they are."""

    records: tuple[PlannedRecord, ...]
    rejects: tuple[Reject, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
