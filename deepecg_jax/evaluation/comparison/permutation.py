"""Paired permutation test: are the two models' outputs exchangeable, patient by patient?

In each permutation every patient's outputs are swapped between the models with probability one
half, all records and findings together. AUROC and average precision depend on ranks only, and two
models' scores need not share a scale, so ranks are swapped (Venkatraman and Begg, Biometrika 83,
1996; Bandos, Rockette and Gur, Statist. Med. 24, 2005); for the threshold metrics it is the
decisions, for the Brier score the scores themselves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from deepecg_jax.evaluation.resampling.bootstrap import Bootstrap, merge, split
from deepecg_jax.evaluation.resampling.devices import Devices
from deepecg_jax.evaluation.resampling.ranking import Ranking
from deepecg_jax.evaluation.resampling.tallies import comparable_thresholds, tally
from deepecg_jax.evaluation.resampling.walk import Walker, counts_by_record, lane_blocks, lanes_for


@dataclass(frozen=True)
class Swaps:
    """Which patients are swapped in which permutation; the first row swaps nobody.

    Attributes:
        cluster_of: (N,) the patient of each record.
        n_clusters: number of patients.
        seed: permutation r is a function of (seed, r).
    """

    cluster_of: np.ndarray
    n_clusters: int
    seed: int

    def rows(self, start: int, stop: int) -> np.ndarray:
        """(stop - start, N) uint8, 1 where a record is swapped."""
        swapped = np.zeros((stop - start, self.n_clusters), np.uint8)
        for i, r in enumerate(range(start, stop)):
            if r == 0:
                continue
            # the highest bit of the key keeps these apart from the bootstrap's draws
            key = np.array([self.seed, 2**62 + r], np.uint64)
            rng = np.random.Generator(np.random.Philox(key=key))
            swapped[i] = rng.integers(0, 2, self.n_clusters)
        return swapped[:, self.cluster_of]


def permuted(
    labels: np.ndarray,
    scores: tuple[np.ndarray, np.ndarray],
    thresholds: tuple[np.ndarray, np.ndarray],
    swaps: Swaps,
    permutations: int,
    pools: Mapping[str, Sequence[int]],
    weights: np.ndarray | None = None,
    devices: Devices | None = None,
) -> tuple[Bootstrap, Bootstrap]:
    """Every metric of both models in the sample (row 0) and in each permutation.

    Args:
        labels: (N, C) int8, -1 unknown.
        scores: of the models A and B, each (N, C).
        thresholds: of the models A and B, each (C,).
        swaps: who is swapped when.
        permutations: how many.
        pools: name -> findings that are flattened together.
        weights: (N,) weight of each record.
        devices: spread the permutations over these.
    """
    n, c = labels.shape
    both_labels = np.concatenate([labels, labels])
    both_scores = np.concatenate([s.astype(np.float64) for s in scores])
    comparable = [
        np.broadcast_to(comparable_thresholds(t, s.dtype).astype(np.float64), (n, c))
        for t, s in zip(thresholds, scores, strict=True)
    ]
    limits = np.concatenate(comparable)
    walker = Walker(_rankings(labels, both_labels, scores, pools), devices)
    itemsize = 1 if weights is None else 8
    lanes = lanes_for(1 + permutations, 2 * n, itemsize, len(devices) if devices else 1)
    both_weights = None if weights is None else np.concatenate([weights, weights])
    blocks: tuple[list, list] = ([], [])
    for start, stop in lane_blocks(1 + permutations, lanes):
        swapped = swaps.rows(start, stop)
        kept = 1 - swapped
        for model, halves in enumerate(((kept, swapped), (swapped, kept))):
            by_record = counts_by_record(np.concatenate(halves, axis=1), lanes, both_weights)
            sums = tally(by_record[: 2 * n], both_labels, both_scores, limits)
            lost, precision = walker.walk(by_record)
            blocks[model].append(split([sums], lost, precision, list(pools.values()), stop - start))
    return tuple(merge(block, labels, pools, {}) for block in blocks)  # pyright: ignore


def _rankings(
    labels: np.ndarray,
    both_labels: np.ndarray,
    scores: tuple[np.ndarray, np.ndarray],
    pools: Mapping[str, Sequence[int]],
) -> list[Ranking]:
    """One ranking a finding, then one a pool, of each model's ranks instead of its scores."""
    known = labels >= 0
    alone = np.zeros((2 * len(labels), labels.shape[1]))
    for half, own in enumerate(scores):
        rows = slice(half * len(labels), (half + 1) * len(labels))
        for j in range(labels.shape[1]):
            alone[rows, j][known[:, j]] = rankdata(own[known[:, j], j])
    rankings = [Ranking(both_labels, alone, [j]) for j in range(labels.shape[1])]
    for findings in pools.values():
        columns = list(findings)
        use = known[:, columns]
        together = np.zeros((2 * len(labels), len(columns)))
        for half, own in enumerate(scores):
            rows = slice(half * len(labels), (half + 1) * len(labels))
            together[rows][use] = rankdata(own[:, columns][use])
        rankings.append(Ranking(both_labels[:, columns], together, range(len(columns))))
    return rankings


def permutation_p(difference: np.ndarray) -> float | None:
    """Two-sided p-value, ``(1 + number as extreme as the sample) / (1 + number)``.

    Args:
        difference: (1 + P,), first of the sample; undefined permutations are skipped.
    """
    drawn = difference[1:][~np.isnan(difference[1:])]
    if np.isnan(difference[0]) or not len(drawn):
        return None
    # equal differences reached by other sums may differ in the last bits
    extreme = (np.abs(drawn) >= abs(difference[0]) - 1e-12).sum()
    return float((1 + extreme) / (1 + len(drawn)))
