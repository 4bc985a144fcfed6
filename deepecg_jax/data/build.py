"""Build a data set by name: ``DATA_DIR/NAME/VERSION``, all of it or nothing visible."""

import difflib
import fcntl
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepecg_jax.data.summary import SUMMARY_FILE, read_json, request_of
from deepecg_jax.errors import UserError
from deepecg_jax.resources import builders_dir


@dataclass(frozen=True)
class Built:
    """A complete data set: its folder, its ``summary.json``, and whether it was there before."""

    folder: Path
    summary: dict[str, Any]
    reused: bool


def builder_names() -> tuple[str, ...]:
    """Names of the shipped builders."""
    return tuple(sorted(file.parent.name for file in builders_dir().glob("*/*_dataset_builder.py")))


def builder_file(name: str) -> Path:
    """The Python file of a shipped builder; UserError names those that exist."""
    names = builder_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}" if near else f"there are {', '.join(names)}"
        raise UserError(f"There is no builder {name!r}; {hint}.")
    return builders_dir() / name / f"{name}_dataset_builder.py"


def build(
    name: str,
    data_dir: str | Path,
    source: str | Path | None = None,
    workers: int = 1,
    limit: int | None = None,
    options: Mapping[str, str] | None = None,
    overwrite: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> Built:
    """Build the data set ``name`` from ``source``, or find that it was built before.

    Args:
        name: a shipped builder.
        data_dir: folder of data sets.
        source: folder with the source's files (``synthetic`` needs none).
        workers: processes; the shards are the same for any number.
        limit: only the first so many recordings of the source.
        options: the builder's options by name.
        overwrite: build again what exists.
        on_progress: called with the number of recordings done and of all.

    Raises:
        UserError: unknown builder or option, a source that is not one, another build of the same
            data set at work, or an existing data set that was built from something else.
    """
    from deepecg_jax.data.builder import make_builder

    file = builder_file(name)
    root = Path(data_dir)
    folder = root / name
    source_path = Path(source) if source is not None else None
    if source_path is not None and not source_path.is_dir() and not source_path.is_file():
        raise UserError(f"The source {source_path} is not a folder, and no file either.")
    if limit is not None and limit < 1:
        raise UserError(f"The limit is {limit}, but must be at least 1.")
    if workers < 1:
        raise UserError(f"The number of workers is {workers}, but must be at least 1.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"The folder {folder} cannot be made: {error}.") from error
    with _alone(folder, name):
        for leftover in folder.glob("incomplete.*"):  # of builds that were killed
            shutil.rmtree(leftover)
        with tempfile.TemporaryDirectory(prefix="incomplete.", dir=folder) as staging:
            builder = make_builder(
                file, data_dir=staging, source=source_path, options=options, workers=workers,
                limit=limit, on_progress=on_progress,
            )  # fmt: skip
            if builder.NEEDS_SOURCE and source_path is None:
                how = " ".join((builder.MANUAL_DOWNLOAD_INSTRUCTIONS or "").split())
                raise UserError(f"Builder {name} needs --source, a folder with the files. {how}")
            if source_path is not None and source_path.is_file() and not builder.TAKES_A_FILE:
                raise UserError(f"The source {source_path} is not a folder.")
            final = folder / str(builder.version)
            if final.exists() and not overwrite:
                return Built(final, _existing(final, builder), True)
            builder.download_and_prepare(download_dir=Path(staging) / "downloads")
            # The old data set goes only when the new one is complete.
            shutil.rmtree(final, ignore_errors=True)
            Path(builder.data_path).rename(final)
    return Built(final, read_json(final / SUMMARY_FILE), False)


def _existing(final: Path, builder: Any) -> dict[str, Any]:
    if not (final / SUMMARY_FILE).is_file() or not (final / "dataset_info.json").is_file():
        raise UserError(f"{final} exists but is no complete data set; build with --overwrite.")
    summary = read_json(final / SUMMARY_FILE)
    wanted = request_of(builder.source, builder.options, builder.limit)
    before = summary.get("request", {})
    for key, value in wanted.items():
        if before.get(key) != value:
            raise UserError(
                f"{final} was built with {key} {before.get(key)}, not {value}; build with "
                "--overwrite or into another --data-dir."
            )
    return summary


@contextmanager
def _alone(folder: Path, name: str) -> Iterator[None]:
    """Hold the lock of a data set; UserError when another process holds it."""
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(
                f"Another process is building {name} in {folder.parent}; wait until it is done."
            ) from error
        yield
