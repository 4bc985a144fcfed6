"""The bootstrap against a scikit-learn loop, its memory, and how its cost grows.

    python tests/benchmarks/bootstrap.py            # ratio and growth, about two minutes
    python tests/benchmarks/bootstrap.py --full     # also 100,000 x 77 x 1,000

The peer computes on each resample what the sweep computes: AUROC, average precision, Brier score
and the confusion matrix of every finding, and AUROC and average precision of all findings
flattened. It is timed on a few resamples, beside the sweep, in the same run. Compilation is part of
the sweep's time.
"""

import argparse
import os
import resource
import time

import numpy as np
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    confusion_matrix,
    roc_auc_score,
)

from deepecg_jax.evaluation.bootstrap import Bootstrap, bootstrap
from deepecg_jax.evaluation.resampling import Resampler, Sweep


def table(records: int, findings: int) -> tuple[np.ndarray, np.ndarray, Resampler]:
    """Labels from 0.2 to 30 % prevalent, scores, and two records a patient on average."""
    rng = np.random.default_rng(0)
    labels = (rng.random((records, findings)) < np.geomspace(0.002, 0.3, findings)).astype(np.int8)
    logits = rng.normal(size=(records, findings)) + 1.5 * labels - 3
    scores = (1 / (1 + np.exp(-logits))).astype(np.float32)
    patients = rng.integers(0, records // 2, records)
    return labels, scores, Resampler.of_patients(patients, 0)


def sweep_seconds(records: int, findings: int, resamples: int) -> tuple[float, Bootstrap]:
    """Wall time of every metric, every finding and the flattened micro average."""
    labels, scores, resampler = table(records, findings)
    start = time.perf_counter()
    done = bootstrap(
        labels,
        scores,
        np.full(findings, 0.5),
        Sweep(resampler, resamples),
        {"micro": range(findings)},
        {},
    )
    return time.perf_counter() - start, done


def loop_seconds(records: int, findings: int, resamples: int, done: Bootstrap) -> float:
    """Wall time a resample of the scikit-learn loop; its values must be those of the sweep."""
    labels, scores, resampler = table(records, findings)
    counts = resampler.counts(0, resamples)
    start = time.perf_counter()
    worst = 0.0
    for r, weights in enumerate(counts):
        for j in range(findings):
            y, s = labels[:, j], scores[:, j]
            auroc = roc_auc_score(y, s, sample_weight=weights)
            auprc = average_precision_score(y, s, sample_weight=weights)
            brier_score_loss(y, s, sample_weight=weights)
            confusion_matrix(y, s >= 0.5, sample_weight=weights, labels=[0, 1])
            worst = max(worst, abs(auroc - done.findings.auroc[1 + r, j]))
            worst = max(worst, abs(auprc - done.findings.auprc[1 + r, j]))
        flat = np.repeat(weights, findings)
        micro = roc_auc_score(labels.ravel(), scores.ravel(), sample_weight=flat)
        average_precision_score(labels.ravel(), scores.ravel(), sample_weight=flat)
        worst = max(worst, abs(micro - done.pools["micro"].auroc[1 + r, 0]))
    seconds = (time.perf_counter() - start) / resamples
    print(f"  largest difference from scikit-learn on those resamples: {worst:.1e}")
    return seconds


def line(records: int, findings: int, resamples: int, seconds: float) -> None:
    """One row of the growth table."""
    terms = records * findings * resamples
    print(
        f"  {records:>9,} x {findings:>3} x {resamples:>5,}: {seconds:6.1f} s, "
        f"{terms / seconds / 1e6:5.0f} million terms/s"
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--full", action="store_true", help="also 100,000 x 77 x 1,000")
    full = parser.parse_args().full
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")

    sweep_seconds(300, 3, 15)
    print("against a scikit-learn loop, 20,000 records x 77 findings, 1,000 resamples")
    ours, done = sweep_seconds(20_000, 77, 1000)
    peer = loop_seconds(20_000, 77, 3, done)
    print(f"  sweep {1000 * ours / 1000:.1f} ms a resample, loop {1000 * peer:.0f} ms: "
          f"{peer * 1000 / ours:.0f} times")  # fmt: skip

    print("growth (terms are records x findings x resamples; the micro average is included)")
    for records, findings, resamples in (
        (20_000, 20, 511), (40_000, 20, 511), (80_000, 20, 511),
        (20_000, 40, 511), (20_000, 80, 511),
        (20_000, 20, 1023), (20_000, 20, 2047),
    ):  # fmt: skip
        line(records, findings, resamples, sweep_seconds(records, findings, resamples)[0])
    if full:
        print("full size")
        line(100_000, 77, 1000, sweep_seconds(100_000, 77, 1000)[0])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory of this process {peak:.2f} GiB; load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
