"""Shards in parallel: each is written by one process, as a function of its own records alone.

Which records go into which shard depends only on the records, never on the number of processes or
on who finishes first, so any number of workers gives the same bytes. A worker holds one ECG at a
time. TFDS' own writer is not used: it writes in one process, and needs TensorFlow beyond 1 GB.
"""

import importlib.util
import math
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

import pyarrow as pa

from deepecg_jax.data.index import index_table
from deepecg_jax.data.records import PlannedRecord, Reject
from deepecg_jax.data.schema import decode, encode
from deepecg_jax.data.splits import record_order
from deepecg_jax.errors import UserError

WRITER_OPTIONS = "group_size:1,zstd:1"
"""One ECG a chunk (random access); zstd level 1: 41 kB an ECG, written 3 times faster than at 3."""

# Each worker fills one core; BLAS threads of several workers would only wait for one another.
_THREAD_LIMITS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")

_PER_SHARD = 1024  # 1,024 ECGs are about 40 MB
_PER_SMALL_SHARD, _SMALL_SHARDS = 128, 16  # small data sets in several shards keep workers busy


@dataclass(frozen=True)
class ShardTask:
    """Records of one shard and the file they go to; ``builder`` is the builder's Python file."""

    builder: str
    options: dict[str, str]
    split: str
    number: int
    path: str
    records: tuple[PlannedRecord, ...]


@dataclass
class ShardResult:
    """What one shard turned into; ``index`` was read back from the file."""

    task: ShardTask
    index: pa.Table
    quality: list[dict[str, Any]] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def divide(records: Sequence[PlannedRecord]) -> list[tuple[PlannedRecord, ...]]:
    """Records of one split, spread over shards by a hash of their ids."""
    if not records:
        return []
    ordered = sorted(records, key=lambda record: (record_order(record.record_id), record.record_id))
    small = min(math.ceil(len(ordered) / _PER_SMALL_SHARD), _SMALL_SHARDS)
    n_shards = max(math.ceil(len(ordered) / _PER_SHARD), small)
    ends = [round(len(ordered) * shard / n_shards) for shard in range(n_shards + 1)]
    return [tuple(ordered[a:b]) for a, b in zip(ends, ends[1:], strict=False)]


def load_builder_class(path: str | Path) -> Any:
    """The ``Builder`` class of a ``NAME_dataset_builder.py``, imported once per process."""
    file = Path(path)
    module_name = file.stem  # TFDS takes the data set's name from NAME_dataset_builder
    module = sys.modules.get(module_name)
    if module is None or getattr(module, "__file__", None) != str(file):
        from etils import epath
        from tensorflow_datasets.core import registered

        spec = importlib.util.spec_from_file_location(module_name, file)
        if spec is None or spec.loader is None or not file.is_file():
            raise UserError(f"{file} is not a builder: there is no such Python file.")
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        try:
            with registered.skip_registration():
                spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[module_name]
            raise
        # TFDS looks for README.md and CITATIONS.bib in a package of the module's name otherwise.
        module.Builder.pkg_dir_path = epath.Path(file.parent)
    return module.Builder


def write_shard(task: ShardTask, tick: Callable[[], None]) -> ShardResult:
    """Make the examples of one shard, write its file, and read it back.

    ``tick`` is called once a record. The file of a shard without any example is removed.
    """
    from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter

    builder = load_builder_class(task.builder)
    result = ShardResult(task, index_table(task.split, []))
    folds = {record.record_id: record.fold for record in task.records}
    written = 0
    last = None
    writer = ArrayRecordWriter(task.path, WRITER_OPTIONS)
    try:
        for made in builder.examples(task.records, task.options):
            name = made.record_id if isinstance(made, Reject) else made.features["record_id"]
            source = name.rpartition(":w")[0] if name not in folds else name
            if source != last:  # several windows of one recording come one after another
                tick()
                last = source
            if isinstance(made, Reject):
                result.rejects.append(made)
                continue
            writer.write(encode(made.features))
            written += 1
            result.quality.append(dict(made.quality))
            result.counts.update(made.counts)
    finally:
        writer.close()
    if not written:
        os.unlink(task.path)
        return result
    reader = ArrayRecordReader(task.path)
    rows = []
    for position in range(reader.num_records()):
        row = decode(reader.read([position])[0])
        name = row["record_id"]
        row["fold"] = folds[name] if name in folds else folds[name.rpartition(":w")[0]]
        del row["signal"]
        rows.append(row)
    reader.close()
    if len(rows) != written:
        raise OSError(f"{task.path}: {written} ECGs were written but {len(rows)} read back")
    result.index = index_table(task.split, rows)
    return result


_counter: Any = None


def _start_worker(counter: Any) -> None:
    """Set up a worker: the parent handles signals, and a worker ends when its parent is gone."""
    global _counter
    _counter = counter
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed would otherwise wait for ever for its next task."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(task: ShardTask) -> ShardResult:
    def tick() -> None:
        with _counter.get_lock():
            _counter.value += 1

    return write_shard(task, tick)


def run_tasks(
    tasks: Sequence[ShardTask], workers: int, on_progress: Callable[[int], None]
) -> Iterator[ShardResult]:
    """Results of all tasks as they finish; ``on_progress`` gets the number of records done.

    Raises:
        UserError: a worker process was killed (out of memory, or a crash inside a library).
    """
    if workers <= 1 or len(tasks) <= 1:
        yield from _run_here(tasks, on_progress)
        return
    context = get_context("forkserver")  # fork alone is unsafe once JAX or gRPC threads run
    context.set_forkserver_preload(["deepecg_jax.data.builder"])  # TFDS imported once, not N times
    counter = context.Value("q", 0)
    pool = ProcessPoolExecutor(
        min(workers, len(tasks)),
        context,
        initializer=_start_worker,
        initargs=(counter,),
    )
    finished = False
    try:
        # The largest first, so that no long task is left for the end.
        ordered = sorted(tasks, key=lambda task: (-len(task.records), task.split, task.number))
        with _one_thread_each():  # submitting starts the processes
            pending: set[Future[ShardResult]] = {pool.submit(_work, task) for task in ordered}
        while pending:
            done, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
            on_progress(counter.value)
            for future in done:
                yield future.result()
        finished = True
    except BrokenProcessPool as error:
        raise UserError(
            "A worker process was killed, most likely for lack of memory; build again with fewer "
            "--workers, or with --workers 1 to see the file at which it happens."
        ) from error
    finally:
        processes = list((getattr(pool, "_processes", None) or {}).values())
        pool.shutdown(wait=finished, cancel_futures=True)
        if not finished:  # after an interrupt nobody must go on writing
            for process in processes:
                process.terminate()
            for process in processes:
                process.join()


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes started inside inherit the limits, which libraries read when they are loaded."""
    before = {name: os.environ.get(name) for name in _THREAD_LIMITS}
    os.environ.update({name: "1" for name, value in before.items() if value is None})
    try:
        yield
    finally:
        for name in (name for name, value in before.items() if value is None):
            del os.environ[name]


def _run_here(
    tasks: Iterable[ShardTask], on_progress: Callable[[int], None]
) -> Iterator[ShardResult]:
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        on_progress(done)

    for task in tasks:
        yield write_shard(task, tick)
