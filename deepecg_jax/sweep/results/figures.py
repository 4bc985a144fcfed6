"""The figures of a sweep: runs, differences, the effect of each key of the grid, cost."""

import math
from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from deepecg_jax.evaluation.report.charts import forest
from deepecg_jax.evaluation.report.comparison_charts import difference_forest
from deepecg_jax.evaluation.report.figures import Figure
from deepecg_jax.evaluation.report.line_chart import Axis, line_chart
from deepecg_jax.evaluation.resampling.intervals import Estimate
from deepecg_jax.sweep.planning.names import point_text, value_text
from deepecg_jax.sweep.planning.run_layers import SHARE
from deepecg_jax.sweep.results.outcomes import Effect, Summary, SweepResult

_DECADE = 8.0  # values that span so many times the smallest are drawn on a logarithmic axis


def score_figure(result: SweepResult) -> Figure:
    """Mean macro AUROC of every run and point, with its interval over patients."""
    rows = [(_name(row), row.over_patients, False) for row in result.summaries]
    return Figure("runs", forest(rows, "macro AUROC"), _table(rows))


def difference_figure(result: SweepResult) -> Figure | None:
    """Paired differences to the reference, or None where there are none."""
    found = [row for row in result.summaries if row.difference["value"] is not None]
    if not found or result.reference is None:
        return None
    rows = [(_name(row), row.difference, False) for row in found]
    sides = f"{result.reference} better", "run better"
    drawing = difference_forest(rows, f"Macro AUROC less that of {result.reference}", sides)
    return Figure("differences", drawing, _table(rows))


def effect_figures(
    result: SweepResult, grid: Mapping[str, Sequence[JsonValue]]
) -> list[tuple[str, Figure]]:
    """(title, macro AUROC of every run over the values of a key), one a key of the grid.

    That of ``data.label_share`` is the label-efficiency curve.
    """
    drawn = []
    for key, values in grid.items():
        effects = result.effects.get(key, [])
        if not effects or len(values) < 2:
            continue
        places, axis = _axis(key, values)
        series: dict[str, list[tuple[float, Estimate]]] = {}
        for effect in sorted(effects, key=lambda one: places[one.value]):
            own = series.setdefault(effect.run, [])
            own.append((places[effect.value], effect.macro_auroc))
        is_share = key.removeprefix("finetune.") == SHARE
        title = f"Label efficiency: {key}" if is_share else f"Main effect of {key}"
        rows = [_row(effect, key, values) for effect in effects]
        drawn.append(
            (title, Figure(f"effect_{key}", line_chart(series, axis, "macro AUROC"), rows))
        )
    return drawn


def cost_figure(result: SweepResult) -> Figure | None:
    """Macro AUROC against seconds, or None where no seconds are known."""
    series: dict[str, list[tuple[float, Estimate]]] = {}
    rows = []
    for row in result.summaries:
        if row.mean is not None and row.seconds:
            series.setdefault(row.run, []).append((row.seconds, row.over_patients))
            rows.append({"run": row.run, **row.point, "seconds": row.seconds, "value": row.mean})
    if not series:
        return None
    seconds = [x for own in series.values() for x, _ in own]
    axis = Axis("seconds", {x: f"{x:,g}" for x in _round_numbers(min(seconds), max(seconds))}, True)
    drawing = line_chart(series, axis, "macro AUROC", joined=False)
    return Figure("cost", drawing, rows)


def _name(row: Summary) -> str:
    return f"{row.run} ({point_text(row.point)})" if row.point else row.run


def _table(rows: Sequence[tuple[str, Estimate, bool]]) -> list[dict[str, object]]:
    return [
        {"name": name, **{k: part[k] for k in ("value", "low", "high")}} for name, part, _ in rows
    ]


def _row(effect: Effect, key: str, values: Sequence[JsonValue]) -> dict[str, object]:
    parts = {name: effect.macro_auroc[name] for name in ("value", "low", "high")}
    shown = value_text(values[effect.value])
    return {"run": effect.run, key: shown, **parts, "points": effect.n_points}


def _axis(key: str, values: Sequence[JsonValue]) -> tuple[list[float], Axis]:
    """Where each value stands: numbers at their place, anything else side by side."""
    numbers = [float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) < len(values):
        places = [float(i) for i in range(len(values))]
        return places, Axis(key, {i: value_text(v) for i, v in zip(places, values, strict=True)})
    logarithmic = min(numbers) > 0 and max(numbers) / min(numbers) >= _DECADE
    return numbers, Axis(key, {number: f"{number:g}" for number in numbers}, logarithmic)


def _round_numbers(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten from just below ``low`` to just above ``high``; over more than
    three powers only these."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    times = (1, 2, 5) if last - first <= 3 else (1,)
    all_numbers = [m * 10.0**e for e in range(first, last + 1) for m in times]
    inside = [number for number in all_numbers if low <= number <= high]
    below = [number for number in all_numbers if number < low][-1:]
    above = [number for number in all_numbers if number > high][:1]
    return [*below, *inside, *above]
