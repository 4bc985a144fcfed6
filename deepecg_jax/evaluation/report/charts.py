"""Inline SVG figures of the report; no dependency, no script, prints as vectors."""

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from deepecg_jax.evaluation.report.estimates import Shown, shown_of
from deepecg_jax.evaluation.resampling.intervals import Estimate
from deepecg_jax.evaluation.survival.results import CurveRow

INK, MUTED, GRID = "#1c2733", "#66727f", "#dfe4e9"
ACCENT, SECOND, THIRD = "#1f5f99", "#c8602a", "#4f8a5b"
GROUP_COLOURS = (ACCENT, SECOND, THIRD, "#7a5195", "#b5892e", "#2f8f9d", "#a0475c", "#56616b")


def svg(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    """Wrap shapes in an SVG element with a title for screen readers."""
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" '
        f'role="img" aria-label="{escape(title, quote=True)}">' + "".join(parts) + "</svg>"
    )


def text(
    x: float, y: float, content: str, anchor: str = "start", colour: str = MUTED, size: float = 11
) -> str:
    """One line of text; `anchor` is start, middle or end."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" '
        f'font-size="{size:g}">{escape(content)}</text>'
    )


def line(x1: float, y1: float, x2: float, y2: float, colour: str, extra: str = "") -> str:
    """A straight line."""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" {extra}/>'
    )


def shorten(name: str, length: int = 44) -> str:
    """A name that fits beside a figure."""
    return name if len(name) <= length else name[: length - 1] + "…"


def name_width(names: Sequence[str]) -> float:
    """Pixels that the longest of the names takes beside a figure, within bounds."""
    longest = max((len(shorten(name)) for name in names), default=0)
    return min(300.0, max(120.0, 24 + 6.6 * longest))


def ticks(low: float, high: float) -> list[float]:
    """Four to seven round numbers from low to high."""
    step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if (high - low) / s <= 6.5)
    first = int(np.ceil(low / step - 1e-9))
    return [round(i * step, 6) for i in range(first, int(np.floor(high / step + 1e-9)) + 1)]


def forest(rows: Sequence[tuple[str, Estimate, bool]], title: str) -> str:
    """Points with intervals, one a row.

    Args:
        rows: (name, interval with value, low and high, whether it is an average).
        title: what is drawn on the x axis.
    """
    drawn = drawn_rows(rows)
    left, plot, right, pitch, top = name_width([row[0] for row in drawn]), 500, 140, 19, 26
    lows = [part.value if part.ends is None else part.ends[0] for _, part, _ in drawn]
    low = max(0.0, np.floor(min([*lows, 0.9]) * 20) / 20)

    def x(value: float) -> float:
        return left + (value - low) / (1 - low) * plot

    height = top + pitch * len(drawn) + 12
    parts = []
    for tick in ticks(low, 1.0):
        parts.append(line(x(tick), top - 6, x(tick), height - 8, GRID))
        parts.append(text(x(tick), top - 11, f"{tick:g}", "middle"))
    if low < 0.5:
        parts.append(line(x(0.5), top - 6, x(0.5), height - 8, MUTED, 'stroke-dasharray="3 3"'))
    for i, (name, (value, ends), average) in enumerate(drawn):
        y = top + pitch * (i + 0.5)
        colour = SECOND if average else ACCENT
        parts.append(text(left - 12, y + 4, shorten(name), "end", INK, 12))
        if ends is not None:
            parts.append(line(x(ends[0]), y, x(ends[1]), y, colour, 'stroke-width="1.6"'))
        if average:
            parts.append(f'<path d="M{x(value) - 5:.1f} {y:.1f}l5 -5l5 5l-5 5z" fill="{colour}"/>')
        else:
            parts.append(f'<circle cx="{x(value):.1f}" cy="{y:.1f}" r="3.4" fill="{colour}"/>')
        label = f"{value:.3f}"
        if ends is not None:
            label += f" [{ends[0]:.3f}, {ends[1]:.3f}]"
        parts.append(text(left + plot + 14, y + 4, label, colour=INK))
    return svg(left + plot + right, height, title, parts)


def drawn_rows(
    rows: Sequence[tuple[str, Estimate, bool]],
) -> list[tuple[str, Shown, bool]]:
    """The rows of a forest plot whose value is defined."""
    pairs = [(name, shown_of(estimate), average) for name, estimate, average in rows]
    return [(name, part, average) for name, part, average in pairs if part is not None]


def unit_square(
    curve: Sequence[tuple[float, float]],
    title: str,
    note: str,
    labels: tuple[str, str],
    size: int = 150,
    dots: bool = False,
    mark: tuple[float, float] | None = None,
    band: tuple[Sequence[float], Sequence[float], Sequence[float]] | None = None,
    diagonal: bool = True,
) -> str:
    """A curve in the unit square: ROC, precision and recall, or reliability.

    Args:
        curve: (x, y) in 0..1.
        title: name above the square.
        note: a line below the title.
        labels: x and y axis.
        size: side of the square in pixels.
        dots: mark every point of the curve.
        mark: one point to highlight, such as the operating threshold.
        band: (x, low, high) shaded behind the curve.
        diagonal: draw it.
    """
    left, top, below = 34, 40, 34

    def point(p: tuple[float, float]) -> tuple[float, float]:
        return left + p[0] * size, top + (1 - p[1]) * size

    parts = [
        text(0, 13, shorten(title, size // 5), colour=INK, size=12),
        text(0, 28, note, size=10.5),
        f'<rect x="{left}" y="{top}" width="{size}" height="{size}" fill="none" stroke="{GRID}"/>',
    ]
    if diagonal:
        parts.append(line(left, top + size, left + size, top, GRID, 'stroke-dasharray="3 3"'))
    if band is not None and len(band[0]):
        xs, low, high = (list(map(float, part)) for part in band)
        outline = list(zip(xs, high, strict=True)) + list(zip(xs, low, strict=True))[::-1]
        corners = " ".join("{:.1f},{:.1f}".format(*point(p)) for p in outline)
        parts.append(f'<polygon points="{corners}" fill="{ACCENT}" fill-opacity="0.15"/>')
    for tick in (0.0, 0.5, 1.0):
        parts.append(text(left + tick * size, top + size + 13, f"{tick:g}", "middle", size=9.5))
        parts.append(text(left - 5, top + (1 - tick) * size + 3.5, f"{tick:g}", "end", size=9.5))
    parts.append(text(left + size / 2, top + size + 27, labels[0], "middle", size=10))
    path = " ".join("{:.1f},{:.1f}".format(*point(p)) for p in curve)
    parts.append(
        f'<polyline points="{path}" fill="none" stroke="{ACCENT}" stroke-width="1.7" '
        'stroke-linejoin="round"/>'
    )
    marks = [(p, ACCENT, 2.6) for p in curve] if dots else []
    if mark is not None:
        marks.append((mark, SECOND, 3.4))
    for p, colour, radius in marks:
        cx, cy = point(p)
        parts.append(f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="{radius}" fill="{colour}"/>')
    y = top + size / 2
    parts.append(f'<g transform="rotate(-90 9 {y})">{text(9, y, labels[1], "middle", size=10)}</g>')
    return svg(left + size + 12, top + size + below, f"{title}: {note}", parts)


def group_dots(groups: Sequence[str], rows: Sequence[tuple[str, Sequence[Estimate]]]) -> str:
    """Group values side by side: one row a metric, one colour a group, with intervals."""
    left, plot, pitch, top, band = 150, 620, 15, 34, 14
    parts = []

    def x(value: float) -> float:
        return left + value * plot

    block = pitch * len(groups) + band
    height = top + block * len(rows) + 4
    for tick in ticks(0.0, 1.0):
        parts.append(line(x(tick), top - 6, x(tick), height - 8, GRID))
        parts.append(text(x(tick), top - 11, f"{tick:g}", "middle"))
    for i, (metric, estimates) in enumerate(rows):
        y0 = top + i * block
        parts.append(text(left - 12, y0 + block / 2, metric, "end", INK, 12))
        for g, (group, estimate) in enumerate(zip(groups, estimates, strict=True)):
            part = shown_of(estimate)
            if part is None:
                continue
            y, colour = y0 + pitch * (g + 0.5), GROUP_COLOURS[g % len(GROUP_COLOURS)]
            if part.ends is not None:
                span = x(part.ends[0]), x(part.ends[1])
                parts.append(line(span[0], y, span[1], y, colour, 'stroke-width="1.6"'))
            parts.append(f'<circle cx="{x(part.value):.1f}" cy="{y:.1f}" r="3.4" fill="{colour}"/>')
            note = f"{group}  {part.value:.3f}"
            parts.append(text(left + plot + 14, y + 4, note, colour=colour))
    return svg(left + plot + 150, height, "Metrics by group", parts)


def incidence(curves: Mapping[str, Sequence[CurveRow]], years: float) -> str:
    """Cumulative incidence by risk group with 95 % bands, and the number at risk below.

    Args:
        curves: group -> rows with ``time_days``, ``incidence``, ``low``, ``high``, ``n_at_risk``.
        years: length of the time axis.
    """
    left, plot, tall, top, pitch = 130, 560, 240, 16, 16
    highest = max(
        (
            row["high"]
            for rows in curves.values()
            for row in rows
            if row["time_days"] <= 365 * years and row["high"] is not None
        ),
        default=1.0,
    )
    highest = min(1.0, max(0.02, highest * 1.05))

    def point(days: float, value: float) -> tuple[float, float]:
        return left + days / (365 * years) * plot, top + tall * (1 - min(value, highest) / highest)

    parts = [
        f'<rect x="{left}" y="{top}" width="{plot}" height="{tall}" fill="none" stroke="{GRID}"/>'
    ]
    for tick in ticks(0.0, highest):
        y = point(0, tick)[1]
        parts.append(line(left, y, left + plot, y, GRID))
        parts.append(text(left - 8, y + 4, f"{100 * tick:g} %", "end"))
    whole_years = range(int(years) + 1)
    ends: list[tuple[float, str, str]] = []
    for year in whole_years:
        parts.append(text(point(365 * year, 0)[0], top + tall + 16, f"{year} y", "middle"))
    for g, (group, rows) in enumerate(curves.items()):
        colour = GROUP_COLOURS[g % len(GROUP_COLOURS)]
        shown = [row for row in rows if row["time_days"] <= 365 * years]
        columns = [[row[name] for row in shown] for name in ("incidence", "low", "high")]
        days = [row["time_days"] for row in shown]
        middle, low, high = (_steps(days, values, 365 * years) for values in columns)
        corners = " ".join("{:.1f},{:.1f}".format(*point(*p)) for p in high + low[::-1])
        path = " ".join("{:.1f},{:.1f}".format(*point(*p)) for p in middle)
        parts.append(f'<polygon points="{corners}" fill="{colour}" fill-opacity="0.13"/>')
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.7"/>'
        )
        ends.append((point(*middle[-1])[1], group, colour))
        y = top + tall + 44 + pitch * g
        parts.append(text(left - 26, y, f"{shorten(group, 14)} at risk", "end", colour, 10.5))
        for year in whole_years:
            later = [row["n_at_risk"] for row in rows if row["time_days"] >= 365 * year]
            number = f"{later[0]:,.0f}" if later else "0"
            parts.append(text(point(365 * year, 0)[0], y, number, "middle", colour, 10.5))
    lowest = np.inf
    for y, group, colour in sorted(ends, reverse=True):  # names of near curves stand apart
        lowest = min(y, lowest - 13)
        parts.append(text(left + plot + 8, lowest + 4, group, colour=colour, size=12))
    height = top + tall + 44 + pitch * len(curves)
    return svg(left + plot + 150, height, "Cumulative incidence by risk group", parts)


def _steps(
    days: Sequence[float], values: Sequence[float | None], end: float
) -> list[tuple[float, float]]:
    """Corners of a step function from (0, 0) to ``end``; a step that is undefined is left out."""
    corners, value = [(0.0, 0.0)], 0.0
    for day, reached in zip(days, values, strict=True):
        if reached is not None:
            corners += [(day, value), (day, reached)]
            value = reached
    return [*corners, (end, value)]
