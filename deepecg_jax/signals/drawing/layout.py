"""Where everything stands on ECG paper, in millimetres: one layout, drawn by two pens.

The usual form: 25 mm/s, three rows of four leads of 2.5 s that follow one another, lead II below
over the same 10 s. :mod:`~deepecg_jax.signals.drawing.svg` and
:mod:`~deepecg_jax.signals.drawing.png` draw it. The origin is the paper's lower left corner;
traces start and rows lie on thick lines of the grid.
"""

from dataclasses import dataclass

import numpy as np

from deepecg_jax.errors import UserError
from deepecg_jax.signals.contract import STANDARD_LEADS, SignalContract

MM_PER_SECOND = 25.0
SECONDS = 10.0
ROWS = (
    ("I", "aVR", "V1", "V4"),
    ("II", "aVL", "V2", "V5"),
    ("III", "aVF", "V3", "V6"),
    ("II",),
)
FINE, COARSE = 1.0, 5.0
"""Steps of the grid."""

_LEFT, _RIGHT, _BOTTOM, _ROW_HEIGHT, _FIRST_ROW = 15.0, 10.0, 5.0, 35.0, 20.0
PAPER_WIDTH = _LEFT + SECONDS * MM_PER_SECOND + _RIGHT
PAPER_HEIGHT = _BOTTOM + len(ROWS) * _ROW_HEIGHT
LABEL = (1.5, 13.0)
"""A lead's name, from the left end of its base line."""
NOT_RECORDED = (6.0, 0.0)
TICK = 4.0
"""Half the height of the stroke between two leads of a row."""
PULSE = ((4.0, 0.0), (5.0, 0.0), (5.0, 10.0), (10.0, 10.0), (10.0, 0.0), (11.0, 0.0))
"""The pulse of 1 mV and 0.2 s, from the left end of a row's base line."""


@dataclass(frozen=True)
class Scale:
    """How high a value is drawn: ``mm_per_unit``; ``note`` says what was done to the signal."""

    unit: str = "mV"
    mm_per_unit: float = 10.0
    note: str = ""

    @property
    def in_millivolts(self) -> bool:
        """Whether a pulse of 1 mV says something."""
        return self.unit == "mV"

    def words(self, between: str = ", ") -> str:
        """``25 mm/s, 10 mm/mV`` and the note."""
        scales = (f"{MM_PER_SECOND:g} mm/s", f"{self.mm_per_unit:g} mm/{self.unit}")
        return between.join((*scales, self.note) if self.note else scales)


MILLIVOLTS = Scale()


def scale_of(contract: SignalContract) -> Scale:
    """What the numbers of a contract are: only unscaled millivolts are drawn as such.

    z-scores get 2 mm a standard deviation, which draws an ordinary QRS as high as it is on paper;
    DeepECG's batch scaling has no unit, but keeps about the size of millivolts.
    """
    note = "" if contract.scaling == "millivolt" else contract.scaling_in_words
    if contract.scaling == "millivolt" and contract.filters:
        note = f"without {' and '.join(contract.filters)}"
    return {
        "millivolt": Scale(note=note),
        "deepecg": Scale("unit", 10.0, note),
        "fairseq": Scale("SD", 2.0, note),
    }[contract.scaling]


@dataclass(frozen=True, eq=False)
class Trace:
    """One lead: its base line begins at ``x``, ``y``; ``course`` (n, 2) mm from there, a sample a
    row, NaN in gaps, and None where the lead was not recorded or nothing of it is finite.
    ``tick``: a stroke stands at its left end."""

    lead: str
    x: float
    y: float
    tick: bool
    recorded: bool
    course: np.ndarray | None


def row_heights() -> list[float]:
    """The base line of each row."""
    return [PAPER_HEIGHT - _FIRST_ROW - row * _ROW_HEIGHT for row in range(len(ROWS))]


def lay_out(
    signal: np.ndarray,
    sampling_rate: float,
    lead_mask: np.ndarray | None = None,
    scale: Scale = MILLIVOLTS,
) -> list[Trace]:
    """The traces of the first 10 s of an ECG, each centred on its median; nothing is filtered.

    Args:
        signal: (T, 12) in ``scale``'s unit and the standard lead order; NaN leaves a gap.
        sampling_rate: Hz.
        lead_mask: (12,) bool, false where a lead was not recorded; None for all recorded.
        scale: height of a unit.

    Raises:
        UserError: the shapes do not fit, or the rate is no positive number.
    """
    signal = np.asarray(signal, np.float64)
    mask = np.ones(12, bool) if lead_mask is None else np.asarray(lead_mask, bool)
    if signal.ndim != 2 or signal.shape[1] != 12 or mask.shape != (12,):
        raise UserError(
            f"A drawing needs a signal of shape (time, 12) and a lead mask of shape (12,), got "
            f"{signal.shape} and {mask.shape}."
        )
    if not sampling_rate > 0:
        raise UserError(f"A drawing needs a positive sampling rate in Hz, got {sampling_rate}.")
    traces = []
    for y, leads in zip(row_heights(), ROWS, strict=True):
        seconds = SECONDS / len(leads)
        for column, lead in enumerate(leads):
            start, place = column * seconds, STANDARD_LEADS.index(lead)
            first, last = round(start * sampling_rate), round((start + seconds) * sampling_rate)
            # one sample more, so that neighbouring columns meet
            course = None
            if mask[place]:
                course = _course(signal[first : last + 1, place], sampling_rate, scale)
            x = _LEFT + start * MM_PER_SECOND
            traces.append(Trace(lead, x, y, start > 0, bool(mask[place]), course))
    return traces


def _course(samples: np.ndarray, rate: float, scale: Scale) -> np.ndarray | None:
    finite = np.isfinite(samples)
    if not finite.any():
        return None
    x = np.arange(len(samples)) * (MM_PER_SECOND / rate)
    y = np.where(finite, samples, np.nan) - np.median(samples[finite])
    return np.stack([x, y * scale.mm_per_unit], axis=1)
