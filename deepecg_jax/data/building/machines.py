"""Parts of a data set, built on several machines, and the whole made of them.

Part k of n has every n-th shard, so that the shards of all parts are those of a single build.
"""

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypedDict

from deepecg_jax.data.building.build import ASSEMBLY, Built, alone, existing, finish, open_builder
from deepecg_jax.data.catalogue import builder_file
from deepecg_jax.data.options import FIT, SITE_PROFILE
from deepecg_jax.data.records import SPLITS, Reject
from deepecg_jax.data.shards.index import REBUILD, SUMMARY_FILE
from deepecg_jax.data.staging.build_state import BuildState, Staged, load_state
from deepecg_jax.data.staging.run import Manner, write_shards
from deepecg_jax.data.staging.shard import Shard, shard_name
from deepecg_jax.data.staging.writing import finished
from deepecg_jax.errors import UserError
from deepecg_jax.files import read_json, write_json

PART_FILE = "part.json"


@dataclass(frozen=True)
class Part:
    """Part ``number`` (from 1) of ``of``; ``text`` is ``3/8``."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def folder(self, data_dir: str | Path, name: str) -> Path:
        """Where the part of a data set is built."""
        return Path(data_dir) / name / f"part-{self.number}-of-{self.of}"

    def has(self, position: int) -> bool:
        """Whether a shard, counted through all splits, belongs to it."""
        return position % self.of == self.number - 1


@dataclass(frozen=True)
class BuiltPart:
    """A finished part: its folder, what is in it, and whether it was there before."""

    folder: Path
    part: Part
    shards: int
    records: int
    rejected: int
    seconds: float
    reused: bool


def parse_part(text: str) -> Part:
    """``3/8`` -> part 3 of 8; UserError for anything else."""
    number, _, of = text.partition("/")
    if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise UserError(f"--part {text!r} must be K/N with K from 1 to N, such as 3/8.")
    return Part(int(number), int(of))


def build_part(
    part: Part,
    name: str,
    data_dir: str | Path,
    source: str | Path | None = None,
    limit: int | None = None,
    options: Mapping[str, str] | None = None,
    overwrite: bool = False,
    manner: Manner | None = None,
) -> BuiltPart:
    """Build one part into ``DATA_DIR/NAME/part-K-of-N``, or go on with it; see ``build``.

    Raises:
        UserError: as ``build``; a finished part of something else is replaced by ``overwrite``.
    """
    manner = manner or Manner()
    started = time.monotonic()
    builder_file(name)
    folder = part.folder(data_dir, name)
    with alone(folder, f"part {part} of {name}"):
        builder = open_builder(name, folder / "unused", source, limit, options, manner)
        if builder.options[SITE_PROFILE] == FIT:
            raise UserError(
                "--part takes no --option site_profile=fit, because all parts need the same "
                "profile: write one with `deepecg profile` and give its file to every part."
            )
        whole = builder.job(builder.checked_plan(builder.source or Path()))
        mine = [shard for position, shard in enumerate(whole.shards) if part.has(position)]
        complete = _keep_or_clear(folder, whole.state, overwrite, manner)
        staged = write_shards(replace(whole, shards=mine), manner, folder, started)
        reused = complete and not staged.new
        if not reused:
            times = _Times(workers=staged.workers, seconds=staged.seconds, new=staged.new)
            write_json(folder / f"{PART_FILE}.new", {**asdict(part), **times})
            (folder / f"{PART_FILE}.new").replace(folder / PART_FILE)
    stored = sum(shard.stored for shard in staged.shards)
    rejected = sum(len(shard.rejects) for shard in staged.shards)
    return BuiltPart(folder, part, len(mine), stored, rejected, staged.seconds, reused)


def _keep_or_clear(folder: Path, state: BuildState, overwrite: bool, manner: Manner) -> bool:
    """Empty a part's folder unless it can be gone on with; says whether it is complete."""
    complete = (folder / PART_FILE).is_file()
    files = [file for file in folder.iterdir() if file.name != ".lock"]
    if not files:
        return False
    try:
        why = load_state(folder)[0].difference(state)
    except UserError:
        why = "something that cannot be read"
    if complete and why and not overwrite:
        raise UserError(
            f"{folder} was built of {why}; build with --overwrite or into another --data-dir."
        )
    if why or manner.restart or (complete and overwrite):
        if why:
            manner.say(f"What is in {folder} was of {why}: starting afresh.")
        for file in files:
            shutil.rmtree(file) if file.is_dir() else file.unlink()
        return False
    return complete


class _Times(TypedDict):
    """How a part was written, as ``part.json`` says."""

    workers: int
    seconds: float
    new: int


@dataclass(frozen=True)
class _Loaded:
    folder: Path
    part: Part
    state: BuildState
    rejects: Sequence[Reject]
    times: _Times


def merge(target: str | Path, folders: Sequence[str | Path], overwrite: bool = False) -> Built:
    """Put all parts of a data set together: the same bytes as one build of all of it.

    Args:
        target: ``DATA_DIR/NAME``; the data set becomes ``DATA_DIR/NAME/VERSION``.
        folders: of all its parts, in any order; they stay as they are.
        overwrite: replace a data set that is there.

    Raises:
        UserError: a part is missing, given twice, not finished or damaged, parts are of different
            requests, or the target is the folder of another data set.
    """
    target = Path(target)
    parts = sorted((_load(Path(folder)) for folder in folders), key=lambda each: each.part.number)
    _check_parts(parts)
    state = parts[0].state
    if target.name != state.name:
        raise UserError(
            f"The parts are of data set {state.name}, so they are merged into DATA_DIR/{state.name}"
            f", not {target}."
        )
    final = target / state.version
    with alone(target, state.name):
        if final.exists() and not overwrite:
            return Built(final, existing(final, state.request), True)
        from deepecg_jax.data.building.builder import make_builder

        shutil.rmtree(target / ASSEMBLY, ignore_errors=True)
        builder = make_builder(
            builder_file(state.name),
            data_dir=target / ASSEMBLY,
            options=state.request["options"],
            staged=_staged(parts),
        )
        if str(builder.version) != state.version:
            raise UserError(
                f"The parts are of version {state.version} of {state.name}, which here is "
                f"{builder.version}; merge them with the deepecg_jax that built them."
            )
        finish(builder, final)
    return Built(final, read_json(final / SUMMARY_FILE, remedy=REBUILD), False)


def _load(folder: Path) -> _Loaded:
    if not folder.is_dir():
        raise UserError(f"The part {folder} does not exist.")
    state, rejects = load_state(folder)
    if not (folder / PART_FILE).is_file():
        raise UserError(f"The part {folder} is not finished; run its build command again.")
    values = read_json(folder / PART_FILE, remedy=REBUILD)
    part = Part(values["number"], values["of"])
    return _Loaded(folder, part, state, rejects, values)


def _check_parts(parts: Sequence[_Loaded]) -> None:
    if not parts:
        raise UserError("There are no parts to merge.")
    first = parts[0]
    for each in parts[1:]:
        why = first.state.difference(each.state)
        if why or each.part.of != first.part.of:
            raise UserError(
                f"{first.folder} and {each.folder} are no parts of one build: the first is of "
                f"{why or f'{first.part.of} parts, not {each.part.of}'}."
            )
    seen: dict[int, Path] = {}
    for each in parts:
        if each.part.number in seen:
            raise UserError(
                f"Part {each.part} is given twice: {seen[each.part.number]} and {each.folder}."
            )
        seen[each.part.number] = each.folder
    missing = [k for k in range(1, first.part.of + 1) if k not in seen]
    if missing:
        names = ", ".join(f"{k}/{first.part.of}" for k in missing)
        raise UserError(
            f"Part{'s' if len(missing) > 1 else ''} {names} of {first.state.name} "
            f"{'are' if len(missing) > 1 else 'is'} missing; build and name all parts."
        )


def _staged(parts: Sequence[_Loaded]) -> Staged:
    """All shards of the parts, each checked to be there and to be of the plan."""
    state = parts[0].state
    shards: list[Shard] = []
    for split in SPLITS:
        for number, digest in enumerate(state.shards.get(split, ())):
            home = next(each for each in parts if each.part.has(len(shards)))
            path = home.folder / shard_name(split, number)
            shard = finished(Shard(split, number, path, digest))
            if shard is None:
                raise UserError(
                    f"The shard {path} of part {home.part} is missing or damaged; run the part's "
                    "build command again, which writes only what is missing."
                )
            shards.append(shard)
    return Staged(
        state,
        parts[0].rejects,
        shards,
        workers=sum(each.times["workers"] for each in parts),
        seconds=max(each.times["seconds"] for each in parts),
        new=sum(each.times["new"] for each in parts),
        keep=True,
    )
