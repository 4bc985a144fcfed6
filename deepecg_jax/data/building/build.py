"""Build a data set by name: ``DATA_DIR/NAME/VERSION``, all of it or nothing visible."""

import fcntl
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deepecg_jax.data.catalogue import builder_file
from deepecg_jax.data.options import FIT, SITE_PROFILE
from deepecg_jax.data.records import Plan
from deepecg_jax.data.shards.index import REBUILD, SUMMARY_FILE
from deepecg_jax.data.staging.build_state import Request, request_of
from deepecg_jax.data.staging.run import Manner, Progress, silent, write_shards
from deepecg_jax.data.staging.summary import Summary
from deepecg_jax.errors import UserError
from deepecg_jax.files import read_json

if TYPE_CHECKING:
    from deepecg_jax.data.building.builder import EcgBuilder
    from deepecg_jax.data.staging.build_state import Staged

ASSEMBLY = "incomplete.assembly"


@dataclass(frozen=True)
class Built:
    """A complete data set: its folder, its ``summary.json``, and whether it was there before."""

    folder: Path
    summary: Summary
    reused: bool


def build(
    name: str,
    data_dir: str | Path,
    source: str | Path | None = None,
    workers: int = 1,
    limit: int | None = None,
    options: Mapping[str, str] | None = None,
    overwrite: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    *,
    manner: Manner | None = None,
) -> Built:
    """Build the data set ``name`` from ``source``, or find that it was built before.

    >>> built = de.build("synthetic", "data", options={"n": "60"})
    >>> built.folder.as_posix(), built.summary["splits"]["test"]["records"] > 0
    ('data/synthetic/1.0.0', True)

    A build that was stopped, even by SIGKILL, leaves its finished shards in
    ``DATA_DIR/NAME/incomplete.*``; the same call goes on from them.

    Args:
        name: a shipped builder.
        data_dir: folder of data sets.
        source: folder with the source's files, or a table (``synthetic`` needs none).
        workers: processes; the shards are the same for any number.
        limit: only the first so many recordings of the source.
        options: texts of the builder's options by name.
        overwrite: build again what exists.
        on_progress: called now and then with how far the build is.
        manner: how shards are written, instead of ``workers`` and ``on_progress``.

    Raises:
        UserError: unknown builder or option, a source that is not one, another build of the same
            data set at work, or an existing data set that was built from something else.
    """
    from deepecg_jax.data.building.site_profiles import fitted_profile

    manner = manner or Manner(workers, on_progress=on_progress or silent)
    folder = Path(data_dir) / name
    started = time.monotonic()
    builder_file(name)  # nothing is made for a name that is wrong
    with alone(folder, name):
        shutil.rmtree(folder / ASSEMBLY, ignore_errors=True)
        builder = open_builder(name, folder / ASSEMBLY, source, limit, options, manner)
        plan: Plan | None = None
        if builder.options[SITE_PROFILE] == FIT:
            plan = builder.plan(builder.source or Path())
            builder.take_profile(fitted_profile(builder, plan, folder))
        final = folder / str(builder.version)
        if final.exists() and not overwrite:
            request = request_of(builder.source, builder.options, builder.limit)
            return Built(final, existing(final, request), True)
        staged, staging = _stage(builder, plan, folder, manner, started)
        try:
            builder.staged = staged
            finish(builder, final)
        except UserError:  # all were rejected: the same command must read the files again
            shutil.rmtree(staging)
            raise
        shutil.rmtree(staging)
    return Built(final, read_json(final / SUMMARY_FILE, remedy=REBUILD), False)


def _stage(
    builder: "EcgBuilder", plan: Plan | None, folder: Path, manner: Manner, started: float
) -> tuple["Staged", Path]:
    from deepecg_jax.data.staging.build_state import discard_others, staging_folder

    job = builder.job(builder.checked(plan or builder.plan(builder.source or Path())))
    for sentence in discard_others(folder, job.state, manner.restart):
        manner.say(sentence)
    staging = staging_folder(folder, job.state)
    return write_shards(job, manner, staging, started), staging


def open_builder(
    name: str,
    data_dir: Path,
    source: str | Path | None,
    limit: int | None,
    options: Mapping[str, str] | None,
    manner: Manner,
) -> "EcgBuilder":
    """The builder of a request; UserError if the request cannot be right."""
    from deepecg_jax.data.building.builder import make_builder

    source_path = Path(source).absolute() if source is not None else None
    if source_path is not None and not source_path.is_dir() and not source_path.is_file():
        what = "is neither a folder nor a file" if source_path.exists() else "does not exist"
        raise UserError(f"The source {source} {what}.")
    if limit is not None and limit < 1:
        raise UserError(f"The limit is {limit}, but must be at least 1.")
    if manner.workers < 1:
        raise UserError(f"The number of workers is {manner.workers}, but must be at least 1.")
    builder = make_builder(
        builder_file(name), data_dir=data_dir, source=source_path, options=options, limit=limit
    )
    if builder.NEEDS_SOURCE and source_path is None:
        how = " ".join((builder.MANUAL_DOWNLOAD_INSTRUCTIONS or "").split())
        raise UserError(f"Builder {name} needs --source, a folder with the files. {how}")
    if source_path is not None and source_path.is_file() and not builder.TAKES_A_FILE:
        raise UserError(f"The source {source} is not a folder.")
    return builder


def finish(builder: "EcgBuilder", final: Path) -> None:
    """Put the builder's staged shards together and name the data set when it is complete."""
    assembly = final.parent / ASSEMBLY
    try:
        builder.download_and_prepare(download_dir=assembly / "downloads")
        # The old data set goes only when the new one is complete.
        shutil.rmtree(final, ignore_errors=True)
        Path(builder.data_path).rename(final)
    finally:
        shutil.rmtree(assembly, ignore_errors=True)


def existing(final: Path, wanted: Request) -> Summary:
    """The summary of a data set that is there; UserError if it is of something else."""
    if not (final / SUMMARY_FILE).is_file() or not (final / "dataset_info.json").is_file():
        raise UserError(f"{final} exists but is no complete data set; build with --overwrite.")
    summary = read_json(final / SUMMARY_FILE, remedy=REBUILD)
    before = summary.get("request", {})
    for key, value in wanted.items():
        if before.get(key) != value:
            raise UserError(
                f"{final} was built with {key} {before.get(key)}, not {value}; build with "
                "--overwrite or into another --data-dir."
            )
    return summary


@contextmanager
def alone(folder: Path, name: str) -> Iterator[None]:
    """Make a folder and hold its lock; UserError when another process holds it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"The folder {folder} cannot be made: {error}.") from error
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(
                f"Another process is building {name} in {folder.parent}; wait until it is done."
            ) from error
        yield
