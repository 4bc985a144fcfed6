"""Speed of DeepECG's peak detection as a ratio against a plain loop, in one run.

python tests/benchmarks/deepecg_detection.py
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from deepecg_jax.signals.standard.deepecg import standardize
from deepecg_jax.signals.standard.deepecg_peaks import find_crossings, find_peak_ranges
from deepecg_jax.signals.synthetic import generate

sys.path.insert(0, str(Path(__file__).parents[1]))
from oracles import deepecg_plain as plain


def best(function: Callable[[], object], repeats: int) -> float:
    """Shortest of some runs after a first one, s."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Print one line a step."""
    n = 200
    ecgs = generate(np.arange(n), 0).signal
    line = 0.05 * np.sin(2 * np.pi * 60 * np.arange(2500) / 250)
    ecgs = ecgs + line[:, None].astype(np.float32)
    spectra = np.stack([plain.mean_spectrum(ecgs[:, :, lead]) for lead in range(12)])
    half, frequencies = spectra[:, :1250].astype(np.float32), plain.FREQUENCIES[:1250]
    ranges = find_peak_ranges(frequencies, half[0])
    assert ranges == plain.peak_ranges(spectra[0])

    ours = best(lambda: find_peak_ranges(frequencies, half[0]), 20)
    peer = best(lambda: plain.peak_ranges(spectra[0]), 1)
    print(f"peaks: {1e3 * ours:.1f} ms, {peer / ours:,.0f} times a plain loop")
    ours = best(lambda: find_crossings(frequencies, half, ranges), 10)
    peer = best(lambda: [plain.crossings(spectrum, ranges) for spectrum in spectra], 1)
    print(f"crossings: {1e3 * ours:.1f} ms, {peer / ours:,.0f} times statsmodels lead by lead")
    print(f"all, batch of {n}: {n / best(lambda: standardize(ecgs), 3):,.0f} ECG/s")


if __name__ == "__main__":
    main()
