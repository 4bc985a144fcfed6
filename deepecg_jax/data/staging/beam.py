"""The shards of a build as an Apache Beam pipeline: on this machine, Dataflow, Flink or Spark.

Beam only spreads the shards: each is written by ``write_shard`` as everywhere else, into the
staging folder, which all workers must see under one path (as they must the source). What is
planned of them lies in that folder too, so that the pipeline's description stays small for any
number of records.
"""

import pickle
import shutil
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from deepecg_jax.data.catalogue import builder_file
from deepecg_jax.data.staging.pool import Report
from deepecg_jax.data.staging.shard import Recipe, Shard
from deepecg_jax.data.staging.writing import finished, write_shard
from deepecg_jax.errors import UserError

TASKS = "tasks"
_POLL_SECONDS = 1.0
_LOCAL = "FnApiRunner"  # Beam's runner inside this process, which needs no service and no download


def write_with_beam(
    shards: Sequence[Shard],
    recipe: Recipe,
    options: Mapping[str, str],
    folder: Path,
    report: Report,
) -> None:
    """Write shards by a pipeline; returns when all are written.

    Args:
        shards: planned, in the staging folder.
        recipe: what they are made by.
        options: of the pipeline by name, such as ``runner`` (default: in this process).
        folder: the staging folder.
        report: called about every second with the records of finished shards.

    Raises:
        UserError: Beam is not installed, an option is unknown to it, or the pipeline failed.
    """
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise UserError(
            "--beam needs Apache Beam; pip install 'deepecg_jax[beam]', here and on the workers."
        ) from error
    chosen = {"runner": _LOCAL, **options}
    pipeline_options = PipelineOptions(
        [f"--{name}" if value == "true" else f"--{name}={value}" for name, value in chosen.items()]
    )
    unknown = _unknown(pipeline_options, chosen)
    if unknown:
        raise UserError(f"Apache Beam knows no option {unknown!r} (given by --beam-option).")
    places = _save(shards, recipe, folder / TASKS)
    pipeline = beam.Pipeline(options=pipeline_options)
    _ = (
        pipeline
        | "tasks" >> beam.Create(places)
        | "spread" >> beam.Reshuffle()
        | "write" >> beam.Map(_write)
    )
    run = _Run(pipeline)
    try:
        _wait(run, shards, report)
    except KeyboardInterrupt:
        run.cancel()
        raise
    shutil.rmtree(folder / TASKS)


def _unknown(options: Any, given: Mapping[str, str]) -> str:
    known = options.get_all_options()
    return next((name for name in given if name not in known), "")


def _save(shards: Sequence[Shard], recipe: Recipe, folder: Path) -> list[str]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    places = []
    for shard in shards:
        place = folder / f"{shard.path.stem}.pickle"
        place.write_bytes(pickle.dumps((shard, recipe)))
        places.append(str(place))
    return places


def _write(place: str) -> None:
    """Write one shard, on whatever machine this is."""
    from apache_beam.metrics import Metrics

    done = Metrics.counter("deepecg", "recordings")
    rejected = Metrics.counter("deepecg", "rejected")

    def tick(was_rejected: bool) -> None:
        done.inc()
        rejected.inc(int(was_rejected))

    task: tuple[Shard, Recipe] = pickle.loads(Path(place).read_bytes())
    shard, recipe = task
    # the package may be installed elsewhere here than where the build was started
    file = builder_file(Path(recipe.builder).parent.name)
    write_shard(shard, replace(recipe, builder=str(file)), tick)


class _Run:
    """A pipeline at work in a thread: some runners return at once, others when all is done."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        self._result: Any = None
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.thread.start()

    def _work(self) -> None:
        try:
            self._result = self._pipeline.run()
            self._result.wait_until_finish()
        except BaseException as error:  # told in the main thread
            self.error = error

    def cancel(self) -> None:
        """Stop a service from working on; what runs in this process ends with it."""
        if self._result is not None:
            self._result.cancel()


def _wait(run: _Run, shards: Sequence[Shard], report: Report) -> None:
    left = {shard.path: shard for shard in shards}
    done = rejected = 0
    while run.thread.is_alive():
        run.thread.join(_POLL_SECONDS)
        for path in sorted(left):
            written = finished(left[path])
            if written is not None:
                del left[path]
                done, rejected = done + written.planned, rejected + len(written.rejects)
        report(done, rejected)
    if run.error is not None:
        if isinstance(run.error, UserError):
            raise run.error
        text = " ".join(str(run.error).split())
        raise UserError(
            f"The Beam pipeline failed ({type(run.error).__name__}: {text[:500]}); finished shards "
            "are kept, and the same command goes on from there."
        ) from run.error
