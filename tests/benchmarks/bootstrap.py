"""The bootstrap against a scikit-learn loop, its memory, and how its cost grows.

    python tests/benchmarks/bootstrap.py            # ratio and growth, about three minutes
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

from deepecg_jax.evaluation.resampling.bootstrap import Bootstrap, bootstrap
from deepecg_jax.evaluation.resampling.draws import Resampler, Sweep

HEAD = (
    "| records | findings | resamples | seconds | processor s | million terms/s | peak GiB |\n"
    "|---|---|---|---|---|---|---|"
)


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


def row(records: int, findings: int, resamples: int, runs: int = 1) -> float:
    """Run one size and print its row; gives the least processor time of the runs."""
    processor, wall = np.inf, np.inf
    for _ in range(runs):
        start = time.process_time()
        seconds, _ = sweep_seconds(records, findings, resamples)
        processor, wall = min(processor, time.process_time() - start), min(wall, seconds)
    terms = records * findings * resamples
    print(
        f"| {records:,} | {findings} | {resamples:,} | {wall:.1f} | {processor:.1f} | "
        f"{terms / wall / 1e6:,.0f} | {peak_gib():.2f} |",
        flush=True,
    )
    return processor


def peak_gib() -> float:
    """Most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def growth() -> None:
    """Every factor over a range of four, the others held, and the power that the time goes with.

    Each size is run twice: the first compiles, and processor time does not count who else is on the
    machine.
    """
    print(HEAD)
    base: list[int] = [20_000, 20, 511]
    for k, name in enumerate(("records", "findings", "resamples")):
        sizes, seconds = [], []
        for factor in (1, 2, 4):
            size = base.copy()
            # 511, 1023, 2047: with the sample itself whole blocks of lanes
            size[k] = (base[k] + 1) * factor - 1 if k == 2 else base[k] * factor
            sizes.append(size[k])
            seconds.append(row(*size, runs=2))
        power = np.polyfit(np.log(sizes), np.log(seconds), 1)[0]
        print(f"\nprocessor time goes with {name} to the power of {power:.2f}\n", flush=True)


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
    print(
        f"  sweep {1000 * ours / 1000:.1f} ms a resample, loop {1000 * peer:.0f} ms: "
        f"{peer * 1000 / ours:.0f} times\n",
        flush=True,
    )
    del done
    if full:
        print(f"full size\n{HEAD}")
        row(100_000, 77, 1000)
        print()
    print("growth (terms are records x findings x resamples; the micro average is included)")
    growth()
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
