"""The tables as files: Parquet and CSV for programs, Markdown for people."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from pydantic import JsonValue

from deepecg_jax.data.tables.write import write_table
from deepecg_jax.evaluation.report.page import with_interval
from deepecg_jax.evaluation.resampling.intervals import Estimate
from deepecg_jax.files import write_whole
from deepecg_jax.sweep.planning.jobs import Point
from deepecg_jax.sweep.planning.names import value_text
from deepecg_jax.sweep.results.outcomes import Outcome, Summary, SweepResult

NOTHING = "–"


def write_tables(folder: Path, result: SweepResult) -> None:
    """Write ``table`` and ``summary`` as ``.parquet`` and ``.csv``, and both as ``table.md``.

    Raises:
        UserError: a file cannot be written.
    """
    for name, table in (("table", outcome_table(result)), ("summary", summary_table(result))):
        for suffix in (".parquet", ".csv"):
            write_table(table, folder / f"{name}{suffix}")
    write_whole(folder / "table.md", markdown(result).encode())


def outcome_table(result: SweepResult) -> pa.Table:
    """A row a run, point and seed."""
    rows = result.outcomes
    columns: dict[str, pa.Array] = {"run": pa.array([row.run for row in rows], pa.string())}
    columns |= _point_columns(result.keys, [row.point for row in rows])
    columns["seed"] = pa.array([row.seed for row in rows], pa.int64())
    columns["status"] = pa.array([row.status for row in rows], pa.string())
    columns["reason"] = pa.array([row.reason for row in rows], pa.string())
    columns |= _estimate_columns("macro_auroc", [row.macro_auroc for row in rows])
    columns["parameters"] = pa.array([row.parameters for row in rows], pa.int64())
    columns["seconds"] = pa.array([row.seconds for row in rows], pa.float64())
    pretraining = [row.pretraining_seconds for row in rows]
    columns["pretraining_seconds"] = pa.array(pretraining, pa.float64())
    columns["device"] = pa.array([row.device for row in rows], pa.string())
    columns["baseline"] = pa.array([row.baseline for row in rows], pa.bool_())
    columns["folder"] = pa.array([row.folder for row in rows], pa.string())
    return pa.table(columns)


def summary_table(result: SweepResult) -> pa.Table:
    """A row a run and point, over seeds."""
    rows = result.summaries
    columns: dict[str, pa.Array] = {"run": pa.array([row.run for row in rows], pa.string())}
    columns |= _point_columns(result.keys, [row.point for row in rows])
    columns["baseline"] = pa.array([row.baseline for row in rows], pa.bool_())
    columns["seeds"] = pa.array([row.seeds for row in rows], pa.int64())
    columns["failed"] = pa.array([row.failed for row in rows], pa.int64())
    columns["macro_auroc_mean"] = pa.array([row.mean for row in rows], pa.float64())
    columns["macro_auroc_sd"] = pa.array([row.sd for row in rows], pa.float64())
    patients = _estimate_columns("macro_auroc", [row.over_patients for row in rows])
    columns |= {name: patients[name] for name in ("macro_auroc_low", "macro_auroc_high")}
    columns |= _estimate_columns("difference", [row.difference for row in rows])
    columns["difference_seeds"] = pa.array([row.difference_seeds for row in rows], pa.int64())
    columns["p"] = pa.array([row.p for row in rows], pa.float64())
    columns["p_holm"] = pa.array([row.p_holm for row in rows], pa.float64())
    columns["parameters"] = pa.array([row.parameters for row in rows], pa.float64())
    columns["seconds"] = pa.array([row.seconds for row in rows], pa.float64())
    return pa.table(columns)


def _estimate_columns(name: str, estimates: Sequence[Estimate]) -> dict[str, pa.Array]:
    parts = {name: "value", f"{name}_low": "low", f"{name}_high": "high"}
    return {
        column: pa.array([estimate[part] for estimate in estimates], pa.float64())
        for column, part in parts.items()
    }


def _point_columns(keys: Sequence[str], points: Sequence[Point]) -> dict[str, pa.Array]:
    return {key: _values([point[key] for point in points]) for key in keys}


def _values(values: Sequence[JsonValue]) -> pa.Array:
    """Numbers, truth values or texts as they are; a mixture, and lists, as text."""
    known = [value for value in values if value is not None]
    if all(isinstance(value, bool) for value in known):
        return pa.array(values, pa.bool_())
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        whole = all(isinstance(value, int) for value in known)
        return pa.array(values, pa.int64() if whole else pa.float64())
    if all(isinstance(value, str) for value in known):
        return pa.array(values, pa.string())
    return pa.array([value_text(value) for value in values], pa.string())


def markdown(result: SweepResult) -> str:
    """Both tables for a person: over seeds, then every run."""
    keys = list(result.keys)
    summaries = [
        [row.run, *_cells(row.point, keys), *summary_cells(row)] for row in result.summaries
    ]
    outcomes = [[row.run, *_cells(row.point, keys), *outcome_cells(row)] for row in result.outcomes]
    parts = [
        "Over seeds (± standard deviation over seeds; brackets: 95 % intervals over patients)",
        _markdown(["run", *keys, *summary_heads(result.reference)], summaries),
        "Every run",
        _markdown(["run", *keys, *OUTCOME_HEADS], outcomes),
        *result.notes,
    ]
    return "\n\n".join(parts) + "\n"


OUTCOME_HEADS = ("seed", "status", "macro AUROC", "parameters", "seconds", "device", "reason")


def outcome_cells(row: Outcome) -> list[str]:
    """What is shown of a row of the table behind its point."""
    return [
        str(row.seed),
        row.status,
        with_interval(row.macro_auroc),
        _number(row.parameters),
        _number(row.seconds),
        row.device or NOTHING,
        row.reason,
    ]


def summary_heads(reference: str | None) -> list[str]:
    """The heads of `summary_cells`."""
    against = reference or "the reference"
    return [
        *("seeds", "macro AUROC", "± sd", f"difference to {against}", "p (Holm)"),
        *("parameters", "seconds"),
    ]


def summary_cells(row: Summary) -> list[str]:
    """What is shown of a row over seeds behind its point."""
    seeds = f"{row.seeds} ({row.failed} failed)" if row.failed else str(row.seeds)
    p = NOTHING if row.p_holm is None else f"{row.p_holm:.3f}"
    return [
        seeds,
        with_interval(row.over_patients),
        NOTHING if row.sd is None else f"{row.sd:.3f}",
        with_interval(row.difference, sign="+"),
        "< 0.001" if row.p_holm is not None and row.p_holm < 0.001 else p,
        _number(row.parameters),
        _number(row.seconds),
    ]


def _cells(point: Point, keys: Sequence[str]) -> list[str]:
    return [value_text(point[key]) for key in keys]


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.0f}"


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(_escaped(cell) for cell in line) + " |" for line in lines)


def _escaped(cell: str) -> str:
    return " ".join(cell.split()).replace("|", "\\|")
