"""A recording as read from a file, and the error that says why one cannot be used."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypedDict

import numpy as np


class SignalError(ValueError):
    """A recording that cannot be used.

    ``stage`` is ``read``, ``check`` or ``standardize``; ``reason`` a short code for counting
    (``not_finite``, ``flat_lead``, ``saturated``, ``amplitude``, ``einthoven``, ``unknown_rate``,
    ``too_short``, ``duplicate_lead``, ``missing_leads``, ``unreadable``, ``checksum``, ``unit``,
    ``shape``, ``too_large``, ``unsafe_xml``, ``unknown_format``, ``compressed``, ``gaps``);
    ``str(error)`` one sentence for people. It survives pickling between processes.
    """

    def __init__(self, stage: str, reason: str, message: str) -> None:
        super().__init__(message)
        self.stage = stage
        self.reason = reason

    def __reduce__(self) -> tuple[type["SignalError"], tuple[str, str, str]]:
        return type(self), (self.stage, self.reason, str(self))


class Meta(TypedDict, total=False):
    """What else a file said; a format has the keys that it can fill.

    ``format``: its name for people; ``microvolts_per_count`` and ``offset_millivolts``: how the
    file scales each lead; ``date``: of the recording, ISO where it could be read, else as it
    stands; ``statements`` and who made them (``statements_by``), ``machine_statements`` that a
    physician changed; ``measurements`` and ``filters`` by the format's own names;
    ``checksum_verified``: false or None where checksums could not be compared; ``warnings``: of the
    parser; ``comments``: the ``# key: value`` lines of a WFDB header; ``repairs``: what of age and
    sex was not understood (see `signals.people`); ``spelled_otherwise``: the file's name differs
    from the one asked for in case or accents.
    """

    format: str
    microvolts_per_count: list[float]
    offset_millivolts: list[float]
    date: str
    statements: list[str]
    statements_by: str
    machine_statements: list[str]
    measurements: Mapping[str, float | str]
    filters: Mapping[str, float | bool]
    checksum_verified: bool | None
    warnings: list[str]
    comments: dict[str, str]
    repairs: tuple[str, ...]
    spelled_otherwise: bool


@dataclass(frozen=True, eq=False)
class Recording:
    """One ECG as recorded: ``signal`` (T, L) float32 millivolts, columns named by ``leads``.

    ``sampling_rate`` in Hz; ``age`` in years (NaN unknown); ``sex`` ``female``, ``male`` or
    ``unknown``; texts are empty when unknown; ``meta`` holds what else the file says.
    Raises SignalError (``read``, ``shape``) when the array and the lead names do not fit.
    """

    signal: np.ndarray
    leads: tuple[str, ...]
    sampling_rate: float
    record_id: str = ""
    patient_id: str = ""
    age: float = math.nan
    sex: str = "unknown"
    site: str = ""
    device: str = ""
    report: str = ""
    meta: Meta = field(default_factory=Meta)

    def __post_init__(self) -> None:
        signal = np.asarray(self.signal, dtype=np.float32)
        leads = tuple(self.leads)
        if signal.ndim != 2 or signal.shape[1] != len(leads):
            raise SignalError(
                "read",
                "shape",
                f"{self.record_id or 'recording'}: the signal has shape {signal.shape}, which is "
                f"not (samples, {len(leads)}) for {len(leads)} lead names.",
            )
        object.__setattr__(self, "signal", signal)
        object.__setattr__(self, "leads", leads)

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return self.signal.shape[0] / self.sampling_rate
