"""ECG paper as a PNG, by matplotlib (extra ``formats``)."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepecg_jax.errors import UserError
from deepecg_jax.signals.drawing import layout
from deepecg_jax.signals.drawing.layout import MILLIVOLTS, Scale, Trace, lay_out

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HEADER = 30.0
WIDTH, HEIGHT = layout.PAPER_WIDTH, layout.PAPER_HEIGHT + _HEADER
"""Millimetres of the sheet; the header stands above the paper."""
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
    """Whether the PNG can be drawn (extra ``formats``)."""
    from importlib.util import find_spec

    return find_spec("matplotlib") is not None


def draw_png(
    path: Path,
    signal: np.ndarray,
    sampling_rate: float,
    lead_mask: np.ndarray,
    sheet: Sheet | None = None,
    dots_per_inch: int = 200,
    scale: Scale = MILLIVOLTS,
) -> None:
    """Draw the first 10 s of an ECG on paper, see :mod:`~deepecg_jax.signals.drawing.layout`.

    Args:
        path: the PNG to write.
        signal: (T, 12) in ``scale``'s unit and the standard lead order; NaN leaves a gap.
        sampling_rate: Hz.
        lead_mask: (12,) bool; a lead with False is written as "not recorded".
        sheet: texts around the traces.
        dots_per_inch: resolution of the image (the sheet is 275 x 175 mm).
        scale: what the numbers are and how high they are drawn.

    Raises:
        UserError: the shapes do not fit, or the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    traces = lay_out(signal, sampling_rate, lead_mask, scale)
    sheet = sheet or Sheet()
    figure = Figure(figsize=(WIDTH / 25.4, HEIGHT / 25.4), dpi=dots_per_inch, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(0, HEIGHT)
    _grid(axes)
    if scale.in_millivolts:
        for base in layout.row_heights():
            _calibration(axes, base)
    for trace in traces:
        _trace(axes, trace, trace.lead in sheet.derived)
    _texts(axes, sheet, scale)
    try:
        figure.savefig(path, format="png")
    except OSError as error:
        raise UserError(f"The drawing {path} cannot be written: {error}.") from error


def _grid(axes: "Axes") -> None:
    from matplotlib.patches import Rectangle

    height = layout.PAPER_HEIGHT
    axes.add_patch(Rectangle((0, 0), WIDTH, height, facecolor=_PAPER, zorder=0))
    for step, colour, width in ((layout.FINE, _FINE, 0.35), (layout.COARSE, _COARSE, 0.7)):
        across = np.arange(0, WIDTH + step / 2, step)
        up = np.arange(0, height + step / 2, step)
        axes.vlines(across, 0, height, colors=colour, linewidths=width, zorder=1)
        axes.hlines(up, 0, WIDTH, colors=colour, linewidths=width, zorder=1)


def _calibration(axes: "Axes", base: float) -> None:
    x, y = np.array(layout.PULSE).T
    style: dict[str, Any] = {"color": _INK, "linewidth": 0.9, "solid_joinstyle": "miter"}
    axes.plot(x, base + y, zorder=3, **style)


def _trace(axes: "Axes", trace: Trace, derived: bool) -> None:
    box = {"facecolor": _PAPER, "edgecolor": "none", "pad": 0.6, "alpha": 0.85}
    right, up = layout.LABEL
    axes.text(
        trace.x + right,
        trace.y + up,
        f"{trace.lead}*" if derived else trace.lead,
        fontsize=3.6 * _POINTS,
        weight="bold",
        color=_INK,
        va="bottom",
        bbox=box,
        zorder=2,  # a tall wave is drawn over the name, not hidden by it
    )
    if trace.tick:
        ends = [trace.y - layout.TICK, trace.y + layout.TICK]
        axes.plot([trace.x, trace.x], ends, color=_INK, linewidth=0.9, zorder=3)
    if not trace.recorded:
        right, up = layout.NOT_RECORDED
        axes.text(
            trace.x + right,
            trace.y + up,
            "not recorded",
            fontsize=3.2 * _POINTS,
            color=_GREY,
            style="italic",
            va="center",
            bbox=box,
            zorder=4,
        )
    elif trace.course is not None:
        x, y = trace.course.T
        axes.plot(
            trace.x + x,
            trace.y + y,
            color=_INK,
            linewidth=0.8,
            solid_joinstyle="round",
            zorder=3,
        )


def _texts(axes: "Axes", sheet: Sheet, scale: Scale) -> None:
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
    box = {"facecolor": _PAPER, "edgecolor": "none", "pad": 0.8, "alpha": 0.9}
    style: dict[str, Any] = {"fontsize": 2.8 * _POINTS, "color": _INK, "va": "center", "zorder": 4}
    axes.text(WIDTH - 5, 3.5, scale.words("   "), ha="right", bbox=box, **style)
    if sheet.foot:
        axes.text(5, 3.5, _short(sheet.foot, 120), bbox=box, parse_math=False, **style)


def _short(text: str, length: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "\u2026"
