"""Means and spread over seeds, paired differences to the reference, main effects of the grid."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from pydantic import JsonValue

from deepecg_jax.evaluation.comparison.compare import bootstrap_p
from deepecg_jax.evaluation.comparison.multiplicity import adjust
from deepecg_jax.evaluation.resampling.intervals import interval
from deepecg_jax.sweep.planning.config import ReferenceConfig
from deepecg_jax.sweep.planning.jobs import Point
from deepecg_jax.sweep.planning.names import point_text
from deepecg_jax.sweep.results.outcomes import UNKNOWN, Effect, Outcome, Summary
from deepecg_jax.sweep.results.scores import Scores

Cell = tuple[str, str]
"""A run and a point of the grid."""
T = TypeVar("T")


def cell_of(run: str, point: Point) -> Cell:
    """What all seeds of a run at a point have in common."""
    return run, json.dumps(point)


def summaries_of(
    outcomes: Sequence[Outcome],
    scores: Sequence[Scores | None],
    reference: ReferenceConfig | None,
) -> tuple[list[Summary], list[str]]:
    """A row a run and point, in the order of the table, and what could not be compared.

    The difference of a run to the reference is that of their mean macro AUROC over the seeds that
    both have, computed within each resample of patients; its p-value is `bootstrap_p`, adjusted
    (Holm) for all that are compared with the same cell.

    Args:
        outcomes: all rows of the table.
        scores: of each row, None without.
        reference: the run that others are compared with, or None.
    """
    cells = _cells(outcomes, list(zip(outcomes, scores, strict=True)))
    notes: list[str] = []
    found: dict[Cell, Summary] = {}
    families: dict[Cell, dict[Cell, tuple[str, ...]]] = {}  # reference -> cell -> its jobs
    for cell, rows in cells.items():
        first = rows[0][0]
        of_seeds = _by_seed(rows)
        paired, n = None, 0
        if reference is not None:
            other = cell_of(reference.run, {**first.point, **reference.at})
            there = cells.get(other, [])
            if _jobs(there) != _jobs(rows):
                paired, n, why = _paired(of_seeds, _by_seed(there))
                families.setdefault(other, {})[cell] = _jobs(rows)
                if why:
                    at = f" at {point_text(first.point)}" if first.point else ""
                    notes.append(f"{first.run}{at} is not compared with {reference.run}: {why}.")
        found[cell] = _summary(rows, of_seeds, paired, n)
    for family in families.values():
        _adjust(found, family)
    return list(found.values()), notes


def _summary(
    rows: Sequence[tuple[Outcome, Scores | None]],
    of_seeds: Mapping[int, Scores],
    paired: np.ndarray | None,
    n_paired: int,
) -> Summary:
    first = rows[0][0]
    values = [float(one.macro[0]) for one in of_seeds.values()]
    mean = _mean(of_seeds.values())
    done = [outcome for outcome, _ in rows if outcome.status == "done"]
    return Summary(
        run=first.run,
        point=first.point,
        baseline=first.baseline,
        seeds=len(done),
        failed=sum(outcome.status == "failed" for outcome, _ in rows),
        mean=float(np.mean(values)) if values else None,
        sd=float(np.std(values, ddof=1)) if len(values) > 1 else None,
        over_patients=UNKNOWN if mean is None else interval(mean),
        difference=UNKNOWN if paired is None else interval(paired),
        difference_seeds=n_paired,
        p=None if paired is None else bootstrap_p(paired),
        p_holm=None,
        parameters=_average([outcome.parameters for outcome in done]),
        seconds=_average([outcome.seconds for outcome in done]),
    )


def _adjust(found: dict[Cell, Summary], family: Mapping[Cell, tuple[str, ...]]) -> None:
    """Set ``p_holm``; cells whose numbers come from the same jobs are one comparison.

    A baseline that no key of the grid changes is the same at every point.
    """
    p_values = {str(jobs): found[cell].p for cell, jobs in family.items()}
    if all(p is None for p in p_values.values()):
        return
    adjusted = adjust(p_values)
    for cell, jobs in family.items():
        found[cell] = replace(found[cell], p_holm=adjusted[str(jobs)][0])


def _paired(
    own: Mapping[int, Scores], others: Mapping[int, Scores]
) -> tuple[np.ndarray | None, int, str]:
    """Difference of the means over common seeds, (1 + R,), their number, or why there is none."""
    seeds = [seed for seed in own if seed in others]
    if not seeds:
        return None, 0, "" if not own or not others else "they have no finished seed in common"
    if len({scores[seed].material for scores in (own, others) for seed in seeds}) > 1:
        return None, 0, "their predictions are of other ECGs, labels or findings"
    differences = [own[seed].macro - others[seed].macro for seed in seeds]
    return np.mean(differences, axis=0), len(seeds), ""


def effects_of(
    grid: Mapping[str, Sequence[JsonValue]],
    outcomes: Sequence[Outcome],
    scores: Sequence[Scores | None],
) -> dict[str, list[Effect]]:
    """Key of the grid -> every run at each of its values, averaged over the rest of the grid.

    Only points of the rest count at which the run is finished for every value of the key: a
    mean over unlike points would not be the effect of the key.
    """
    cells = _cells(outcomes, list(zip(outcomes, scores, strict=True)))
    means = {cell: _mean(_by_seed(rows).values()) for cell, rows in cells.items()}
    effects: dict[str, list[Effect]] = {}
    for key, values in grid.items():
        effects[key] = []
        for run in dict.fromkeys(outcome.run for outcome in outcomes):
            points = [rows[0][0].point for cell, rows in cells.items() if cell[0] == run]
            rest = dict.fromkeys(_without(point, key) for point in points)
            whole = []
            for other in rest:
                row = [means.get(cell_of(run, _with(other, key, value, grid))) for value in values]
                whole += [row] if all(mean is not None for mean in row) else []
            for i in range(len(values)) if whole else ():
                mean = np.mean([row[i] for row in whole], axis=0)
                effects[key].append(Effect(run, i, interval(mean), len(whole)))
    return effects


def _without(point: Point, key: str) -> str:
    return json.dumps({name: value for name, value in point.items() if name != key})


def _with(other: str, key: str, value: JsonValue, grid: Iterable[str]) -> Point:
    """The point of the grid, its keys in their order."""
    point = {**json.loads(other), key: value}
    return {name: point[name] for name in grid}


def _cells(outcomes: Sequence[Outcome], rows: Sequence[T]) -> dict[Cell, list[T]]:
    cells: dict[Cell, list[T]] = {}
    for outcome, row in zip(outcomes, rows, strict=True):
        cells.setdefault(cell_of(outcome.run, outcome.point), []).append(row)
    return cells


def _jobs(rows: Sequence[tuple[Outcome, Scores | None]]) -> tuple[str, ...]:
    """What the numbers of a cell come from."""
    return tuple(outcome.folder for outcome, _ in rows)


def _by_seed(rows: Sequence[tuple[Outcome, Scores | None]]) -> dict[int, Scores]:
    return {outcome.seed: scores for outcome, scores in rows if scores is not None}


def _mean(scores: Iterable[Scores]) -> np.ndarray | None:
    """Over seeds, (1 + R,); None without any."""
    rows = [one.macro for one in scores]
    return np.mean(rows, axis=0) if rows else None


def _average(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None
