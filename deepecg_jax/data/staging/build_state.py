"""The staging folder: finished shards of a data set that is not complete yet.

Its name is a hash of everything the shards depend on: the request, the versions of the code, and
the plan. So a build that was stopped, by whatever, goes on from its finished shards, and one of
anything else starts afresh.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TypedDict

from deepecg_jax import __version__
from deepecg_jax.data.options import BuildOptions
from deepecg_jax.data.records import Plan, Reject
from deepecg_jax.data.shards.index import REBUILD, read_rejects, write_rejects
from deepecg_jax.data.staging.shard import Shard, shard_name
from deepecg_jax.data.staging.writing import finished
from deepecg_jax.errors import UserError
from deepecg_jax.files import read_json, write_json

STATE_FILE = "build.json"
STAGING_PREFIX = "incomplete."
_PACKAGE = Path(__file__).resolve().parents[2]
_ROOMS = ("signals", "labels", "data")
_LIBRARIES = ("numpy", "scipy", "array-record", "pyarrow", "wfdb", "soundfile", "ecgdatakit")


class Request(TypedDict):
    """What was asked for; a second build with another request must not pass for the first."""

    source: str | None
    options: dict[str, str]
    limit: int | None


def request_of(source: Path | None, options: BuildOptions, limit: int | None) -> Request:
    """The request of a build, as ``build.json`` and ``summary.json`` record it."""
    where = str(source.resolve()) if source else None
    return {"source": where, "options": dict(options.texts), "limit": limit}


@dataclass(frozen=True)
class BuildState:
    """What a build is of, as ``build.json`` in its staging folder says.

    ``plan`` is a hash of all planned records; ``shards`` has the digest of every shard of a split;
    ``counts`` and ``notes`` are the plan's own.
    """

    name: str
    version: str
    request: Request
    code: Mapping[str, str]
    plan: str
    labels: Sequence[str]
    records: int
    shards: Mapping[str, Sequence[str]]
    counts: Mapping[str, int] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def fingerprint(self) -> str:
        """A hash of all of it: 16 characters."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def difference(self, other: "BuildState") -> str:
        """In words, the first thing in which ``other`` differs; "" if nothing does."""
        for name in ("name", "version"):
            if getattr(self, name) != getattr(other, name):
                return f"{name} {getattr(self, name)}, not {getattr(other, name)}"
        mine, theirs = ({**_flat(state.request), **state.code} for state in (self, other))
        for key in {**mine, **theirs}:
            if mine.get(key) != theirs.get(key):
                return f"{key} {mine.get(key)}, not {theirs.get(key)}"
        if self.fingerprint != other.fingerprint:
            return "other files or metadata in the source"
        return ""


def _flat(request: Request) -> dict[str, object]:
    options = {f"option {name}": value for name, value in request["options"].items()}
    return {key: value for key, value in request.items() if key != "options"} | options


@dataclass
class Staged:
    """All shards of a data set, ready to be put together.

    ``new`` records were read in ``seconds``; ``keep`` leaves the shards where they are.
    """

    state: BuildState
    plan_rejects: Sequence[Reject]
    shards: list[Shard]
    workers: int
    seconds: float
    new: int
    keep: bool = False


def plan_digests(plan: Plan, shards: Sequence[Shard]) -> tuple[str, dict[str, list[str]]]:
    """A hash of all that is planned, and the digest of every shard of a split."""
    digest = hashlib.blake2b(digest_size=16)
    digests: dict[str, list[str]] = {}
    for shard in shards:
        digests.setdefault(shard.split, []).append(shard.digest)
        digest.update(shard.digest.encode())
    for reject in plan.rejects:
        digest.update(repr(reject).encode())
    return digest.hexdigest(), digests


def code_versions(builder: Path, profile: Path | None) -> dict[str, str]:
    """Versions of what shards are made by, and hashes of the code (and profile) that makes them."""
    found = {"deepecg_jax": __version__, "code": _code_hash(), "builder": _hash([builder])}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "none"
    if profile is not None:
        found["site profile"] = _hash([profile])
    return found


@cache
def _code_hash() -> str:
    files = (file for room in _ROOMS for file in (_PACKAGE / room).rglob("*"))
    return _hash([file for file in files if file.suffix in (".py", ".csv", ".yaml", ".json")])


def _hash(files: Sequence[Path]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for file in sorted(files):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()


def save_state(folder: Path, state: BuildState, rejects: Sequence[Reject]) -> None:
    """Write what a staging folder is of; ``build.json`` last, and at once."""
    write_rejects(folder, rejects)
    unfinished = folder / f"{STATE_FILE}.new"
    write_json(unfinished, asdict(state))
    unfinished.replace(folder / STATE_FILE)


def load_state(folder: Path) -> tuple[BuildState, list[Reject]]:
    """State and plan's rejects of a staging folder; UserError if it is none."""
    if not (folder / STATE_FILE).is_file():
        raise UserError(f"{folder} is no unfinished build: it has no {STATE_FILE}.")
    values = read_json(folder / STATE_FILE, remedy=REBUILD)
    try:
        values["labels"], values["notes"] = tuple(values["labels"]), tuple(values["notes"])
        state = BuildState(**values)
    except (KeyError, TypeError) as error:
        raise UserError(f"{folder / STATE_FILE} is of another version of deepecg_jax.") from error
    return state, [Reject(**row) for row in read_rejects(folder).to_pylist()]


def staging_folder(parent: Path, state: BuildState) -> Path:
    """Where shards of ``state`` are kept until their data set is complete."""
    return parent / f"{STAGING_PREFIX}{state.fingerprint}"


def open_staging(folder: Path, state: BuildState, rejects: Sequence[Reject]) -> None:
    """Make a staging folder, or clear one of what a killed process left half-written."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in folder.glob("*.array_record.*"):
        file.unlink()
    if not (folder / STATE_FILE).is_file():
        save_state(folder, state, rejects)


def discard_others(parent: Path, state: BuildState, restart: bool) -> list[str]:
    """Remove unfinished builds that cannot be gone on with, and say why in a sentence each."""
    said = []
    for folder in sorted(parent.glob(f"{STAGING_PREFIX}*")):
        if folder == staging_folder(parent, state) and not restart:
            continue
        n_shards = sum(1 for _ in folder.glob("*.array_record"))
        try:
            why = load_state(folder)[0].difference(state)
        except UserError:
            why = ""
        shutil.rmtree(folder)
        if n_shards and why:
            said.append(
                f"An unfinished build with {n_shards} shards was of {why}: starting afresh."
            )
        elif n_shards:
            said.append(f"An unfinished build with {n_shards} shards was removed.")
    return said


def count_finished(folder: Path, wanted: Callable[[int], bool] | None = None) -> tuple[int, int]:
    """Finished shards of a staging folder, and all: (0, 0) if it is none.

    ``wanted`` says which shards count, by their position among those of all splits.
    """
    if not (folder / STATE_FILE).is_file():
        return 0, 0
    shards = [
        Shard(split, number, folder / shard_name(split, number), digest)
        for split, digests in load_state(folder)[0].shards.items()
        for number, digest in enumerate(digests)
    ]
    chosen = [shard for at, shard in enumerate(shards) if wanted is None or wanted(at)]
    return sum(finished(shard) is not None for shard in chosen), len(chosen)
