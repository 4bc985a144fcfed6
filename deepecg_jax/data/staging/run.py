"""The way from a plan to finished shards in a staging folder, gone on with after a stop."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deepecg_jax.data.records import Reject
from deepecg_jax.data.staging.build_state import BuildState, Staged, open_staging
from deepecg_jax.data.staging.pool import write_in_processes
from deepecg_jax.data.staging.shard import Recipe, Shard
from deepecg_jax.data.staging.writing import finished_shards


@dataclass(frozen=True)
class Progress:
    """Recordings ``done`` of ``total``, of which ``rejected``; ``earlier`` were done before."""

    done: int
    total: int
    rejected: int
    earlier: int


def silent(_: object) -> None:
    """Says nothing."""


@dataclass(frozen=True)
class Manner:
    """How shards are written, which changes no byte of them.

    By ``workers`` processes here, or by Beam with these options. ``restart`` discards what a
    stopped build finished; ``on_progress`` is called now and then, ``say`` with a sentence when
    there is something to say.
    """

    workers: int = 1
    beam: Mapping[str, str] | None = None
    restart: bool = False
    on_progress: Callable[[Progress], None] = silent
    say: Callable[[str], None] = silent


@dataclass(frozen=True)
class Job:
    """What is to be written: the shards of a data set, or those of a part.

    ``recipe``: what they are made by; ``state``: what all shards of the data set depend on;
    ``plan_rejects``: recordings that the plan itself left out.
    """

    shards: Sequence[Shard]
    recipe: Recipe
    state: BuildState
    plan_rejects: Sequence[Reject]


def write_shards(job: Job, manner: Manner, folder: Path, started: float) -> Staged:
    """Write the shards of a job into ``folder``, but for those that are finished there.

    Args:
        job: what.
        manner: how.
        folder: the staging folder.
        started: when planning began, by ``time.monotonic``.
    """
    open_staging(folder, job.state, job.plan_rejects)
    shards = [shard.inside(folder) for shard in job.shards]
    done, left = finished_shards(shards)
    earlier = sum(shard.planned for shard in done)
    known = len(job.plan_rejects) + sum(len(shard.rejects) for shard in done)
    total = sum(shard.planned for shard in shards)
    if done and left:
        manner.say(
            f"Going on with a stopped build: {len(done)} of {len(shards)} shards ({earlier:,} of "
            f"{total:,} recordings) are finished; --restart begins anew."
        )

    def report(new: int, rejected: int) -> None:
        manner.on_progress(Progress(earlier + new, total, known + rejected, earlier))

    report(0, 0)
    if left and manner.beam is not None:
        from deepecg_jax.data.staging.beam import write_with_beam

        write_with_beam(left, job.recipe, manner.beam, folder, report)
    else:
        write_in_processes(left, job.recipe, manner.workers, report)
    done, lost = finished_shards(shards)
    if lost:
        raise OSError(f"{lost[0].path} was written, but is not whole")
    rejected = sum(len(shard.rejects) for shard in done)
    report(total - earlier, len(job.plan_rejects) + rejected - known)
    seconds = time.monotonic() - started
    return Staged(job.state, job.plan_rejects, done, manner.workers, seconds, total - earlier)
