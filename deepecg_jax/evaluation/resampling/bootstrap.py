"""Every resample of every finding, pool of findings and group of patients in one sweep."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.resampling.devices import Devices
from deepecg_jax.evaluation.resampling.draws import Sweep, narrow
from deepecg_jax.evaluation.resampling.partition import Partition
from deepecg_jax.evaluation.resampling.ranking import Ranking
from deepecg_jax.evaluation.resampling.tallies import Tallies, tally
from deepecg_jax.evaluation.resampling.walk import (
    Walker,
    auroc_from_pairs,
    counts_by_record,
    lane_blocks,
    lanes_for,
    sweep_by_record,
)


@dataclass(frozen=True)
class Resampled:
    """What metrics are computed from.

    Row 0 of each array is the sample itself, R resamples follow, and then the jackknife's rows, if
    any: together the rows of a `draws.Sweep`.

    Attributes:
        tallies: sums of shape (rows, C).
        auroc: (rows, C), NaN where a class is absent.
        auprc: (rows, C), average precision, NaN without positives.
        n: (C,) records of the sample with a known label, whatever their weight.
        n_positive: (C,) positive ones among them.
    """

    tallies: Tallies
    auroc: np.ndarray
    auprc: np.ndarray
    n: np.ndarray
    n_positive: np.ndarray

    @classmethod
    def of_sums(cls, tallies: Tallies) -> "Resampled":
        """Sums alone, for the metrics that need no ranking: AUROC and AUPRC are NaN."""
        ranked = np.full_like(tallies.known, np.nan)
        return cls(tallies, ranked, ranked, tallies.known[0], tallies.positive[0])


@dataclass(frozen=True)
class Bootstrap:
    """The result of `bootstrap`: findings (C columns), pools (one column each), groups (C each)."""

    findings: Resampled
    pools: dict[str, Resampled]
    groups: dict[str, Resampled]


def bootstrap_auroc(labels: np.ndarray, scores: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """AUROC of every finding in every given resample.

    >>> labels, scores = np.array([[0], [1], [1]]), np.array([[0.1], [0.6], [0.3]])
    >>> counts = np.array([[1, 1, 1], [0, 2, 1]])  # in the second the only negative is not drawn
    >>> de.bootstrap_auroc(labels, scores, counts)
    array([[ 1.],
           [nan]])

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


def bootstrap_ranking(
    labels: np.ndarray, scores: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """AUROC and average precision together; see `bootstrap_auroc` for the arguments.

    Returns:
        each (R, C) float64, NaN where a class is absent (AUROC) or without positives (average
        precision, which equals scikit-learn's ``average_precision_score``).
    """
    labels, scores, counts = _checked(labels, scores, counts)
    lanes = lanes_for(len(counts), len(labels), counts.itemsize)
    rankings = [Ranking(labels, scores, [j]) for j in range(labels.shape[1])]
    walker = Walker(rankings, once=len(counts) <= lanes)
    auroc = np.empty((len(counts), labels.shape[1]))
    auprc = np.empty_like(auroc)
    no_thresholds = np.zeros(labels.shape[1])
    for start, stop in lane_blocks(len(counts), lanes):
        by_record = counts_by_record(counts[start:stop], lanes, None)
        sums = tally(by_record[: len(labels)], labels, scores, no_thresholds)
        lost, precision = walker.walk(by_record)
        auroc[start:stop] = auroc_from_pairs(lost, sums.positive, sums.negative)[: stop - start]
        auprc[start:stop] = precision[: stop - start]
    return auroc, auprc


def bootstrap(
    labels: np.ndarray,
    scores: np.ndarray,
    thresholds: np.ndarray,
    sweep: Sweep,
    pools: Mapping[str, Sequence[int]],
    groups: Mapping[str, np.ndarray],
    weights: np.ndarray | None = None,
    devices: Devices | None = None,
) -> Bootstrap:
    """Every metric on every row of `sweep`.

    Args:
        labels: (N, C) int8, -1 unknown.
        scores: (N, C).
        thresholds: (C,), or (N, C) where records have their own.
        sweep: the sample, its resamples, and the jackknife if asked for.
        pools: name -> indices of findings whose records are flattened together (micro averages).
        groups: name -> (N,) bool, records of a group.
        weights: (N,) non-negative weight of each record; ``None`` for 1.
        devices: spread the resamples over these; the result is the same to the bit.
    """
    findings = [(j,) for j in range(labels.shape[1])]
    wanted = [(own, None) for own in [*findings, *(tuple(own) for own in pools.values())]]
    wanted += [(own, group) for group in groups for own in findings]
    # a pool of one finding, or the same pool under two names, is walked through once
    place = {key: i for i, key in enumerate(dict.fromkeys(wanted))}
    columns = [place[key] for key in wanted]
    rankings = [
        Ranking(labels, scores, own, None if group is None else groups[group])
        for own, group in place
    ]
    limits = np.asarray(thresholds)
    cells = Partition.of(len(labels), groups)

    itemsize = 1 if weights is None else 8
    lanes = lanes_for(sweep.rows, len(labels), itemsize, len(devices) if devices else 1)
    walker = Walker(rankings, devices, once=sweep.rows <= lanes)
    # The last bit of a sum of squares depends on the shape of the product, so products have the
    # shape that one device has.
    width = lanes_for(sweep.rows, len(labels), itemsize)

    blocks = []
    for start, stop in lane_blocks(sweep.rows, lanes):
        by_record = sweep_by_record(sweep, start, stop, lanes, weights)
        parts = [
            cells.tally(by_record[: len(labels), at : at + width], labels, scores, limits)
            for at in range(0, lanes, width)
        ]
        sums = [Tallies.concatenate(list(part)) for part in zip(*parts, strict=True)]
        lost, precision = walker.walk(by_record)
        blocks.append(
            split(sums, lost[:, columns], precision[:, columns], list(pools.values()), stop - start)
        )
    return merge(blocks, labels, pools, groups)


def split(
    sums: list[Tallies],
    lost: np.ndarray,
    precision: np.ndarray,
    pools: list[Sequence[int]],
    used: int,
) -> list[tuple[Tallies, np.ndarray, np.ndarray]]:
    """Cut the columns of one block into findings, pools and groups.

    Args:
        sums: of all records and of each group, each (lanes, C).
        lost: (lanes, columns), see `Walker.walk`; the columns are the findings, then one a pool,
            then the findings of each group.
        precision: (lanes, columns).
        pools: the findings of each pool.
        used: how many lanes hold a resample; the rest is padding.

    Returns:
        (sums, AUROC, average precision), each (used, C), or (used, 1) for a pool; in that order.
    """
    parts = [sums[0]] + [sums[0].pooled(list(findings)) for findings in pools] + sums[1:]
    result, column = [], 0
    for part in parts:
        columns = slice(column, column + part.known.shape[1])
        auroc = auroc_from_pairs(lost[:, columns], part.positive, part.negative)
        result.append((part.first(used), auroc[:used], precision[:used, columns]))
        column = columns.stop
    assert column == lost.shape[1]
    return result


def merge(
    blocks: list[list[tuple[Tallies, np.ndarray, np.ndarray]]],
    labels: np.ndarray,
    pools: Mapping[str, Sequence[int]],
    groups: Mapping[str, np.ndarray],
) -> Bootstrap:
    """Put blocks of rows together and name the parts.

    Args:
        blocks: what `split` gave for each block of rows.
        labels: (N, C), for the numbers of known and positive records.
        pools: name -> findings that are flattened together.
        groups: name -> (N,) bool.
    """
    sizes = [_sizes(labels)] + [_sizes(labels[:, list(f)], pooled=True) for f in pools.values()]
    sizes += [_sizes(labels[mask]) for mask in groups.values()]
    merged = [_concatenate([block[i] for block in blocks], *size) for i, size in enumerate(sizes)]
    n_pools = len(pools)
    return Bootstrap(
        findings=merged[0],
        pools=dict(zip(pools, merged[1 : 1 + n_pools], strict=True)),
        groups=dict(zip(groups, merged[1 + n_pools :], strict=True)),
    )


def _concatenate(
    blocks: list[tuple[Tallies, np.ndarray, np.ndarray]], n: np.ndarray, n_positive: np.ndarray
) -> Resampled:
    tallies, auroc, auprc = zip(*blocks, strict=True)
    return Resampled(
        Tallies.concatenate(list(tallies)),
        np.concatenate(auroc),
        np.concatenate(auprc),
        n,
        n_positive,
    )


def _sizes(labels: np.ndarray, pooled: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Records with a known label, and positive ones, of each finding or of all together."""
    counts = (labels >= 0).sum(axis=0), (labels == 1).sum(axis=0)
    return (counts[0].sum()[None], counts[1].sum()[None]) if pooled else counts


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
