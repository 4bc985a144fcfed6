"""What a sweep ends in: a row a run, point of the grid and seed, and a row a run and point."""

from dataclasses import dataclass
from typing import Literal

from deepecg_jax.evaluation.resampling.intervals import Estimate
from deepecg_jax.sweep.planning.jobs import Point

Status = Literal["done", "failed", "running"]
UNKNOWN: Estimate = {"value": None, "low": None, "high": None, "degenerate": None}


@dataclass(frozen=True)
class Outcome:
    """A row of ``table.parquet``.

    Attributes:
        run, point, seed, baseline: which row of the plan it is.
        status: ``running`` is whatever is neither finished nor failed.
        reason: why it failed, or what it waits for; empty where it is done.
        macro_auroc: of its predictions, with the interval over resamples of patients.
        parameters: of encoder and head (of the encoder where nothing is fine-tuned).
        seconds: what its own jobs took: the pretraining that it starts from (in full, however many
            share it), the fine-tuning, the predictions. None where that was not measured.
        pretraining_seconds: the part of the pretraining.
        device: what the last of them ran on.
        folder: below ``DIR``, of its last job.
    """

    run: str
    point: Point
    seed: int
    baseline: bool
    status: Status
    reason: str
    macro_auroc: Estimate
    parameters: int | None
    seconds: float | None
    pretraining_seconds: float | None
    device: str | None
    folder: str


@dataclass(frozen=True)
class Summary:
    """A row of ``summary.parquet``: a run at a point of the grid, over its seeds.

    The spread over seeds and the interval over patients answer different questions and stay apart:
    what another seed would have given, and what other patients would have.

    Attributes:
        run, point, baseline: which.
        seeds: how many are done; ``failed``: how many failed.
        mean: macro AUROC, the mean over the seeds that are done.
        sd: its standard deviation over seeds (n - 1), None for a single one.
        over_patients: the mean over seeds, with its interval over resamples of patients.
        difference: ``mean`` less that of the reference, over the seeds that both have, with its
            interval over the same resamples of patients.
        difference_seeds: how many these are.
        p: two-sided, of no difference, from the resamples; ``p_holm``: adjusted for all that are
            compared with the same run at the same point.
        parameters, seconds: means over seeds.
    """

    run: str
    point: Point
    baseline: bool
    seeds: int
    failed: int
    mean: float | None
    sd: float | None
    over_patients: Estimate
    difference: Estimate
    difference_seeds: int
    p: float | None
    p_holm: float | None
    parameters: float | None
    seconds: float | None


@dataclass(frozen=True)
class Effect:
    """A run at one value of a key of the grid, averaged over the rest of the grid.

    Attributes:
        run: whose.
        value: of the key, its place among the key's values.
        macro_auroc: mean over seeds and over the points that are finished for every value of the
            key, with its interval over patients.
        n_points: how many points that are.
    """

    run: str
    value: int
    macro_auroc: Estimate
    n_points: int


@dataclass(frozen=True)
class SweepResult:
    """Everything that the tables and the page show.

    Attributes:
        keys: of the grid, in their order.
        reference: what the differences are to, in words, or None.
        outcomes, summaries: both tables.
        effects: key of the grid -> every run at each of its values.
        notes: sentences on what could not be compared.
        n_records, n_patients: that were predicted, None before any were.
    """

    keys: tuple[str, ...]
    reference: str | None
    outcomes: tuple[Outcome, ...]
    summaries: tuple[Summary, ...]
    effects: dict[str, list[Effect]]
    notes: tuple[str, ...]
    n_records: int | None
    n_patients: int | None
