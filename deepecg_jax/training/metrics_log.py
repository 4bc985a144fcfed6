"""``metrics.jsonl`` and the progress line."""

import json
import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from deepecg_jax.training.processes.hosts import is_first

_MUCH_WAITING = 0.03  # of the time
_LONG_WAITING = 0.005  # seconds a step; less is what handing over a batch takes, read or not


class MetricsLog:
    """Appends one JSON object a logged step; of several processes only the first writes."""

    def __init__(self, path: Path):
        self._file = path.open("a", encoding="utf-8") if is_first() else None

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Write and flush one line."""
        if self._file is not None:
            self._file.write(json.dumps({"step": step, **values}) + "\n")
            self._file.flush()

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()


def read_metrics(path: Path) -> list[dict[str, float]]:
    """All complete lines of a ``metrics.jsonl``; of a repeated step the last one."""
    rows: dict[int, dict[str, float]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.endswith("}"):
            row = json.loads(line)
            rows[row["step"]] = {**rows.get(row["step"], {}), **row}
    return [rows[step] for step in sorted(rows)]


class Meter:
    """Speed since the last reading, and the share of time in which devices waited for input."""

    def __init__(self, batch: int, items: str = "ECG"):
        self._batch, self._key = batch, f"{items.lower()}_per_s"
        self.reset()

    def reset(self) -> None:
        """Start anew (after compilation, validation or a checkpoint)."""
        self._start, self._waited, self._steps = time.perf_counter(), 0.0, 0

    def add(self, waited: float) -> None:
        """Count one step whose batch the devices waited ``waited`` seconds for."""
        self._steps += 1
        self._waited += waited

    def read(self) -> dict[str, float]:
        """``ecg_per_s`` (or of other items) and ``input_wait_fraction``; starts anew."""
        elapsed = max(time.perf_counter() - self._start, 1e-9)
        values = {
            self._key: round(self._steps * self._batch / elapsed, 2),
            "input_wait_fraction": round(self._waited / elapsed, 4),
        }
        self.reset()
        return values


def waiting(fraction: float, step_seconds: float) -> str:
    """What the progress line adds if the devices wait for input for much of the time, and so long
    that reading must be the reason. ``step_seconds``: of a whole step.
    """
    if fraction < _MUCH_WAITING or fraction * step_seconds < _LONG_WAITING:
        return ""
    return f"  input waits {100 * fraction:.0f} % of the time: raise data.workers"


def progress_bar(console: Console) -> Progress:
    """Bar with step, a status such as loss and speed, time gone and time left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[status]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        refresh_per_second=2,
        disable=console.quiet,
    )
