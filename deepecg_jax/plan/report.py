"""A plan for people: tables on a terminal, and a table in Markdown of several."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from deepecg_jax.errors import UserError
from deepecg_jax.plan.plan import Plan
from deepecg_jax.speed import per_second

_GIB = 1024**3
_NONE = "–"
_KINDS = {
    "parameters": "parameters",
    "optimizer_state": "optimizer state",
    "moving_average": "moving average",
    "teacher": "teacher",
    "statistics": "running statistics",
    "batch": "batch",
    "padding": "padding of these",
    "temporaries": "temporaries",
    "output_not_aliased": "output not aliased",
    "program": "program",
}
_COLUMNS = (
    "topology",
    "devices",
    "ECGs",
    "fits",
    "GiB a device",
    "of",
    "step, ms",
    "ECG/s",
    "MFU",
    "USD per million",
    "compile, s",
)


def shown(plan: Plan, operations: int = 12) -> RenderableType:
    """One plan, whole; the most expensive ``operations``."""
    parts: list[RenderableType] = [Text(_headline(plan), style="bold"), _memory(plan)]
    if plan["too_big"]:
        parts.append(Text(plan["too_big"], style="red"))
    if plan["predicted_step_seconds"] is not None:
        parts += [Text(_speed(plan)), _operations(plan, operations), _collectives(plan)]
        parts += [Text(line) for line in _rest(plan)]
    if plan["search"] is not None:
        parts.append(Text(_search(plan)))
    parts.append(Text("Limits: " + " ".join(plan["limits"]), style="dim"))
    return Group(*parts)


def compared(plans: Sequence[Plan]) -> Table:
    """Several topologies, one a line."""
    table = Table(*_COLUMNS, title="a step, and what a million ECGs cost", padding=(0, 0))
    table.columns[0].no_wrap = True
    for column in table.columns[1:]:
        column.justify = "right"
    for plan in plans:
        table.add_row(*_row(plan))
    return table


def markdown(files: Iterable[str | Path]) -> str:
    """The table of `compared` in Markdown, from what ``deepecg plan --json`` wrote, with models."""
    plans = [plan for file in files for plan in read_plans(Path(file))]
    columns = ("model", *_COLUMNS)
    rows = [(plan["model"], *_row(plan)) for plan in plans]
    lines = [columns, ("---",) * len(columns), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def read_plans(file: Path) -> list[Plan]:
    """The plans in a file; UserError if there are none."""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read as a plan ({error}).") from error
    found = values.get("plans", [values]) if isinstance(values, dict) else []
    if not found or any("predicted_step_seconds" not in plan for plan in found):
        raise UserError(f"{file} holds no plan; write one with `deepecg plan --json`.")
    return cast(list[Plan], found)


def _headline(plan: Plan) -> str:
    mesh = " x ".join(f"{name} {size}" for name, size in plan["mesh"].items())
    return (
        f"{plan['model']}, objective {plan['objective']}, {plan['compute_dtype']}, "
        f"{plan['global_batch']:,} ECGs a step on {plan['topology']}: {plan['n_devices']:,} "
        f"devices ({plan['device_kind']}), mesh {mesh}: "
        + ("fits" if plan["fits"] else "does not fit")
    )


def _memory(plan: Plan) -> Table:
    table = Table("memory of a device", "MiB")
    table.columns[1].justify = "right"
    for kind, words in _KINDS.items():
        size = plan["memory"].get(kind)
        if isinstance(size, int) and size:
            table.add_row(words, f"{size / 1024**2:,.1f}")
    peak = plan["peak_bytes_per_device"]
    needed = "together" if plan["fits"] else "needed, as the compiler says"
    table.add_section()
    table.add_row(needed, _NONE if peak is None else f"{peak / 1024**2:,.1f}")
    table.add_row("there", f"{plan['hbm_bytes_per_device'] / 1024**2:,.1f}")
    return table


def _speed(plan: Plan) -> str:
    flops, mfu = plan["model_flops_per_step_per_device"], plan["predicted_mfu"]
    words = (
        f"predicted step {_ms(plan['predicted_step_seconds'])}: computing "
        f"{_ms(plan['compute_seconds'])}, waiting for collectives "
        f"{_ms(plan['exposed_collective_seconds'])}"
    )
    if plan["predicted_ecg_per_s"] is not None:
        words += f"; {per_second(plan['predicted_ecg_per_s'], 'ECG')}"
    if flops is not None and mfu is not None:
        words += f"; {flops / 1e12:,.3g} TFLOP a device and step by the architecture, MFU {mfu:.1%}"
    if plan["usd_per_million_ecgs"] is not None:
        words += (
            f"; {_usd(plan['usd_per_million_ecgs'])} USD a million ECGs at "
            f"{plan['usd_per_chip_hour']:.2f} USD a chip and hour"
        )
    return words + f"; compiled in {plan['compile_seconds']:.0f} s."


def _operations(plan: Plan, count: int) -> Table:
    table = Table("share", "cycles", "times", "operation", "line in deepecg_jax")
    table.columns[4].overflow = "fold"  # a line without its number is of no use
    for name in (0, 1, 2):
        table.columns[name].justify = "right"
    for one in plan["top_ops"][:count]:
        mark = " (kernel)" if one["estimated_by"] == "kernel" else ""
        table.add_row(
            f"{one['share']:.1%}",
            f"{one['cycles']:,}",
            f"{one['times']:,}",
            Text(one["op"] + mark),
            Text(one["source"].removeprefix("deepecg_jax/") or _NONE),
        )
    return table


def _collectives(plan: Plan) -> RenderableType:
    if not plan["collectives"]:
        return Text("No collectives.")
    table = Table("collective", "count", "asynchronous", "MB", "at best", "not hidden")
    for column in table.columns[1:]:
        column.justify = "right"
    for one in plan["collectives"]:
        table.add_row(
            one["kind"] + (" (between slices)" if one["between_slices"] else ""),
            f"{one['count']:,}",
            f"{one['asynchronous']:,}",
            f"{one['bytes'] / 1e6:,.2f}",
            _ms(one["seconds"]),
            _ms(one["exposed_seconds"]),
        )
    return table


def _rest(plan: Plan) -> list[str]:
    lines = []
    waiting = [one for one in plan["unestimated"] if not one["asynchronous"] and one["bytes"]]
    if waiting:
        named = ", ".join(f"{one['op']} {one['bytes'] / 1e6:,.1f} MB" for one in waiting[:5])
        lines.append(
            f"Without an estimate, so in no sum: {named}; at most "
            f"{_ms(plan['unestimated_seconds_at_most'])} at the bandwidth of the memory."
        )
    if plan["kernels"]:
        lines.append(f"Kernels, by our own estimate: {_ms(plan['kernel_seconds'])}.")
    if plan["unknown_loops"]:
        lines.append(f"Loops of unknown length, counted once: {plan['unknown_loops']}.")
    return lines


def _search(plan: Plan) -> str:
    search = plan["search"] or {}
    tried, limit = len(search["tried"]), search["smallest_too_big"]
    if search["largest_batch"] is None:
        return f"No batch fits: {limit:,} ECGs a step do not ({tried} compilations)."
    words = f"Largest batch found: {search['largest_batch']:,} ECGs a step"
    return f"{words}; {limit:,} do not fit ({tried} compilations)." if limit else f"{words}."


def _row(plan: Plan) -> tuple[str, ...]:
    peak, seconds, rate = (
        plan["peak_bytes_per_device"],
        plan["predicted_step_seconds"],
        plan["predicted_ecg_per_s"],
    )
    mfu, cost = plan["predicted_mfu"], plan["usd_per_million_ecgs"]
    memory = _NONE if peak is None else f"{peak / _GIB:,.2f}"
    return (
        plan["topology"],
        f"{plan['n_devices']:,}",
        f"{plan['global_batch']:,}",
        "yes" if plan["fits"] else "no",
        memory,
        f"{plan['hbm_bytes_per_device'] / _GIB:,.2f}",
        _NONE if seconds is None else f"{1e3 * seconds:,.3g}",
        _NONE if rate is None else f"{rate:,.0f}",
        _NONE if mfu is None else f"{mfu:.1%}",
        _NONE if cost is None else _usd(cost),
        f"{plan['compile_seconds']:,.0f}",
    )


def _usd(value: float) -> str:
    return f"{value:,.2f}" if value >= 0.1 else f"{value:.2g}"


def _ms(seconds: float | None) -> str:
    return _NONE if seconds is None else f"{1e3 * seconds:,.3g} ms"
