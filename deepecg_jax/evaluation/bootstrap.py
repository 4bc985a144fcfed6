"""Every resample of every finding, pool of findings and group of patients in one sweep."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import jax
import numpy as np

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.auroc import (
    auroc_from_pairs,
    counts_by_record,
    lane_blocks,
    lanes_for,
    walk_plans,
)
from deepecg_jax.evaluation.ranking import RankPlan, plan_ranking
from deepecg_jax.evaluation.resampling import Resampler, narrow
from deepecg_jax.evaluation.tallies import Tallies, tally


@dataclass(frozen=True)
class Resampled:
    """What metrics are computed from. Row 0 of each array is the sample itself.

    Attributes:
        tallies: sums of shape (1 + R, C).
        auroc: (1 + R, C), NaN where a class is absent.
        auprc: (1 + R, C), average precision, NaN without positives.
    """

    tallies: Tallies
    auroc: np.ndarray
    auprc: np.ndarray


@dataclass(frozen=True)
class Bootstrap:
    """The result of `bootstrap`: findings (C columns), pools (one column each), groups (C each)."""

    findings: Resampled
    pools: dict[str, Resampled]
    groups: dict[str, Resampled]


def bootstrap_auroc(labels: np.ndarray, scores: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """AUROC of every finding in every given resample.

    Args:
        labels: (N, C) of 0/1; -1 leaves a record out of that finding.
        scores: (N, C); equal scores tie, and a tie counts one half.
        counts: (R, N) non-negative integers, how often each record is in resample r.

    Returns:
        (R, C) float64, NaN where a class is absent. Equal to scikit-learn's ``roc_auc_score`` with
        the counts as sample weights, up to its rounding.

    Raises:
        UserError: shapes that disagree, a NaN score, a label other than -1, 0, 1, bad counts.
    """
    return bootstrap_ranking(labels, scores, counts)[0]


def bootstrap_auprc(labels: np.ndarray, scores: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Average precision of every finding in every given resample; see `bootstrap_auroc`.

    Returns:
        (R, C) float64, NaN without positives. Equal to scikit-learn's ``average_precision_score``.
    """
    return bootstrap_ranking(labels, scores, counts)[1]


def bootstrap_ranking(
    labels: np.ndarray, scores: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """AUROC and average precision together, each (R, C); see `bootstrap_auroc`."""
    labels, scores, counts = _checked(labels, scores, counts)
    plans = [_plan(labels, scores, [j], None) for j in range(labels.shape[1])]
    auroc = np.empty((len(counts), labels.shape[1]))
    auprc = np.empty_like(auroc)
    lanes = lanes_for(len(counts))
    no_thresholds = np.zeros(labels.shape[1])
    for start, stop in lane_blocks(len(counts)):
        by_record = counts_by_record(counts[start:stop], lanes)
        sums = tally(by_record[: len(labels)], labels, scores, no_thresholds)
        lost, precision = walk_plans(plans, jax.device_put(by_record))
        auroc[start:stop] = auroc_from_pairs(lost, sums.positive, sums.negative)[: stop - start]
        auprc[start:stop] = precision[: stop - start]
    return auroc, auprc


def bootstrap(
    labels: np.ndarray,
    scores: np.ndarray,
    thresholds: np.ndarray,
    resampler: Resampler,
    resamples: int,
    pools: Mapping[str, Sequence[int]],
    groups: Mapping[str, np.ndarray],
) -> Bootstrap:
    """Sweep over the sample itself and `resamples` resamples of it.

    Args:
        labels: (N, C) int8, -1 unknown.
        scores: (N, C).
        thresholds: (C,).
        resampler: draws the resamples.
        resamples: R.
        pools: name -> indices of findings whose records are flattened together (micro averages).
        groups: name -> (N,) bool, records of a group.
    """
    everything = list(range(labels.shape[1]))
    plans = [_plan(labels, scores, [j], None) for j in everything]
    plans += [_plan(labels, scores, list(findings), None) for findings in pools.values()]
    for mask in groups.values():
        plans += [_plan(labels, scores, [j], mask) for j in everything]

    lanes = lanes_for(1 + resamples)
    blocks = []
    for start, stop in lane_blocks(1 + resamples):
        by_record = counts_by_record(_with_sample(resampler, start, stop), lanes)
        drawn = by_record[: len(labels)]
        sums = [tally(drawn, labels, scores, thresholds)]
        for mask in groups.values():
            sums.append(tally(drawn[mask], labels[mask], scores[mask], thresholds))
        lost, precision = walk_plans(plans, jax.device_put(by_record))
        blocks.append(_split(sums, lost, precision, list(pools.values()), stop - start))
    merged = [_concatenate([block[i] for block in blocks]) for i in range(len(blocks[0]))]
    n_pools = len(pools)
    return Bootstrap(
        findings=merged[0],
        pools=dict(zip(pools, merged[1 : 1 + n_pools], strict=True)),
        groups=dict(zip(groups, merged[1 + n_pools :], strict=True)),
    )


def _with_sample(resampler: Resampler, start: int, stop: int) -> np.ndarray:
    """Counts of the rows start..stop-1 of the sweep, where row 0 is the sample itself."""
    drawn = resampler.counts(max(start, 1) - 1, stop - 1)
    if start > 0:
        return drawn
    return np.concatenate([np.ones((1, len(resampler.cluster_of)), drawn.dtype), drawn])


def _split(
    sums: list[Tallies],
    lost: np.ndarray,
    precision: np.ndarray,
    pools: list[Sequence[int]],
    used: int,
) -> list[Resampled]:
    """Cut the columns of one block into findings, pools and groups, in the order of the plans."""
    width = sums[0].known.shape[1]
    parts = [sums[0]] + [sums[0].pooled(list(findings)) for findings in pools] + sums[1:]
    result, column = [], 0
    for part in parts:
        columns = slice(column, column + part.known.shape[1])
        auroc = auroc_from_pairs(lost[:, columns], part.positive, part.negative)
        result.append(Resampled(part.first(used), auroc[:used], precision[:used, columns]))
        column = columns.stop
    assert column == lost.shape[1] and width <= column
    return result


def _concatenate(blocks: list[Resampled]) -> Resampled:
    return Resampled(
        Tallies.concatenate([block.tallies for block in blocks]),
        np.concatenate([block.auroc for block in blocks]),
        np.concatenate([block.auprc for block in blocks]),
    )


def _plan(
    labels: np.ndarray, scores: np.ndarray, findings: list[int], mask: np.ndarray | None
) -> RankPlan:
    """Rank the records of some findings, flattened, where the label is known (and `mask` holds)."""
    rows, positive, values = [], [], []
    for j in findings:
        known = labels[:, j] >= 0
        at = np.flatnonzero(known if mask is None else known & mask).astype(np.int32)
        rows.append(at)
        positive.append(labels[at, j] == 1)
        values.append(scores[at, j])
    return plan_ranking(
        np.concatenate(rows), np.concatenate(positive), np.concatenate(values), len(labels)
    )


def _checked(
    labels: np.ndarray, scores: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    labels, scores, counts = np.asarray(labels), np.asarray(scores), np.asarray(counts)
    if labels.ndim != 2 or scores.shape != labels.shape:
        raise UserError(
            f"labels {labels.shape} and scores {scores.shape} must have one shape (N, C)."
        )
    if counts.ndim != 2 or counts.shape[1] != len(labels):
        raise UserError(f"counts have shape {counts.shape}; they must be (R, {len(labels)}).")
    if not np.isin(labels, (-1, 0, 1)).all():
        raise UserError("labels must be 0, 1 or -1 (unknown).")
    scores = scores if scores.dtype == np.float32 else scores.astype(np.float64)
    if np.isnan(scores).any():
        raise UserError("scores must not be NaN.")
    return labels.astype(np.int8), scores, narrow(counts)
