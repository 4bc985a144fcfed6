"""Synthetic ECGs from the package's own heart-dipole generator; needs no files."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from deepecg_jax.data.building.builder import EcgBuilder
from deepecg_jax.data.building.examples import examples_from, features_of
from deepecg_jax.data.options import SHARES, BuildOptions, Option, whole_number
from deepecg_jax.data.records import Example, Plan, PlannedRecord, Reject
from deepecg_jax.data.splits import hash_split
from deepecg_jax.signals.contract import STANDARD_LEADS, SignalContract
from deepecg_jax.signals.quality.interference import interference
from deepecg_jax.signals.recording import Recording
from deepecg_jax.signals.standard.millivolt import to_microvolts
from deepecg_jax.signals.synthetic.findings import FINDINGS
from deepecg_jax.signals.synthetic.generate import generate
from deepecg_jax.signals.synthetic.patients import patient_of

COUNT = whole_number("n", "2000", "number of ECGs", 1)
SEED = whole_number("seed", "0", "another seed gives other patients")

_CHUNK = 64  # ECGs generated in one call: 8 MB


class Builder(EcgBuilder):
    """See README.md beside this file."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First version."}
    NEEDS_SOURCE = False
    OPTIONS: ClassVar[tuple[Option[Any], ...]] = (COUNT, SEED, SHARES)

    @classmethod
    def label_names(cls) -> tuple[str, ...]:
        """The generator's findings; all are known for every ECG."""
        return FINDINGS

    def plan(self, source: Path) -> Plan:
        """Records 0 .. n-1 of the seed, their patients assigned to splits by hash."""
        n, seed, shares = self.options[COUNT], self.options[SEED], self.options[SHARES]
        n = n if self.limit is None else min(n, self.limit)
        records = []
        for index, patient in enumerate(patient_of(np.arange(n)).tolist()):
            name = f"synthetic-{seed}-p{patient:08d}"
            records.append(
                PlannedRecord(
                    record_id=f"synthetic-{seed}-r{index:08d}",
                    patient_id=name,
                    split=hash_split(name, shares),
                    path=str(index),
                    site="synthetic",
                )
            )
        return Plan(tuple(records))

    @classmethod
    def examples(
        cls, records: Sequence[PlannedRecord], options: BuildOptions
    ) -> Iterator[Example | Reject]:
        """Every record is a function of (seed, index) alone; as it is, or standardised."""
        generated = _generated(records, options[SEED])
        if options.contract == SignalContract():
            for record, signal in generated:
                features = features_of(record, to_microvolts(signal), np.ones(12, bool))
                yield Example(features, _measures(signal))
            return
        records_read: dict[str, PlannedRecord] = {}

        def read(planned: PlannedRecord) -> Recording:
            record, signal = next(generated)
            records_read[planned.record_id] = record
            return Recording(signal, STANDARD_LEADS, SignalContract().sampling_rate)

        yield from examples_from(
            records,
            options.standardisation,
            read,
            lambda planned, _: records_read.pop(planned.record_id),
        )


def _measures(signal: np.ndarray) -> dict[str, float]:
    rate = SignalContract().sampling_rate
    seconds = len(signal) / rate
    return {"valid_samples": len(signal), "seconds": seconds, **interference(signal, rate)}


def _generated(
    records: Sequence[PlannedRecord], seed: int
) -> Iterator[tuple[PlannedRecord, np.ndarray]]:
    """Completed records and their signals (2500, 12) mV, generated in chunks."""
    for start in range(0, len(records), _CHUNK):
        chunk = records[start : start + _CHUNK]
        batch = generate(np.array([int(r.path) for r in chunk]), seed, threads=1)
        for position, planned in enumerate(chunk):
            if planned.record_id != str(batch.record_id[position]):
                raise ValueError("the generator names its records in another way")
            record = PlannedRecord(
                record_id=planned.record_id,
                patient_id=str(batch.patient_id[position]),
                split=planned.split,
                path=planned.path,
                labels=batch.labels[position],
                age=float(batch.age[position]),
                sex=str(batch.sex[position]),
                site=planned.site,
                unknown_labels=planned.unknown_labels,
            )
            yield record, batch.signal[position]
