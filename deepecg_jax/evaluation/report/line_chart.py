"""Estimates against a number: curves with intervals, or points."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from deepecg_jax.evaluation.report.charts import (
    GRID,
    GROUP_COLOURS,
    INK,
    line,
    name_width,
    shorten,
    svg,
    text,
)
from deepecg_jax.evaluation.report.comparison_charts import signed_ticks
from deepecg_jax.evaluation.report.estimates import shown_of
from deepecg_jax.evaluation.resampling.intervals import Estimate

_LEFT, _TOP, _WIDE, _TALL, _BELOW, _PITCH = 56, 26, 480, 260, 40, 17
_DASHED = ' stroke-dasharray="5 3"'  # of series whose colour another has too


@dataclass(frozen=True)
class Axis:
    """The horizontal axis.

    Attributes:
        title: below it.
        ticks: value -> what is written there.
        logarithmic: of values above 0.
    """

    title: str
    ticks: Mapping[float, str]
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """Where a value stands, in a linear scale."""
        return float(np.log10(value)) if self.logarithmic else value


def line_chart(
    series: Mapping[str, Sequence[tuple[float, Estimate]]],
    axis: Axis,
    title: str,
    joined: bool = True,
) -> str:
    """One colour a series, with the names beside the figure.

    Args:
        series: name -> (x, estimate) from left to right; what is undefined is left out.
        axis: of the x.
        title: what is drawn on the y axis, and the name of the figure.
        joined: by lines, or points alone.
    """
    drawn = {
        name: [(x, part) for x, estimate in own if (part := shown_of(estimate)) is not None]
        for name, own in series.items()
    }
    spots = [v for own in drawn.values() for _, p in own for v in (p.value, *(p.ends or ()))]
    places = [axis.place(x) for own in drawn.values() for x, _ in own]
    places += [axis.place(x) for x in axis.ticks]
    low, high = _widened(min(spots, default=0.0), max(spots, default=1.0), 0.05)
    start, stop = _widened(min(places), max(places), 0.06)

    def across(value: float) -> float:
        return _LEFT + (axis.place(value) - start) / (stop - start) * _WIDE

    def up(value: float) -> float:
        return _TOP + (high - value) / (high - low) * _TALL

    parts = [
        text(_LEFT, 14, title, colour=INK),
        f'<rect x="{_LEFT}" y="{_TOP}" width="{_WIDE}" height="{_TALL}" fill="none" '
        f'stroke="{GRID}"/>',
    ]
    for tick in signed_ticks(low, high):
        parts.append(line(_LEFT, up(tick), _LEFT + _WIDE, up(tick), GRID))
        parts.append(text(_LEFT - 8, up(tick) + 4, f"{tick:g}", "end"))
    for value, words in axis.ticks.items():
        parts.append(line(across(value), _TOP + _TALL, across(value), _TOP + _TALL + 4, GRID))
        parts.append(text(across(value), _TOP + _TALL + 16, shorten(words, 24), "middle"))
    parts.append(text(_LEFT + _WIDE / 2, _TOP + _TALL + 33, axis.title, "middle", INK))
    names = list(drawn)
    for i, name in enumerate(names):
        colour = GROUP_COLOURS[i % len(GROUP_COLOURS)]
        # series at the same x stand side by side, so that their intervals can be told apart
        shift = 3.0 * (i - (len(names) - 1) / 2) if joined else 0.0
        points = [(across(x) + shift, part) for x, part in drawn[name]]
        if joined and len(points) > 1:
            path = " ".join(f"{x:.1f},{up(part.value):.1f}" for x, part in points)
            parts.append(
                f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.7"'
                f"{_DASHED if i >= len(GROUP_COLOURS) else ''}/>"
            )
        for x, part in points:
            if part.ends is not None:
                parts.append(line(x, up(part.ends[0]), x, up(part.ends[1]), colour))
            parts.append(
                f'<circle cx="{x:.1f}" cy="{up(part.value):.1f}" r="3.4" fill="{colour}"/>'
            )
        label = _LEFT + _WIDE + 14
        parts.append(text(label, _TOP + 12 + _PITCH * i, shorten(name), colour=colour, size=12))
    height = max(_TOP + _TALL + _BELOW, _TOP + 12 + _PITCH * len(names))
    return svg(_LEFT + _WIDE + 20 + name_width(names), height, f"{title}, {axis.title}", parts)


def _widened(low: float, high: float, share: float) -> tuple[float, float]:
    """Room around what is drawn, also where it is a single value."""
    room = share * (high - low) if high > low else max(abs(low), 1.0) * share
    return low - room, high + room
