"""SVG figures of a comparison: differences with intervals, and decision curves."""

from collections.abc import Sequence

import numpy as np

from deepecg_jax.evaluation.comparison.results import DecisionCurves
from deepecg_jax.evaluation.report.charts import (
    ACCENT,
    GRID,
    INK,
    MUTED,
    SECOND,
    drawn_rows,
    line,
    name_width,
    shorten,
    svg,
    text,
)
from deepecg_jax.evaluation.resampling.intervals import Estimate

_STEPS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


def signed_ticks(low: float, high: float) -> list[float]:
    """Four to eight round numbers from low to high, zero among them if it lies there."""
    step = next((s for s in _STEPS if (high - low) / s <= 7.5), 0.5)
    first, last = int(np.ceil(low / step - 1e-9)), int(np.floor(high / step + 1e-9))
    return [round(i * step, 6) for i in range(first, last + 1)]


def difference_forest(
    rows: Sequence[tuple[str, Estimate, bool]],
    title: str,
    sides: tuple[str, str] = ("B better", "A better"),
) -> str:
    """Differences with intervals around zero, one a row.

    Args:
        rows: (name, difference with value, low and high, whether it is an average).
        title: what is drawn on the x axis.
        sides: what is to the left and to the right of zero.
    """
    drawn = drawn_rows(rows)
    left, plot, right, pitch, top = name_width([row[0] for row in drawn]), 480, 170, 19, 44
    spots = [0.0] + [spot for _, part, _ in drawn for spot in (part.value, *(part.ends or ()))]
    reach = max(1e-3, max(abs(spot) for spot in spots)) * 1.05
    low, high = max(-reach, min(spots) - 0.1 * reach), min(reach, max(spots) + 0.1 * reach)

    def x(value: float) -> float:
        return left + (value - low) / (high - low) * plot

    height = top + pitch * len(drawn) + 12
    parts = [
        text(x(0) - 8, 12, f"← {sides[0]}", "end", size=11),
        text(x(0) + 8, 12, f"{sides[1]} →", "start", size=11),
    ]
    for tick in signed_ticks(low, high):
        parts.append(line(x(tick), top - 6, x(tick), height - 8, GRID))
        parts.append(text(x(tick), top - 11, f"{tick:+g}" if tick else "0", "middle"))
    parts.append(line(x(0), top - 6, x(0), height - 8, MUTED, 'stroke-dasharray="3 3"'))
    for i, (name, (value, ends), average) in enumerate(drawn):
        y = top + pitch * (i + 0.5)
        colour = SECOND if average else ACCENT
        parts.append(text(left - 12, y + 4, shorten(name), "end", INK, 12))
        label = f"{value:+.3f}"
        if ends is not None:
            parts.append(line(x(ends[0]), y, x(ends[1]), y, colour, 'stroke-width="1.6"'))
            label += f" [{ends[0]:+.3f}, {ends[1]:+.3f}]"
        if average:
            parts.append(f'<path d="M{x(value) - 5:.1f} {y:.1f}l5 -5l5 5l-5 5z" fill="{colour}"/>')
        else:
            parts.append(f'<circle cx="{x(value):.1f}" cy="{y:.1f}" r="3.4" fill="{colour}"/>')
        parts.append(text(left + plot + 14, y + 4, label, colour=INK))
    return svg(left + plot + right, height, title, parts)


def decision_curves(name: str, note: str, curve: DecisionCurves) -> str:
    """Net benefit of both models, of treating everybody and of treating nobody.

    Args:
        name: above the figure.
        note: below it.
        curve: ``threshold``, ``a``, ``b``, ``all``, each (K,).
    """
    left, top, width, tall, below = 42, 40, 168, 130, 34
    every = (*curve["a"], *curve["b"], *curve["all"])
    best = max((value for value in every if value is not None), default=0.0)
    high = max(best * 1.08, 1e-4)
    low = -0.25 * high

    def path(values: Sequence[float | None]) -> str:
        points = []
        for t, value in zip(curve["threshold"], values, strict=True):
            if value is None:
                continue
            y = top + (high - max(value, low)) / (high - low) * tall
            points.append(f"{left + (t or 0.0) * width:.1f},{y:.1f}")
            if value < low:
                break
        return " ".join(points)

    zero = top + high / (high - low) * tall
    parts = [
        text(0, 13, shorten(name, 32), colour=INK, size=12),
        text(0, 28, note, size=10.5),
        f'<rect x="{left}" y="{top}" width="{width}" height="{tall}" fill="none" stroke="{GRID}"/>',
        line(left, zero, left + width, zero, MUTED),
    ]
    for tick in (0.0, 0.5, 1.0):
        parts.append(text(left + tick * width, top + tall + 13, f"{tick:g}", "middle", size=9.5))
    for value in signed_ticks(0.0, high)[:: max(1, len(signed_ticks(0.0, high)) // 3)]:
        y = top + (high - value) / (high - low) * tall
        parts.append(text(left - 5, y + 3.5, f"{value:g}", "end", size=9.5))
    parts.append(
        text(left + width / 2, top + tall + 27, "threshold probability", "middle", size=10)
    )
    styles = (
        (curve["all"], MUTED, 'stroke-dasharray="4 3"'),
        (curve["b"], SECOND, ""),
        (curve["a"], ACCENT, ""),
    )
    for values, colour, extra in styles:
        parts.append(
            f'<polyline points="{path(values)}" fill="none" stroke="{colour}" '
            f'stroke-width="1.6" {extra}/>'
        )
    return svg(left + width + 12, top + tall + below, f"Decision curves: {name}", parts)
