"""From planned records to stored examples: read, standardise, convert, or reject with a reason."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from deepecg_jax.data.records import Example, Features, PlannedRecord, Reject
from deepecg_jax.errors import UserError
from deepecg_jax.signals.reading.read import read_wfdb
from deepecg_jax.signals.recording import Recording, SignalError
from deepecg_jax.signals.standard.choose import Standardisation
from deepecg_jax.signals.standard.millivolt import Window, to_microvolts

Read = Callable[[PlannedRecord], Recording]
Describe = Callable[[PlannedRecord, Recording], PlannedRecord]


def wfdb_examples(
    records: Iterable[PlannedRecord],
    standardisation: Standardisation,
    describe: Describe | None = None,
) -> Iterator[Example | Reject]:
    """Examples of WFDB recordings (``record.path`` is the path without extension)."""
    return examples_from(records, standardisation, lambda record: read_wfdb(record.path), describe)


def examples_from(
    records: Iterable[PlannedRecord],
    standardisation: Standardisation,
    read: Read,
    describe: Describe | None = None,
) -> Iterator[Example | Reject]:
    """Examples of recordings that ``read`` gets from wherever a planned record points to.

    ``describe`` completes a record from what its file says; both may raise SignalError.
    """
    planned = list(records)
    numbered = standardisation.numbered
    for batch in standardisation.batches(len(planned)):
        made: list[_Made | Reject] = []
        for record in planned[batch]:
            with _rejecting(record, made):
                recording = read(record)
                described = describe(record, recording) if describe else record
                windows = standardisation.windows(recording, described.site)
                made.append(_Made(described, windows))
        waiting = [window for one in made if isinstance(one, _Made) for window in one.windows]
        standardised = iter(standardisation.together(waiting))
        for one in made:
            if isinstance(one, Reject):
                yield one
                continue
            mine = [next(standardised) for _ in one.windows]
            examples: list[Example | Reject] = []
            with _rejecting(one.record, examples):
                examples += [example_of(one.record, window, numbered) for window in mine]
            yield from examples


@dataclass(frozen=True, eq=False)
class _Made:
    record: PlannedRecord
    windows: list[Window]


@contextmanager
def _rejecting(
    record: PlannedRecord, found: list[_Made | Reject] | list[Example | Reject]
) -> Iterator[None]:
    """Whatever is wrong with one record becomes a Reject in ``found``."""
    try:
        yield
    except SignalError as error:
        found.append(Reject(record.path, record.record_id, error.stage, error.reason, str(error)))
    except UserError:
        raise
    except Exception as error:  # one file that breaks a parser must not stop a million others
        message = f"{type(error).__name__}: {error}"
        found.append(Reject(record.path, record.record_id, "read", "unexpected", message))


def example_of(record: PlannedRecord, window: Window, numbered: bool) -> Example:
    """The stored features of a window; ``numbered`` adds ``:w0``, ``:w1`` ... to the record id."""
    counts = list(record.counts)
    if window.valid_samples < len(window.signal):
        counts.append("padded")
    if not window.lead_mask.all():
        counts.append("missing_leads")
    if numbered:
        record = replace(record, record_id=f"{record.record_id}:w{window.index}")
    features = features_of(record, to_microvolts(window.signal), window.lead_mask)
    return Example(features, {"valid_samples": window.valid_samples, **window.quality}, counts)


def features_of(record: PlannedRecord, signal: np.ndarray, lead_mask: np.ndarray) -> Features:
    """The features of the schema for int16 microvolts (2500, 12) and a lead mask (12,)."""
    if record.labels is None:
        raise ValueError(f"record {record.record_id} has no labels")
    unknown = np.full(record.unknown_labels, -1, np.int8)
    return {
        "signal": signal,
        "lead_mask": lead_mask,
        "labels": np.concatenate([record.labels, unknown]) if len(unknown) else record.labels,
        "record_id": record.record_id,
        "patient_id": record.patient_id,
        "age": record.age,
        "sex": record.sex,
        "site": record.site,
        "device": record.device,
        "report": record.report,
        "time_days": record.time_days,
        "event": record.event,
    }
