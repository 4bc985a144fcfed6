"""The way from a plan to finished shards in a staging folder, gone on with after a stop."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deepecg_jax.data.records import Reject
from deepecg_jax.data.staging.pool import run_tasks
from deepecg_jax.data.staging.shard import ShardTask, in_folder
from deepecg_jax.data.staging.state import BuildState, Staged, finished_shards, open_staging


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
class Runner:
    """How shards are written: by ``workers`` processes here, or by Beam with these options.

    ``restart`` discards what a stopped build finished; ``on_progress`` is called now and then,
    ``say`` with a sentence when there is something to say.
    """

    workers: int = 1
    beam: Mapping[str, str] | None = None
    restart: bool = False
    on_progress: Callable[[Progress], None] = silent
    say: Callable[[str], None] = silent


def write_shards(
    runner: Runner,
    state: BuildState,
    plan_rejects: Sequence[Reject],
    tasks: Sequence[ShardTask],
    folder: Path,
    started: float,
) -> Staged:
    """Write the shards of ``tasks`` into ``folder``, but for those that are finished there.

    Args:
        runner: how.
        state: what all shards of the data set depend on.
        plan_rejects: recordings that the plan itself left out.
        tasks: all shards of the data set, or those of a part.
        folder: the staging folder.
        started: when planning began, by ``time.monotonic``.
    """
    open_staging(folder, state, plan_rejects)
    tasks = in_folder(tasks, folder)
    done, left = finished_shards(tasks)
    earlier = sum(shard.info.planned for shard in done)
    known = len(plan_rejects) + sum(len(shard.info.rejects) for shard in done)
    total = sum(len(task.records) for task in tasks)
    if done and left:
        runner.say(
            f"Going on with a stopped build: {len(done)} of {len(tasks)} shards ({earlier:,} of "
            f"{total:,} recordings) are finished; --restart begins anew."
        )

    def report(new: int, rejected: int) -> None:
        runner.on_progress(Progress(earlier + new, total, known + rejected, earlier))

    report(0, 0)
    if left and runner.beam is not None:
        from deepecg_jax.data.staging.beam import run_with_beam

        run_with_beam(left, runner.beam, folder, report)
    else:
        run_tasks(left, runner.workers, report)
    done, lost = finished_shards(tasks)
    if lost:
        raise OSError(f"{lost[0].path} was written, but is not whole")
    rejected = sum(len(shard.info.rejects) for shard in done)
    report(total - earlier, len(plan_rejects) + rejected - known)
    seconds = time.monotonic() - started
    return Staged(state, plan_rejects, done, runner.workers, seconds, total - earlier)
