"""Energy of a piece of work, where the platform tells."""

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

RAPL = Path("/sys/class/powercap")


class Energy(TypedDict):
    """``joules`` (None with a ``reason`` where nothing can be read), ``seconds`` and ``source``."""

    joules: float | None
    seconds: float
    source: str | None
    reason: str | None


def measure_energy(work: Callable[[], object], rapl: Path = RAPL) -> Energy:
    """Run `work` once and say what it took.

    Intel and AMD processors count the energy of each package (RAPL; of everything that ran in that
    time). NVIDIA GPUs tell their power, read before and after and multiplied by the time.
    """
    zones, denied = _packages(rapl)
    before = [int((zone / "energy_uj").read_text()) for zone in zones]
    power = None if zones else _gpu_watts()
    start = time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    result: Energy = {"joules": None, "seconds": seconds, "source": None, "reason": None}
    if zones:
        total = 0
        for zone, first in zip(zones, before, strict=True):
            used = int((zone / "energy_uj").read_text()) - first
            if used < 0:  # the counter began again
                used += int((zone / "max_energy_range_uj").read_text())
            total += used
        return {**result, "joules": total * 1e-6, "source": "RAPL, whole packages"}
    after = _gpu_watts() if power is not None else None
    if power is not None and after is not None:
        watts = (power + after) / 2
        return {**result, "joules": watts * seconds, "source": "nvidia-smi, power x time"}
    reason = "the RAPL counters may be read by root only" if denied else "no RAPL counter"
    return {**result, "reason": f"{reason}, and nvidia-smi gives no power"}


def _packages(rapl: Path) -> tuple[list[Path], bool]:
    """Zones of whole packages that can be read, and whether one could not."""
    readable, denied = [], False
    for zone in sorted(rapl.glob("intel-rapl:*")):
        if zone.name.count(":") != 1:  # a part of a package
            continue
        try:
            (zone / "energy_uj").read_text()
            readable.append(zone)
        except PermissionError:
            denied = True
        except OSError:
            continue
    return readable, denied


def _gpu_watts() -> float | None:
    """Power of all NVIDIA GPUs together; ``None`` where nvidia-smi does not say."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    done = subprocess.run(
        [program, "--query-gpu=power.draw", "--format=csv,noheader,nounits"],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    try:
        return sum(float(line) for line in done.stdout.split()) if done.stdout.split() else None
    except ValueError:
        return None
