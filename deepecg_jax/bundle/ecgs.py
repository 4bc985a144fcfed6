"""ECGs of a split on disk, or of recording files, in the form of a contract, some at a time."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from deepecg_jax.bundle.windows import Windows, batches
from deepecg_jax.data.shards.split import Split
from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.table.predictions import EVENT, TIME, Predictions
from deepecg_jax.signals.contract import SignalContract, require_same
from deepecg_jax.signals.reading.read import read
from deepecg_jax.signals.recording import Recording, SignalError
from deepecg_jax.signals.standard.choose import DEEPECG_BATCH, choose
from deepecg_jax.signals.standard.convert import convert
from deepecg_jax.signals.standard.millivolt import Window
from deepecg_jax.signals.standard.site_profile import SiteProfiles
from deepecg_jax.signals.units import from_stored

_IDENTITY = ("record_id", "patient_id", "age", "sex")
_TEXTS = ("site", "device")
_FOLLOW_UP = (TIME, EVENT)
_OF_A_SPLIT = (*_IDENTITY, *_TEXTS, *_FOLLOW_UP)
Known = Mapping[str, Any]


class Ecgs(NamedTuple):
    """Some ECGs: what is known of each (identity, site, device, follow-up), the labels that their
    data set has of them (N, C) int8 (none of recordings), and their windows.
    """

    known: Sequence[Known]
    labels: np.ndarray
    windows: Windows


def ecgs_of_split(
    split: Split,
    positions: np.ndarray,
    contract: SignalContract,
    bundle: Path,
    batch_size: int,
    conversion: bool,
) -> Iterator[Ecgs]:
    """ECGs of a split, ``batch_size`` at a time, missing leads zero.

    positions: which; contract: what they are to be; bundle: whose it is, for sentences.
    conversion: convert them where the data set's contract differs; an ECG that is longer than the
        contract's then has several windows, those that hold any signal.

    Raises:
        UserError: the contracts differ and there is no ``conversion``, or there is no way.
    """
    named = str(split.folder.parent)
    if not conversion:
        require_same(contract, split.contract, str(bundle), named)
    valid = split.valid_samples
    for begin in range(0, len(positions), batch_size):
        chosen = positions[begin : begin + batch_size]
        records = split.__getitems__(chosen)
        signal = from_stored(np.stack([record["signal"] for record in records]))
        signal = np.where(np.stack([r["lead_mask"] for r in records])[:, None], signal, 0.0)
        windows = Windows(signal, valid[chosen], np.ones(len(chosen), np.int64))
        if conversion:
            windows = _with_signal(*convert(signal, valid[chosen], split.contract, contract, named))
        known = [{name: record[name] for name in _OF_A_SPLIT} for record in records]
        yield Ecgs(known, np.stack([record["labels"] for record in records]), windows)


def _with_signal(windows: np.ndarray, valid_samples: np.ndarray) -> Windows:
    """Windows (N, W, T, L), valid samples (N, W) -> those that are not all padding."""
    keep = valid_samples > 0
    return Windows(windows[keep], valid_samples[keep], keep.sum(1))


def ecgs_of_records(
    records: Sequence[str | Path | Recording],
    contract: SignalContract,
    left_out: list[tuple[str, str]],
    batch_size: int,
    profiles: SiteProfiles | None = None,
) -> Iterator[Ecgs]:
    """Recordings, or the files that hold them, with all whole windows of each.

    With the scaling ``deepecg`` the ECGs of a call are standardised together, in batches of 512 in
    the order given. A patient who is not known counts as one of this ECG alone.

    left_out: gets (place, reason) of recordings that cannot be used.
    profiles: where the contract wants filtered ECGs.

    Raises:
        UserError: when none can be used.
    """
    standardisation = choose(contract, profiles=profiles)
    known: list[Known] = []

    def pieces() -> Iterator[list[Window]]:
        for record in records:
            given = isinstance(record, Recording)
            try:
                recording = record if given else read(record)
                windows = standardisation.windows(recording, recording.site)
            except SignalError as error:
                left_out.append((record.record_id if given else str(record), str(error)))
                continue
            patient = recording.patient_id or recording.record_id
            fields = {name: getattr(recording, name) for name in (*_IDENTITY, *_TEXTS)}
            known.append(fields | {"patient_id": patient})
            yield windows

    at_once = DEEPECG_BATCH if contract.scaling == "deepecg" else 4 * batch_size
    used = False
    for windows in batches(pieces(), standardisation, at_once):
        used = True
        yield Ecgs(known[:], np.zeros((len(known), 0), np.int8), windows)
        known.clear()
    if not used:
        if not left_out:
            raise UserError("There is no recording to predict.")
        place, reason = left_out[0]
        many = f"none of the {len(left_out)} recordings can be used; the first, "
        raise UserError(f"{many * (len(left_out) > 1)}{place}: {reason}")


def table_of(
    known: Sequence[Known], names: Sequence[str], labels: np.ndarray, scores: np.ndarray
) -> Predictions:
    """Rows with identity, site and device, and with follow-up where there is any.

    names: of the columns of labels (N, C) and scores (N, C); there may be none.
    """
    column = {
        name: np.array([one[name] for one in known], object) for name in (*_IDENTITY, *_TEXTS)
    }
    extra: dict[str, np.ndarray] = {name: column[name] for name in _TEXTS}
    if all(name in known[0] for name in _FOLLOW_UP):
        days = np.array([one[TIME] for one in known], np.float32)
        if not np.isnan(days).all():
            extra |= {TIME: days, EVENT: np.array([one[EVENT] for one in known], np.int8)}
    return Predictions(
        names=tuple(names),
        labels=labels,
        scores=scores,
        record_id=column["record_id"],
        patient_id=column["patient_id"],
        age=np.array(column["age"], np.float64),
        sex=column["sex"],
        extra=extra,
    )
