"""Where the time of a step goes: the longest kernels of three steps at the best setting."""

import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import jax

from accelerator_parts.programs import compile_all, ready, settings, trainer
from accelerator_parts.rows import Row, Rows
from accelerator_parts.sizes import Size
from accelerator_parts.steps import BFLOAT16

STEPS, TOP = 3, 20


def profile(size: Size, rows: Rows) -> Iterator[Row]:
    """One row a kernel: its time in all steps, its calls, the operation it came from."""
    own = trainer(size.config)
    kept, unroll = _best(rows, size)
    config = settings(
        size.config, size.batch, **BFLOAT16, model__remat=kept, model__scan_unroll=unroll
    )
    program = ready(compile_all({"": lambda: own.lowered(config)})[""]).program
    state, batch = own.state(), own.batch(size.batch)
    state, metrics = program(state, batch, {})
    jax.block_until_ready(metrics)
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            for _ in range(STEPS):
                state, metrics = program(state, batch, {})
            jax.block_until_ready((state, metrics))
        (file,) = Path(folder).rglob("*.xplane.pb")
        kernels = _kernels(jax.profiler.ProfileData.from_file(str(file)))
    if not kernels:
        raise RuntimeError("the trace holds no kernels")
    total = sum(nanoseconds for nanoseconds, _, _ in kernels.values())
    setting = f"{kept}, unrolled {unroll}"
    yield {"case": "all", "setting": setting, "steps": STEPS, "ms": total / 1e6}
    longest = sorted(kernels.items(), key=lambda kernel: -kernel[1][0])[:TOP]
    for name, (nanoseconds, calls, operation) in longest:
        yield {
            "case": name[:80],
            "ms": nanoseconds / 1e6,
            "share": nanoseconds / total,
            "calls": calls,
            "operation": operation[-120:],
        }


def _best(rows: Rows, size: Size) -> tuple[str, int]:
    """The fastest of the item ``remat``, or the first of it where none was measured."""
    speeds = {r["case"]: r["ms"] for r in rows.all() if r["item"] == "remat" and "ms" in r}
    cases = {f"{kept}, unrolled {unroll}": (kept, unroll) for kept, unroll in size.remat}
    return cases[min(speeds, key=lambda case: speeds[case])] if speeds else size.remat[0]


def _kernels(data: jax.profiler.ProfileData) -> dict[str, tuple[float, int, str]]:
    """Name -> (nanoseconds, calls, operation) of a device's streams, or of the CPU's threads."""
    planes = list(data.planes)
    devices = [plane for plane in planes if plane.name.startswith("/device:")]
    found: dict[str, tuple[float, int, str]] = defaultdict(lambda: (0.0, 0, ""))
    for plane in devices or [plane for plane in planes if plane.name.startswith("/host:CPU")]:
        for line in plane.lines:
            if devices and not line.name.startswith("Stream"):
                continue  # the same time again, by module or by operation
            for event in line.events:
                about = {str(name): value for name, value in event.stats}
                if not devices and "hlo_op" not in about:
                    continue
                time, calls, _ = found[event.name]
                origin = about.get("name") or about.get("tf_op") or about.get("hlo_op") or ""
                found[event.name] = (time + event.duration_ns, calls + 1, str(origin))
    return dict(found)
