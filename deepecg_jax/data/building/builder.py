"""The base of all shipped builders: a TFDS builder whose shards are written by a process pool.

A builder only says how a source's files and metadata map onto planned records (``plan``), which
labels it has (``label_names``), and, if its files are not WFDB, how to read them (``examples``).
"""

import shutil
import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from deepecg_jax.data.catalogue import load_builder_class
from deepecg_jax.data.options import COMMON_OPTIONS, Option, resolve_options
from deepecg_jax.data.records import SPLITS, Example, Plan, PlannedRecord, Reject
from deepecg_jax.data.shards.schema import features
from deepecg_jax.data.splits import check_unique, keep_patients_apart
from deepecg_jax.data.staging.assembly import assemble
from deepecg_jax.data.staging.run import Runner, write_shards
from deepecg_jax.data.staging.shard import ShardTask, make_tasks
from deepecg_jax.data.staging.state import BuildState, Staged, state_of
from deepecg_jax.data.staging.summary import request_of
from deepecg_jax.labels.findings import FINDINGS
from deepecg_jax.signals.standard.choose import check_standardisation

_STAGING = "staging"


class EcgBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A TFDS builder of the schema in ``deepecg_jax.data.shards.schema``.

    Args:
        source: folder with the source's files; without it TFDS' manual download folder is used.
        options: values of the builder's options by name, as texts.
        limit: only the first so many records of the source.
        staged: shards that are written already (the source is not looked at).
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
        limit: int | None = None,
        staged: Staged | None = None,
        **kwargs: Any,
    ) -> None:
        self.source = source
        self.options = resolve_options({**COMMON_OPTIONS, **self.OPTIONS}, options or {}, self.name)
        check_standardisation(self.options)
        self.limit = limit
        self.staged = staged
        super().__init__(file_format="array_record", **kwargs)

    @classmethod
    @abstractmethod
    def label_names(cls) -> tuple[str, ...]:
        """Names of the labels in the order in which they are stored."""

    @property
    def source_labels(self) -> tuple[str, ...]:
        """Names of the source's labels; a builder whose source names them overrides this."""
        return self.label_names()

    @property
    def unknown_findings(self) -> tuple[str, ...]:
        """With option ``findings=all``, those of the 77 that the source cannot express."""
        if self.options["findings"] != "all":
            return ()
        return tuple(name for name in FINDINGS if name not in self.source_labels)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of this data set's labels: those of the source, then the unknown findings."""
        return (*self.source_labels, *self.unknown_findings)

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
        labels = self.staged.state.labels if self.staged else self.labels
        return self.dataset_info_from_configs(features=features(len(labels)))

    def checked_plan(self, source: Path) -> Plan:
        """The plan with its guards applied: unique ids, patients apart, the limit."""
        plan = self.plan(source)
        check_unique(plan.records)
        records, moved = keep_patients_apart(plan.records, self.options["patients"])
        counts = dict(plan.counts)
        if moved:
            counts["moved_to_the_patients_first_split"] = moved
        records = records[: self.limit]
        if self.unknown_findings:
            more = len(self.unknown_findings)
            records = tuple(replace(record, unknown_labels=more) for record in records)
        return Plan(records, plan.rejects, counts, plan.notes)

    def tasks(self, plan: Plan) -> list[ShardTask]:
        """All shards of a plan, split by split."""
        return make_tasks(plan.records, str(self._file()), self.options)

    def state(self, plan: Plan, tasks: Sequence[ShardTask]) -> BuildState:
        """What the shards of a plan depend on."""
        request = request_of(self.source, self.options, self.limit)
        return state_of(
            self.name, str(self.version), request, self.labels, plan, tasks, self._file()
        )

    def _file(self) -> Path:
        return Path(self.pkg_dir_path or "") / f"{self.name}_dataset_builder.py"

    def _source(self, dl_manager: tfds.download.DownloadManager) -> Path:
        needed = self.source is None and self.NEEDS_SOURCE
        return Path(dl_manager.manual_dir) if needed else (self.source or Path())

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        """TFDS' form of a plan, for its own writer (Beam); builds use ``_generate_splits``."""
        records = self.checked_plan(self._source(dl_manager)).records
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
        """Put the staged shards together in ``self.data_path``, or write them first.

        TFDS calls this inside a temporary folder that takes its final name only when all is done.
        """
        folder = Path(self.data_path)
        staged = self.staged
        if staged is None:
            plan = self.checked_plan(self._source(dl_manager))
            staged = self._stage(plan, folder / _STAGING)
        splits = assemble(staged, folder, self._shard_path)
        if not self.staged:
            shutil.rmtree(folder / _STAGING)
        return [
            tfds.core.SplitInfo(
                name=split,
                shard_lengths=[shard.records for shard in shards],
                num_bytes=sum(shard.path.stat().st_size for shard in shards),
                filename_template=self._get_filename_template(split),
            )
            for split, shards in splits.items()
        ]

    def _stage(self, plan: Plan, folder: Path) -> Staged:
        """Shards of a builder that TFDS itself was asked for: in this process."""
        tasks = self.tasks(plan)
        state = self.state(plan, tasks)
        return write_shards(Runner(), state, plan.rejects, tasks, folder, time.monotonic())

    def _shard_path(self, split: str, number: int, total: int) -> Path:
        template = self._get_filename_template(split)
        return Path(template.sharded_filepath(shard_index=number, num_shards=total))

    def _log_download_bytes(self) -> None:
        """TFDS announces builds by itself; the command line has its own progress."""

    def _log_download_done(self) -> None:
        """See ``_log_download_bytes``."""


def make_builder(builder_file: str | Path, **kwargs: Any) -> EcgBuilder:
    """A builder from its Python file; see EcgBuilder for the arguments."""
    return load_builder_class(builder_file)(**kwargs)
