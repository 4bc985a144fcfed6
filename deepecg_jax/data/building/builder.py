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
from deepecg_jax.data.options import (
    BASELINE,
    COMMON_OPTIONS,
    FINDINGS,
    PATIENTS,
    POWERLINE,
    SITE_PROFILE,
    STANDARDISATION,
    WINDOWS,
    BuildOptions,
    Option,
    resolve_options,
)
from deepecg_jax.data.records import SPLITS, Example, Plan, PlannedRecord, Reject
from deepecg_jax.data.shards.schema import features
from deepecg_jax.data.splits import check_unique, keep_patients_apart
from deepecg_jax.data.staging.assembly import assemble
from deepecg_jax.data.staging.build_state import (
    BuildState,
    Staged,
    code_versions,
    plan_digests,
    request_of,
)
from deepecg_jax.data.staging.run import Job, Manner, write_shards
from deepecg_jax.data.staging.shard import Recipe, Shard, plan_shards
from deepecg_jax.labels import findings

_STAGING = "staging"


class EcgBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A TFDS builder of the schema in ``deepecg_jax.data.shards.schema``.

    Args:
        source: folder with the source's files; without it TFDS' manual download folder is used.
        options: texts of the builder's options by name.
        limit: only the first so many records of the source.
        staged: shards that are written already (the source is not looked at).
        kwargs: those of ``tfds.core.GeneratorBasedBuilder`` (``data_dir``).
    """

    OPTIONS: ClassVar[tuple[Option[Any], ...]] = ()
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
        self.options = self._resolved(options or {})
        self.limit = limit
        self.staged = staged
        super().__init__(file_format="array_record", **kwargs)

    def _resolved(self, texts: Mapping[str, str]) -> BuildOptions:
        return resolve_options((*COMMON_OPTIONS, *self.OPTIONS), texts, self.name)

    def take_profile(self, path: Path) -> None:
        """Put a fitted site profile in the place of the option that asked for one."""
        self.options = self._resolved({**self.options.texts, SITE_PROFILE.name: str(path)})

    def plain_options(self) -> BuildOptions:
        """The options for a sample of unfiltered millivolts, whatever was asked for."""
        plain = {STANDARDISATION: "millivolt", POWERLINE: "keep", BASELINE: "keep"}
        changes = {option.name: word for option, word in {**plain, WINDOWS: "first"}.items()}
        return self._resolved({**self.options.texts, **changes})

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
        if self.options[FINDINGS] == "source":
            return ()
        return tuple(name for name in findings.FINDINGS if name not in self.source_labels)

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
        cls, records: Sequence[PlannedRecord], options: BuildOptions
    ) -> Iterator[Example | Reject]:
        """Examples and rejects of records, in their order; runs in the worker processes."""

    def _info(self) -> tfds.core.DatasetInfo:
        labels = self.staged.state.labels if self.staged else self.labels
        return self.dataset_info_from_configs(features=features(len(labels)))

    def checked_plan(self, source: Path) -> Plan:
        """The plan of a source with its guards applied; UserError if there is something wrong."""
        return self.checked(self.plan(source))

    def checked(self, plan: Plan) -> Plan:
        """A plan with its guards applied: unique ids, patients apart, the limit."""
        check_unique(plan.records)
        records, moved = keep_patients_apart(plan.records, self.options[PATIENTS])
        counts = dict(plan.counts)
        if moved:
            counts["moved_to_the_patients_first_split"] = moved
        records = records[: self.limit]
        if self.unknown_findings:
            more = len(self.unknown_findings)
            records = tuple(replace(record, unknown_labels=more) for record in records)
        return Plan(records, plan.rejects, counts, plan.notes)

    def job(self, plan: Plan) -> Job:
        """All shards of a checked plan, and what they depend on."""
        shards = plan_shards(plan.records)
        recipe = Recipe(str(self._file()), self.options)
        return Job(shards, recipe, self._state(plan, shards), plan.rejects)

    def _state(self, plan: Plan, shards: Sequence[Shard]) -> BuildState:
        digest, digests = plan_digests(plan, shards)
        profile = self.options.profile
        return BuildState(
            self.name,
            str(self.version),
            request_of(self.source, self.options, self.limit),
            code_versions(self._file(), profile.path if profile else None),
            digest,
            tuple(self.labels),
            len(plan.records),
            digests,
            dict(plan.counts),
            tuple(plan.notes),
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
                yield made.features["record_id"], dict(made.features)

    def _generate_splits(
        self,
        dl_manager: tfds.download.DownloadManager,
        download_config: tfds.download.DownloadConfig,
    ) -> Sequence[tfds.core.SplitInfo]:
        """Put the staged shards together in ``self.data_path``, or write them first.

        TFDS calls this inside a temporary folder that takes its final name only when all is done.
        """
        folder = Path(self.data_path)
        staged = self.staged
        if staged is None:
            plan = self.checked_plan(self._source(dl_manager))
            # a builder that TFDS itself was asked for: in this process
            staged = write_shards(self.job(plan), Manner(), folder / _STAGING, time.monotonic())
        splits = assemble(staged, self.options, folder, self._shard_path)
        if not self.staged:
            shutil.rmtree(folder / _STAGING)
        return [
            tfds.core.SplitInfo(
                name=split,
                shard_lengths=[shard.kept for shard in shards],
                num_bytes=sum(shard.final.stat().st_size for shard in shards if shard.final),
                filename_template=self._get_filename_template(split),
            )
            for split, shards in splits.items()
        ]

    def _shard_path(self, split: str, number: int, total: int) -> Path:
        template = self._get_filename_template(split)
        return Path(template.sharded_filepath(shard_index=number, num_shards=total))

    def _log_download_bytes(self) -> None:
        """TFDS announces builds by itself; the command line has its own progress."""

    def _log_download_done(self) -> None:
        """See ``_log_download_bytes``."""


def make_builder(builder_file: str | Path, **kwargs: Any) -> EcgBuilder:
    """A builder from its Python file; see EcgBuilder for the arguments."""
    builder: type[EcgBuilder] = load_builder_class(builder_file)
    return builder(**kwargs)
