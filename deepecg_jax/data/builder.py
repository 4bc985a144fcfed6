"""The base of all shipped builders: a TFDS builder whose shards are written by a process pool.

A builder only says how a source's files and metadata map onto planned records (``plan``), which
labels it has (``label_names``), and, if its files are not WFDB, how to read them (``examples``).
"""

import time
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from deepecg_jax.data.building import ShardResult, ShardTask, divide, load_builder_class, run_tasks
from deepecg_jax.data.guards import check_duplicates
from deepecg_jax.data.index import write_index, write_quality, write_rejects
from deepecg_jax.data.options import COMMON_OPTIONS, Option, resolve_options
from deepecg_jax.data.records import SPLITS, Example, Plan, PlannedRecord, Reject
from deepecg_jax.data.schema import features
from deepecg_jax.data.splits import check_unique, keep_patients_apart
from deepecg_jax.data.standardisation import check_standardisation, contract_of
from deepecg_jax.data.summary import SUMMARY_FILE, summarize, write_json
from deepecg_jax.errors import UserError


class EcgBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A TFDS builder of the schema in ``deepecg_jax.data.schema``.

    Args:
        source: folder with the source's files; without it TFDS' manual download folder is used.
        options: values of the builder's options by name, as texts.
        workers: processes that write shards.
        limit: only the first so many records of the source.
        on_progress: called with the number of records done and of all records.
        kwargs: those of ``tfds.core.GeneratorBasedBuilder`` (``data_dir``).
    """

    OPTIONS: ClassVar[dict[str, Option]] = {}
    NEEDS_SOURCE: ClassVar[bool] = True
    TAKES_A_FILE: ClassVar[bool] = False

    def __init__(
        self,
        *,
        source: Path | None = None,
        options: Mapping[str, str] | None = None,
        workers: int = 1,
        limit: int | None = None,
        on_progress: Callable[[int, int], None] | None = None,
        **kwargs: Any,
    ) -> None:
        self.source = source
        self.options = resolve_options({**COMMON_OPTIONS, **self.OPTIONS}, options or {}, self.name)
        check_standardisation(self.options)
        self.workers = workers
        self.limit = limit
        self.on_progress = on_progress
        super().__init__(file_format="array_record", **kwargs)

    @classmethod
    @abstractmethod
    def label_names(cls) -> tuple[str, ...]:
        """Names of the labels in the order in which they are stored."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of this data set's labels; a builder whose source names them overrides this."""
        return self.label_names()

    @abstractmethod
    def plan(self, source: Path) -> Plan:
        """All recordings of the source folder; UserError if it is not such a source."""

    @classmethod
    @abstractmethod
    def examples(
        cls, records: Sequence[PlannedRecord], options: Mapping[str, str]
    ) -> Iterator[Example | Reject]:
        """Examples and rejects of records, in their order; runs in the worker processes."""

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(features=features(len(self.labels)))

    def _checked_plan(self, dl_manager: tfds.download.DownloadManager) -> Plan:
        """The plan with its guards applied: unique ids, patients apart, the limit."""
        needed = self.source is None and self.NEEDS_SOURCE
        source = Path(dl_manager.manual_dir) if needed else (self.source or Path())
        plan = self.plan(source)
        check_unique(plan.records)
        records, moved = keep_patients_apart(plan.records, self.options["patients"])
        counts = dict(plan.counts)
        if moved:
            counts["moved_to_the_patients_first_split"] = moved
        return Plan(records[: self.limit], plan.rejects, counts, plan.notes)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        """TFDS' form of a plan, for its own writer (Beam); builds use ``_generate_splits``."""
        records = self._checked_plan(dl_manager).records
        return {
            split: self._generate_examples([r for r in records if r.split == split])
            for split in SPLITS
            if any(record.split == split for record in records)
        }

    def _generate_examples(
        self, records: Sequence[PlannedRecord]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        for made in self.examples(records, self.options):
            if isinstance(made, Example):
                yield made.features["record_id"], made.features

    def _generate_splits(
        self, dl_manager: Any, download_config: tfds.download.DownloadConfig
    ) -> Sequence[tfds.core.SplitInfo]:
        """Write all shards and what stands beside them into ``self.data_path``.

        TFDS calls this inside a temporary folder that takes its final name only when all is done.
        """
        started = time.monotonic()
        plan = self._checked_plan(dl_manager)
        by_split = {
            split: [record for record in plan.records if record.split == split] for split in SPLITS
        }
        tasks = self._tasks(by_split)
        results: list[ShardResult] = []
        report = self.on_progress or (lambda done, total: None)
        report(0, len(plan.records))
        for result in run_tasks(tasks, self.workers, lambda done: report(done, len(plan.records))):
            results.append(result)
        report(len(plan.records), len(plan.records))
        rejects = [*plan.rejects, *(reject for result in results for reject in result.rejects)]
        copies, copy_counts = check_duplicates(results, plan.records, self.options["duplicates"])
        rejects += copies
        rejects.sort(key=lambda reject: (reject.path, reject.record_id))
        self._refuse_nothing(plan, rejects, sum(result.index.num_rows for result in results))
        shards = {split: self._final_shards(split, results) for split in SPLITS}
        shards = {split: done for split, done in shards.items() if done}
        seconds = time.monotonic() - started
        self._write_tables(shards, rejects)
        folder = Path(self.data_path)
        contract_of(self.options).save(folder)
        write_json(folder / "labels.json", list(self.labels))
        counts = Counter({**plan.counts, **copy_counts})
        for result in results:
            counts.update(result.counts)
        write_json(
            folder / SUMMARY_FILE,
            summarize(self, plan, shards, rejects, counts, seconds),
        )
        return [
            tfds.core.SplitInfo(
                name=split,
                shard_lengths=[result.index.num_rows for result in done],
                num_bytes=sum(Path(result.task.path).stat().st_size for result in done),
                filename_template=self._get_filename_template(split),
            )
            for split, done in shards.items()
        ]

    def _tasks(self, by_split: Mapping[str, Sequence[PlannedRecord]]) -> list[ShardTask]:
        builder_file = str(Path(self.pkg_dir_path or "") / f"{self.name}_dataset_builder.py")
        tasks = []
        for split, records in by_split.items():
            parts = divide(records)
            for number, part in enumerate(parts):
                path = self._shard_path(split, number, len(parts))
                tasks.append(ShardTask(builder_file, self.options, split, number, path, part))
        return tasks

    def _shard_path(self, split: str, number: int, total: int) -> str:
        template = self._get_filename_template(split)
        return str(template.sharded_filepath(shard_index=number, num_shards=total))

    def _refuse_nothing(self, plan: Plan, rejects: Sequence[Reject], stored: int) -> None:
        if not plan.records and not rejects:
            raise UserError(f"{self.source} holds no recording that builder {self.name} knows.")
        if not stored:
            (reason, count), *_ = Counter(reject.reason for reject in rejects).most_common(1)
            example = next(reject for reject in rejects if reject.reason == reason)
            raise UserError(
                f"All {len(rejects)} recordings were rejected, {count} of them for {reason!r} "
                f"(such as {example.record_id}: {example.message}); nothing was built."
            )

    def _final_shards(self, split: str, results: Iterable[ShardResult]) -> list[ShardResult]:
        """The split's shards in order; renamed if some stayed empty because all was rejected."""
        mine = sorted((r for r in results if r.task.split == split), key=lambda r: r.task.number)
        kept = [result for result in mine if result.index.num_rows]
        if len(kept) < len(mine):
            for number, result in enumerate(kept):
                path = self._shard_path(split, number, len(kept))
                Path(result.task.path).rename(path)
                result.task = ShardTask(**{**vars(result.task), "number": number, "path": path})
        return kept

    def _write_tables(
        self, shards: Mapping[str, Sequence[ShardResult]], rejects: Sequence[Reject]
    ) -> None:
        import pyarrow as pa

        tables, quality = [], []
        for split, results in shards.items():
            table = pa.concat_tables([result.index for result in results])
            at = table.column_names.index("position")
            table = table.set_column(at, "position", pa.array(range(table.num_rows), pa.int64()))
            tables.append(table)
            rows = [row for result in results for row in result.quality]
            quality += [{"split": split, "position": i, **row} for i, row in enumerate(rows)]
        folder = Path(self.data_path)
        write_index(folder, tables)
        write_quality(folder, quality)
        write_rejects(folder, rejects)

    def _log_download_bytes(self) -> None:
        """TFDS announces builds by itself; the command line has its own progress."""

    def _log_download_done(self) -> None:
        """See ``_log_download_bytes``."""


def make_builder(builder_file: str | Path, **kwargs: Any) -> EcgBuilder:
    """A builder from its Python file; see EcgBuilder for the arguments."""
    return load_builder_class(builder_file)(**kwargs)
