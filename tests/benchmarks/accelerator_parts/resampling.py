"""The bootstrap on the accelerator and on the CPU."""

import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from accelerator_parts.rows import Row, Rows, tried
from accelerator_parts.sizes import Size
from deepecg_jax.evaluation.resampling.bootstrap import Bootstrap, bootstrap
from deepecg_jax.evaluation.resampling.draws import Resampler, Sweep


def resampling(size: Size, rows: Rows) -> Iterator[Row]:
    """The whole sweep where JAX puts it by itself, and on the CPU; the numbers must be equal."""
    del rows
    results: list[Bootstrap] = []
    places: dict[str, Any] = {"cpu": jax.devices("cpu")[0], jax.default_backend(): None}
    for name, device in places.items():
        yield tried(name, lambda d=device: _swept(size, d, results))


def _swept(size: Size, device: Any, results: list[Bootstrap]) -> Row:
    records, findings, resamples = size.bootstrap
    rng = np.random.default_rng(0)
    labels = (rng.random((records, findings)) < 0.1).astype(np.int8)
    scores = rng.random((records, findings)).astype(np.float32)
    sweep = Sweep(Resampler.of_records(records, 0), resamples)

    def run() -> float:
        start = time.perf_counter()
        results.append(bootstrap(labels, scores, np.full(findings, 0.5), sweep, {}, {}))
        return time.perf_counter() - start

    # a context manager would not reach the threads of the bootstrap
    jax.config.update("jax_default_device", device)
    first, second = run(), run()
    jax.config.update("jax_default_device", None)
    difference = np.nanmax(np.abs(results[-1].findings.auroc - results[0].findings.auroc))
    return {
        "records": records,
        "findings": findings,
        "resamples": resamples,
        "s_with_compiling": first,
        "s": second,
        "auroc_difference": float(difference),
    }
