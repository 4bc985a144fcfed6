"""A recording as read from a file, and the error that says why one cannot be used."""

import math
from dataclasses import dataclass, field
from typing import Any

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


@dataclass(frozen=True, eq=False)
class Recording:
    """One ECG as recorded: ``signal`` (T, L) float32 millivolts, columns named by ``leads``.

    ``sampling_rate`` in Hz; ``age`` in years (NaN unknown); ``sex`` ``female``, ``male`` or
    ``unknown``; texts are empty when unknown; ``meta`` holds whatever else the file says.
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
    meta: dict[str, Any] = field(default_factory=dict)

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
