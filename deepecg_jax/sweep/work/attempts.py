"""What each attempt at a job took and ran on, kept beside the job by the process that does it."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NotRequired, TypedDict

from deepecg_jax.sweep.work.lock import alone

ATTEMPTS = "attempts.jsonl"
_PATIENCE_SECONDS = 60.0  # for a process whose sweep was killed a moment ago


class Attempt(TypedDict):
    """A line of the file: an attempt's beginning (seconds since 1970), or its end.

    ``device``: the kind of device, and how many; of an attempt that ended by itself.
    """

    started: NotRequired[float]
    seconds: NotRequired[float]
    device: NotRequired[str]


@contextmanager
def attempt(folder: Path) -> Iterator[None]:
    """Note that the block begins and ends; of two processes in one folder the second waits.

    The time of an attempt that was killed is that until it last wrote something.

    Raises:
        UserError: another process works in the folder and does not end.
    """
    with alone(folder, "a job", _PATIENCE_SECONDS):
        lines = _read(folder)
        if lines and "started" in lines[-1]:
            lost = max(0.0, _last_sign(folder) - lines[-1]["started"])
            _append(folder, {"seconds": round(lost, 3)})
        _append(folder, {"started": time.time()})
        start = time.monotonic()
        try:
            yield
        finally:
            ended: Attempt = {"seconds": round(time.monotonic() - start, 3)}
            device = _device()
            _append(folder, ended | ({"device": device} if device else {}))


def seconds_of(folder: Path) -> float | None:
    """Seconds of all attempts that have ended, or None if there is none."""
    ended = [line["seconds"] for line in _read(folder) if "seconds" in line]
    return sum(ended) if ended else None


def device_of(folder: Path) -> str | None:
    """What the last attempt that ended ran on."""
    devices = [line["device"] for line in _read(folder) if "device" in line]
    return devices[-1] if devices else None


def _read(folder: Path) -> list[Attempt]:
    file = folder / ATTEMPTS
    if not file.is_file():
        return []
    lines = file.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line.endswith("}")]


def _append(folder: Path, line: Attempt) -> None:
    with (folder / ATTEMPTS).open("a", encoding="utf-8") as file:
        file.write("\n" + json.dumps(line))  # after a line that a kill cut short, a new one


def _last_sign(folder: Path) -> float:
    """When something in the folder was last written."""
    files = [*folder.glob("*.txt"), *folder.glob("*/metrics.jsonl"), folder / ATTEMPTS]
    return max(file.stat().st_mtime for file in files if file.is_file())


def _device() -> str | None:
    """What JAX computed on in this process; None if it did not."""
    jax = sys.modules.get("jax")
    if jax is None:
        return None
    try:
        devices = jax.devices()
    except RuntimeError:  # there are none, which the command itself has said
        return None
    return f"{len(devices)} x {devices[0].device_kind}"
