"""A 12-lead ECG on ECG paper as a PNG, in the usual form: 25 mm/s, 10 mm/mV, 3 x 4 and lead II."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from deepecg_jax.errors import UserError
from deepecg_jax.signals.contract import STANDARD_LEADS

MM_PER_SECOND, MM_PER_MILLIVOLT = 25.0, 10.0
ROWS = (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"))
RHYTHM_LEAD = "II"
_SECONDS = 10.0

# Millimetres on the sheet; the traces start and the rows lie on thick lines of the grid.
_LEFT, _RIGHT, _BOTTOM, _ROW_HEIGHT, _HEADER = 15.0, 10.0, 5.0, 35.0, 30.0
WIDTH = _LEFT + _SECONDS * MM_PER_SECOND + _RIGHT
_GRID_HEIGHT = _BOTTOM + 4 * _ROW_HEIGHT
HEIGHT = _GRID_HEIGHT + _HEADER
_POINTS = 72 / 25.4  # a millimetre in points
_PAPER, _FINE, _COARSE, _INK, _GREY = "#fffafa", "#f6cfd0", "#e79a9d", "#111111", "#555555"


@dataclass(frozen=True)
class Sheet:
    """What stands around the traces: ``left`` and ``right`` lines of the header, and a foot."""

    left: Sequence[str] = ()
    right: Sequence[str] = ()
    foot: str = ""
    derived: Collection[str] = field(default_factory=tuple)
    """Leads that were computed from others: marked with an asterisk."""


def has_matplotlib() -> bool:
    """Whether the PNG can be drawn (extras ``formats`` and ``report``)."""
    from importlib.util import find_spec

    return find_spec("matplotlib") is not None


def draw_png(
    path: Path,
    signal: np.ndarray,
    sampling_rate: float,
    lead_mask: np.ndarray,
    sheet: Sheet | None = None,
    dots_per_inch: int = 200,
) -> None:
    """Draw the first 10 s of an ECG.

    Four columns of 2.5 s show consecutive times above the same times of lead II. Each trace is
    centred on its median; nothing is filtered.

    Args:
        path: the PNG to write.
        signal: (T, 12) mV in the standard lead order; NaN leaves a gap.
        sampling_rate: Hz.
        lead_mask: (12,) bool; a lead with False is written as "not recorded".
        sheet: texts around the traces.
        dots_per_inch: resolution of the image (the sheet is 275 x 175 mm).

    Raises:
        UserError: the shapes do not fit, or the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    signal, mask = np.asarray(signal, np.float64), np.asarray(lead_mask, bool)
    if signal.ndim != 2 or signal.shape[1] != 12 or mask.shape != (12,):
        raise UserError(
            f"A drawing needs a signal of shape (time, 12) and a mask of (12,), got "
            f"{signal.shape} and {mask.shape}."
        )
    sheet = sheet or Sheet()
    figure = Figure(figsize=(WIDTH / 25.4, HEIGHT / 25.4), dpi=dots_per_inch, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(0, HEIGHT)
    _grid(axes)
    for row, leads in enumerate((*ROWS, (RHYTHM_LEAD,))):
        middle = _GRID_HEIGHT - 20 - row * _ROW_HEIGHT  # on a thick line
        _calibration(axes, middle)
        seconds = _SECONDS / len(leads)
        for column, lead in enumerate(leads):
            _trace(
                axes, signal, sampling_rate, mask, lead, column * seconds, seconds, middle, sheet
            )
    _texts(axes, sheet)
    try:
        figure.savefig(path, format="png")
    except OSError as error:
        raise UserError(f"The drawing {path} cannot be written: {error}.") from error


def _grid(axes: Any) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((0, 0), WIDTH, _GRID_HEIGHT, facecolor=_PAPER, zorder=0))
    for step, colour, width in ((1.0, _FINE, 0.35), (5.0, _COARSE, 0.7)):
        across = np.arange(0, WIDTH + step / 2, step)
        up = np.arange(0, _GRID_HEIGHT + step / 2, step)
        axes.vlines(across, 0, _GRID_HEIGHT, colors=colour, linewidths=width, zorder=1)
        axes.hlines(up, 0, WIDTH, colors=colour, linewidths=width, zorder=1)


def _calibration(axes: Any, middle: float) -> None:
    """The 1 mV, 0.2 s pulse at the start of a row."""
    top = middle + MM_PER_MILLIVOLT
    axes.plot(
        [4, 5, 5, 10, 10, 11],
        [middle, middle, top, top, middle, middle],
        color=_INK,
        linewidth=0.9,
        solid_joinstyle="miter",
        zorder=3,
    )


def _trace(
    axes: Any,
    signal: np.ndarray,
    rate: float,
    mask: np.ndarray,
    lead: str,
    start: float,
    seconds: float,
    middle: float,
    sheet: Sheet,
) -> None:
    left = _LEFT + start * MM_PER_SECOND
    position = STANDARD_LEADS.index(lead)
    label = f"{lead}*" if lead in sheet.derived else lead
    box = {"facecolor": _PAPER, "edgecolor": "none", "pad": 0.6, "alpha": 0.85}
    axes.text(
        left + 1.5,
        middle + 13,
        label,
        fontsize=3.6 * _POINTS,
        weight="bold",
        color=_INK,
        va="bottom",
        bbox=box,
        zorder=2,  # a tall wave is drawn over the name, not hidden by it
    )
    if start > 0:
        axes.plot([left, left], [middle - 4, middle + 4], color=_INK, linewidth=0.9, zorder=3)
    if not mask[position]:
        axes.text(
            left + 6,
            middle,
            "not recorded",
            fontsize=3.2 * _POINTS,
            color=_GREY,
            style="italic",
            va="center",
            bbox=box,
            zorder=4,
        )
        return
    first, last = round(start * rate), round((start + seconds) * rate)
    # One sample more, so that neighbouring columns meet.
    samples = signal[first : last + 1, position]
    if not np.isfinite(samples).any():
        return
    centre = float(np.nanmedian(np.where(np.isfinite(samples), samples, np.nan)))
    x = left + np.arange(len(samples)) * (MM_PER_SECOND / rate)
    axes.plot(
        x,
        middle + (samples - centre) * MM_PER_MILLIVOLT,
        color=_INK,
        linewidth=0.8,
        solid_joinstyle="round",
        zorder=3,
    )


def _texts(axes: Any, sheet: Sheet) -> None:
    line = 4.6
    for x, lines, side in ((5.0, sheet.left, "left"), (WIDTH - 5, sheet.right, "right")):
        for number, text in enumerate(list(lines)[:6]):
            axes.text(
                x,
                HEIGHT - 3 - number * line,
                _short(text, 74),
                fontsize=(3.6 if number == 0 and side == "left" else 2.9) * _POINTS,
                weight="bold" if number == 0 and side == "left" else "normal",
                color=_INK,
                va="top",
                ha=side,
                zorder=4,
                parse_math=False,
            )
    scale = f"{MM_PER_SECOND:g} mm/s   {MM_PER_MILLIVOLT:g} mm/mV"
    box = {"facecolor": _PAPER, "edgecolor": "none", "pad": 0.8, "alpha": 0.9}
    style: dict[str, Any] = {"fontsize": 2.8 * _POINTS, "color": _INK, "va": "center", "zorder": 4}
    axes.text(WIDTH - 5, 3.5, scale, ha="right", bbox=box, **style)
    if sheet.foot:
        axes.text(5, 3.5, _short(sheet.foot, 120), bbox=box, parse_math=False, **style)


def _short(text: str, length: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "\u2026"
