"""Speeds of the hot paths as ratios against a named peer, in one run.

python tests/benchmarks/speed.py
"""

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from scipy.signal import resample_poly
from sklearn.metrics import roc_auc_score

from deepecg_jax.evaluation.resampling.bootstrap import bootstrap_auroc
from deepecg_jax.models.wcr.positional import grouped_convolution
from deepecg_jax.signals.contract import STANDARD_LEADS
from deepecg_jax.signals.recording import Recording
from deepecg_jax.signals.resample import resample
from deepecg_jax.signals.standard.millivolt import standardize
from deepecg_jax.signals.synthetic import generate


def best(function: Callable[[], object], repeats: int = 3) -> float:
    """Shortest of some runs after a first one, s."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Print one line a path."""
    rng = np.random.default_rng(0)

    n = 2000
    seconds = best(lambda: generate(np.arange(n), 0), 2)
    print(f"synthetic generator: {n / seconds:,.0f} ECG/s")

    signal = rng.normal(size=(5000, 12)).astype(np.float32)
    ours = best(lambda: resample(signal, 500, 250), 20)
    peer = best(lambda: resample_poly(signal, 1, 2, axis=0), 20)
    print(f"resampling 500 to 250 Hz: {peer / ours:.1f} times scipy.signal.resample_poly")

    ecg = generate(np.arange(1), 0).signal[0]
    recording = Recording(resample(ecg, 250, 500), STANDARD_LEADS, 500.0)
    seconds = best(lambda: standardize(recording), 20)
    print(f"standardising 500 Hz: {1 / seconds:,.0f} ECG/s")

    x = jnp.asarray(rng.normal(size=(16, 78, 256)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(128, 16, 256)), jnp.float32)

    def direct(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return jax.lax.conv_general_dilated(
            x,
            kernel,
            (1,),
            [(64, 64)],
            dimension_numbers=("NWC", "WIO", "NWC"),
            feature_group_count=16,
        )

    def gradient(f: Callable[..., jax.Array]) -> Callable[[], object]:
        step = jax.jit(jax.grad(lambda x, k: jnp.sum(f(x, k) ** 2), (0, 1)))
        return lambda: jax.block_until_ready(step(x, kernel))

    ours = best(gradient(lambda x, k: grouped_convolution(x, k, 16)))
    peer = best(gradient(direct), 1)
    print(f"positional convolution, gradient: {peer / ours:.0f} times XLA's grouped convolution")

    records, findings, resamples = 5000, 20, 200
    labels = rng.random((records, findings)) < 0.1
    scores = rng.random((records, findings))
    counts = rng.multinomial(records, np.full(records, 1 / records), resamples)
    ours = best(lambda: bootstrap_auroc(labels, scores, counts), 1) / resamples
    start = time.perf_counter()
    for count in counts[:5]:
        for j in range(findings):
            roc_auc_score(labels[:, j], scores[:, j], sample_weight=count)
    peer = (time.perf_counter() - start) / 5
    print(
        f"bootstrapped AUROC, {records} x {findings}: {peer / ours:.0f} times a scikit-learn loop"
    )


if __name__ == "__main__":
    main()
