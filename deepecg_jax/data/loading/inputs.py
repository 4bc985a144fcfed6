"""From a data config to the records and host batches of a run."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc

from deepecg_jax.data.loading.config import DataConfig
from deepecg_jax.data.loading.records import BYTES_AN_ECG, ArrayRecords, Records, Selected
from deepecg_jax.data.shards.selection import positions_where
from deepecg_jax.data.shards.split import Split, open_split
from deepecg_jax.errors import UserError
from deepecg_jax.labels.select import select_labels
from deepecg_jax.signals.contract import SignalContract, require_same


@dataclass(frozen=True)
class LabelledSplit:
    """A split with the chosen labels as columns beside the signals."""

    records: Selected
    labels: np.ndarray  # (n, C) int8: 1, 0, -1 unknown
    names: tuple[str, ...]
    split: Split
    positions: np.ndarray

    @property
    def valid_samples(self) -> np.ndarray:
        """Samples of each record before its zero padding, (n,)."""
        return self.split.valid_samples[self.positions]


def pretraining_sources(
    config: DataConfig, seed: int, columns: Collection[str], whole: bool
) -> tuple[list[Selected], list[float], SignalContract, int]:
    """Sources with ``signal`` and ``lead_mask``, shares, contract, and how many were left out.

    columns: what the objective reads beside these: ``patient``, a number of each patient.
    whole: zero-padded ECGs are left out; otherwise, where a data set has any, all records carry
        ``valid_samples``.
    """
    unknown = sorted(set(columns) - {"patient"})
    if unknown:
        raise ValueError(f"there is no column {', '.join(unknown)} to pretrain with")
    names = [config.dataset, *config.mix]
    shares = [1.0 - sum(config.mix.values()), *config.mix.values()]
    chosen: list[tuple[Split, np.ndarray]] = []
    padded = 0
    contract: SignalContract | None = None
    for name in names:
        split = open_split(config.dir, name, config.train_split)
        if contract is None:
            contract = split.contract
        require_same(contract, split.contract, names[0], name)
        keep = chosen_records(split, config.label_share, seed, config.where, config.nested_shares)
        is_whole = split.valid_samples[keep] == split.contract.n_samples
        padded += int((~is_whole).sum())
        if whole:
            keep = keep[is_whole]
        if not len(keep):
            raise UserError(
                f"every ECG of {config.dir}/{name}, split {config.train_split}, is zero-padded; "
                "the objective needs whole ones."
            )
        chosen.append((split, keep))
    assert contract is not None
    sources: list[Selected] = []
    first_patient = 0
    for split, keep in chosen:
        extra: dict[str, np.ndarray] = {}
        if "patient" in columns:
            numbers, count = patient_numbers(split)
            extra["patient"] = (numbers[keep] + first_patient).astype(np.int32)
            first_patient += count
        if padded and not whole:
            extra["valid_samples"] = split.valid_samples[keep]
        sources.append(
            Selected(maybe_cached(split, config.cache_gb), keep, ("signal", "lead_mask"), extra)
        )
    return sources, shares, contract, padded if whole else 0


def labelled_split(
    config: DataConfig, split_name: str, labels: tuple[str, ...], share: float, seed: int
) -> LabelledSplit:
    """The records of a split with a column of the chosen labels.

    Where an ECG of the split is zero-padded, the records also carry ``valid_samples``.
    """
    split = open_split(config.dir, config.dataset, split_name)
    names, columns = select_labels(labels, split.label_names, f"{config.dir}/{config.dataset}")
    keep = chosen_records(split, share, seed, config.where, config.nested_shares)
    chosen = split.labels[keep][:, columns]
    columns_of = {"labels": chosen}
    valid = split.valid_samples[keep]
    if (valid < split.contract.n_samples).any():
        columns_of["valid_samples"] = valid
    records = Selected(
        maybe_cached(split, config.cache_gb), keep, ("signal", "lead_mask"), columns_of
    )
    return LabelledSplit(records, chosen, names, split, keep)


def chosen_records(
    split: Split, share: float, seed: int, where: tuple[str, ...] = (), nested: bool = False
) -> np.ndarray:
    """Positions of the records of a random ``share`` of the patients that fulfil ``where``."""
    of_patients = patients_subset(split, share, seed, nested)
    keep = np.intersect1d(of_patients, positions_where(split, where))
    if not len(keep):
        raise UserError(
            f"No ECG of the chosen {share:.3g} of the patients of {split.folder}, split "
            f"{split.name}, fulfils {' and '.join(where)}."
        )
    return keep


def patients_subset(split: Split, share: float, seed: int, nested: bool = False) -> np.ndarray:
    """Positions of the records of a random ``share`` of the patients (all for 1).

    nested: the patients of a smaller share are among those of a larger one with the same seed.
    """
    if share == 1.0:
        return np.arange(len(split))
    numbers, patients = patient_numbers(split)
    count = max(1, round(share * patients))
    draws = np.random.default_rng(seed)
    if nested:
        chosen = draws.permutation(patients)[:count]
    else:
        chosen = draws.choice(patients, count, replace=False)
    return np.flatnonzero(np.isin(numbers, chosen))


def patient_numbers(split: Split) -> tuple[np.ndarray, int]:
    """A number of each ECG's patient, by the order of their ids, (n,) int32; and how many.

    In Arrow: ten million ids as Python texts would take gigabytes.
    """
    column = split.index["patient_id"].dictionary_encode().combine_chunks()
    order = pc.call_function("array_sort_indices", [column.dictionary]).to_numpy()
    number = np.empty(len(order), np.int32)
    number[order] = np.arange(len(order), dtype=np.int32)
    return number[column.indices.to_numpy()], len(order)


def maybe_cached(split: Split, cache_gb: float) -> Records:
    """The split's signals in memory if they fit, else the shards themselves, without the index.

    The index of ten million ECGs takes gigabytes, and nobody who reads signals asks it.
    """
    if len(split) * BYTES_AN_ECG > cache_gb * 1e9:
        return split.without_index()
    return ArrayRecords(split.load(("signal", "lead_mask")))


def fingerprint(records: Selected) -> dict[str, int | str]:
    """What must be equal where several processes read the same records."""
    digest = hashlib.sha256(records.positions.astype(np.int64).tobytes())
    for name, values in sorted(records.columns.items()):
        digest.update(name.encode() + np.ascontiguousarray(values).tobytes())
    return {"ECGs": len(records), "sha256 of patients or labels": digest.hexdigest()[:16]}
