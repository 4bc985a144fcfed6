"""Open a built data set and read it by index, without TensorFlow and without importing TFDS."""

import threading
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
import pyarrow as pa

from deepecg_jax.data import aligned
from deepecg_jax.data.shards.index import (
    REBUILD,
    SUMMARY_FILE,
    label_matrix,
    read_index,
    read_valid_samples,
)
from deepecg_jax.data.shards.schema import FEATURES, SIGNAL_SHAPE, decode
from deepecg_jax.data.shards.wire import copy_ecg
from deepecg_jax.errors import UserError
from deepecg_jax.files import read_json
from deepecg_jax.signals.contract import SignalContract
from deepecg_jax.signals.contract import load as load_contract

_READ_AT_ONCE = 64


def dataset_folder(data_dir: str | Path, name: str, version: str | None = None) -> Path:
    """``DATA_DIR/NAME/VERSION``, the newest version unless one is given.

    Raises UserError, naming what exists, when the data set or the version does not.
    """
    root = Path(data_dir)
    folder = root / name
    versions = sorted(
        (p.parent.name for p in folder.glob("*/dataset_info.json") if _numbers(p.parent.name)),
        key=_numbers,
    )
    if not versions:
        others = sorted({path.parents[1].name for path in root.glob("*/*/dataset_info.json")})
        there = f"there are {', '.join(others)}" if others else "there is none"
        raise UserError(f"There is no data set {name!r} in {root}; {there}.")
    if version is not None and version not in versions:
        raise UserError(
            f"Data set {name} in {root} has no version {version}; it has {', '.join(versions)}."
        )
    return folder / (version or versions[-1])


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.split(".")
    return tuple(map(int, parts)) if all(part.isdigit() for part in parts) else ()


@dataclass
class Split:
    """One split of a data set: a sequence of ECGs that several threads may read at once.

    ``split[i]`` gives a dict: ``signal`` int16 (2500, 12) microvolts (read-only), ``lead_mask``
    bool (12,), ``labels`` int8 (C,), ``age`` and ``time_days`` float32, ``event`` int8, and the
    texts ``record_id``, ``patient_id``, ``sex``, ``site``, ``device``, ``report``. Row i of
    ``index`` is the same ECG. It can be pickled; a copy opens the files again when it reads.
    """

    folder: Path
    name: str
    contract: SignalContract
    label_names: tuple[str, ...]
    index: pa.Table
    files: tuple[str, ...]
    lengths: tuple[int, ...]
    _readers: dict[int, Any] = field(default_factory=dict, repr=False)
    _lock: Any = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        self._ends = list(accumulate(self.lengths))

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, position: SupportsIndex) -> dict[str, Any]:
        return self.__getitems__([position])[0]

    def __getitems__(self, positions: Iterable[SupportsIndex]) -> list[dict[str, Any]]:
        """Several ECGs at once, in the order asked for."""
        wanted = [self._locate(position) for position in positions]
        by_file: dict[int, list[int]] = {}
        for file, row in wanted:
            by_file.setdefault(file, []).append(row)
        found: dict[tuple[int, int], dict[str, Any]] = {}
        for file, rows in by_file.items():
            for row, record in zip(rows, self._read(file, rows), strict=True):
                found[file, row] = record
        return [found[place] for place in wanted]

    def rows(self, positions: np.ndarray) -> dict[str, np.ndarray]:
        """``signal`` int16 (n, 2500, 12) and ``lead_mask`` bool (n, 12) of some ECGs, in order."""
        n = len(positions)
        signal = aligned.empty((n, *SIGNAL_SHAPE), np.int16)
        mask = aligned.empty((n, SIGNAL_SHAPE[1]), bool)
        self.read_into(positions, signal, mask)
        return {"signal": signal, "lead_mask": mask}

    def read_into(self, positions: np.ndarray, signal: np.ndarray, lead_mask: np.ndarray) -> None:
        """`rows`, written into arrays of the caller; twice as fast as ``split[i]`` of each."""
        flat, mask = signal.reshape(len(positions), -1), lead_mask.view(np.uint8)
        for row, position in enumerate(positions.tolist()):
            file, place = self._locate(position)
            try:
                # one at a time: the reader starts threads of its own for several
                copy_ecg(self._reader(file).read([place])[0], flat[row], mask[row])
            except (RuntimeError, ValueError, IndexError) as error:
                raise _damaged(self.folder / self.files[file], str(error)) from error

    def without_index(self) -> "Split":
        """The same shards for a process that only reads: small to send, whatever their number."""
        return replace(
            self, index=self.index.schema.empty_table(), _readers={}, _lock=threading.Lock()
        )

    def load(self, fields: Sequence[str] = FEATURES, threads: int = 4) -> dict[str, np.ndarray]:
        """The whole split in memory: field -> array with a row an ECG (60 kB each for ``signal``).

        Args:
            fields: names of the schema; without ``signal`` the files are read all the same.
            threads: readers at work at once.
        """
        unknown = [name for name in fields if name not in FEATURES]
        if unknown:
            raise UserError(f"There is no field {unknown[0]!r}; there are {', '.join(FEATURES)}.")
        n, n_labels = len(self), len(self.label_names)
        shapes = {
            "signal": ((n, *SIGNAL_SHAPE), np.int16),
            "lead_mask": ((n, SIGNAL_SHAPE[1]), bool),
            "labels": ((n, n_labels), np.int8),
            "event": ((n,), np.int8),
            **{name: ((n,), np.float32) for name in ("age", "time_days")},
        }
        arrays = {
            name: np.empty(*shapes[name]) if name in shapes else np.empty(n, object)
            for name in fields
        }

        def fill(start: int) -> None:
            positions = range(start, min(start + _READ_AT_ONCE, n))
            if set(fields) == {"signal", "lead_mask"}:
                part = slice(start, positions.stop)
                into = arrays["signal"][part], arrays["lead_mask"][part]
                return self.read_into(np.asarray(positions), *into)
            for position, record in zip(positions, self.__getitems__(positions), strict=True):
                for name in fields:
                    arrays[name][position] = record[name]

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(fill, range(0, n, _READ_AT_ONCE)))
        return {
            name: array.astype(np.str_) if array.dtype == object else array
            for name, array in arrays.items()
        }

    @cached_property
    def labels(self) -> np.ndarray:
        """Labels of all ECGs from the index: int8 (N, C)."""
        return label_matrix(self.index, len(self.label_names))

    @cached_property
    def valid_samples(self) -> np.ndarray:
        """Samples of each ECG before its zero padding: int32 (N,)."""
        return read_valid_samples(self.folder, self.name, len(self), SIGNAL_SHAPE[0])

    def _locate(self, position: SupportsIndex) -> tuple[int, int]:
        place = position.__index__()
        if place < 0:
            place += len(self)
        if not 0 <= place < len(self):
            raise IndexError(f"position {position} of a split of {len(self)} ECGs")
        file = bisect_right(self._ends, place)
        return file, place - (self._ends[file - 1] if file else 0)

    def _read(self, file: int, rows: list[int]) -> list[dict[str, Any]]:
        try:
            return [decode(record) for record in self._reader(file).read(rows)]
        except (RuntimeError, ValueError, IndexError) as error:
            raise _damaged(self.folder / self.files[file], str(error)) from error

    def _reader(self, file: int) -> Any:
        from array_record.python.array_record_module import ArrayRecordReader

        reader = self._readers.get(file)
        if reader is not None:
            return reader
        with self._lock:
            reader = self._readers.get(file)
            if reader is None:
                # Without read-ahead and without threads of its own: access is random.
                path = str(self.folder / self.files[file])
                reader = ArrayRecordReader(path, "readahead_buffer_size:0,max_parallelism:0")
                if reader.num_records() != self.lengths[file]:
                    raise ValueError(f"{reader.num_records()} ECGs, not {self.lengths[file]}")
                self._readers[file] = reader
            return reader

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in _NOT_PICKLED}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _readers={}, _lock=threading.Lock())


_NOT_PICKLED = ("_readers", "_lock")


def open_split(data_dir: str | Path, name: str, split: str, version: str | None = None) -> Split:
    """Open a split of a built data set, and check that all of it is there.

    >>> split = de.open_split("data", "synthetic", "test")
    >>> split[0]["signal"].shape, split.contract.sampling_rate
    ((2500, 12), 250.0)

    Raises:
        UserError: the data set, version or split does not exist (those that do are named); a shard
            is missing or shorter than it was written; the contract, the label names or the index
            are absent or do not fit the shards.
    """
    folder = dataset_folder(data_dir, name, version)
    info = read_json(folder / "dataset_info.json", remedy=REBUILD)
    splits = {part["name"]: [int(n) for n in part["shardLengths"]] for part in info["splits"]}
    if split not in splits:
        raise UserError(f"Data set {folder} has no split {split!r}; it has {', '.join(splits)}.")
    lengths = splits[split]
    files = [
        f"{name}-{split}.array_record-{number:05d}-of-{len(lengths):05d}"
        for number in range(len(lengths))
    ]
    contract = load_contract(folder)
    if (contract.n_samples, len(contract.leads)) != SIGNAL_SHAPE:
        raise UserError(
            f"{folder / 'signal.json'} describes signals of {contract.n_samples} samples and "
            f"{len(contract.leads)} leads, but the shards hold {SIGNAL_SHAPE}."
        )
    label_names = tuple(read_json(folder / "labels.json", list, REBUILD))
    _check_label_count(folder, len(label_names))
    _check_files(folder, files)
    index = read_index(folder, split)
    if index.num_rows != sum(lengths):
        raise UserError(
            f"{folder / 'index.parquet'} has {index.num_rows} rows for {split}, but the shards "
            f"hold {sum(lengths)} ECGs; build the data set again."
        )
    opened = Split(folder, split, contract, label_names, index, tuple(files), tuple(lengths))
    label_matrix(index, len(label_names))
    _check_ends(opened)
    return opened


def _check_label_count(folder: Path, n_labels: int) -> None:
    features = read_json(folder / "features.json", remedy=REBUILD)
    stored = features["featuresDict"]["features"]["labels"]
    shape = stored["tensor"]["shape"].get("dimensions", [])
    if [int(size) for size in shape] != [n_labels]:
        raise UserError(
            f"{folder / 'labels.json'} names {n_labels} labels, but the shards hold "
            f"{' x '.join(map(str, shape))}; restore the file or build the data set again."
        )


def _check_files(folder: Path, files: Sequence[str]) -> None:
    written = read_json(folder / SUMMARY_FILE, remedy=REBUILD).get("files", {})
    for file in files:
        path = folder / file
        if not path.is_file():
            raise UserError(f"The shard {path} does not exist; build the data set again.")
        size, whole = path.stat().st_size, written.get(file, {}).get("bytes")
        if whole is not None and size != whole:
            raise _damaged(path, f"{size} of {whole} bytes")


def _check_ends(split: Split) -> None:
    """The first and last ECG of the split are those of the index."""
    ids = split.index.column("record_id")
    for position in {0, len(split) - 1}:
        stored, indexed = split[position]["record_id"], ids[position].as_py()
        if stored != indexed:
            raise UserError(
                f"{split.folder / 'index.parquet'} says that ECG {position} of {split.name} is "
                f"{indexed!r}, but the shard holds {stored!r}; build the data set again."
            )


def _damaged(path: Path, why: str) -> UserError:
    return UserError(
        f"The shard {path} is damaged ({why}); copy it again or build the data set again."
    )
