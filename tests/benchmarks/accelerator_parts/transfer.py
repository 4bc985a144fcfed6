"""From host to device: how long a batch takes, and whether a step hides it."""

import time
from collections.abc import Callable, Iterator

import jax

from accelerator_parts.programs import compile_all, ecgs, ready, settings, trainer
from accelerator_parts.rows import Row, Rows, tried
from accelerator_parts.sizes import Size
from accelerator_parts.steps import BFLOAT16
from deepecg_jax.training.mesh import on_devices


def transfer(size: Size, rows: Rows) -> Iterator[Row]:
    """A batch as loaded, int16; alone, and while steps on as many ECGs run."""
    del rows
    own, count = trainer(size.config), size.transfer
    host = ecgs(count)
    size_in_bytes = host["signal"].nbytes

    def alone() -> Row:
        seconds = best(lambda: jax.block_until_ready(on_devices(host, own.mesh, count)))
        rate = size_in_bytes / seconds / 1e9
        return {"batch": count, "ms": 1e3 * seconds, "mb": size_in_bytes / 1e6, "gb_per_s": rate}

    yield tried("host to device", alone)
    config = settings(size.config, size.batch, **BFLOAT16)
    programs = compile_all({"": lambda: own.lowered(config)})

    def beside() -> Row:
        program, steps = ready(programs[""]).program, max(1, count // size.batch)
        held, batch = [own.state()], own.batch(size.batch)

        def work(put: bool) -> Callable[[], None]:
            def run() -> None:
                for _ in range(steps):
                    held[0], metrics = program(held[0], batch, {})
                arrived = on_devices(host, own.mesh, count) if put else None
                jax.block_until_ready((metrics, arrived))

            return run

        bare, both = best(work(False)), best(work(True))
        return {
            "batch": size.batch,
            "steps": steps,
            "steps_ms": 1e3 * bare,
            "steps_and_transfer_ms": 1e3 * both,
            "not_hidden_ms": 1e3 * (both - bare),
        }

    yield tried("beside steps", beside)


def best(call: Callable[[], object], repeats: int = 5) -> float:
    """Shortest of some calls after a first one, s."""
    call()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)
