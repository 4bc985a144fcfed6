"""From a data config to the records and host batches of a run."""

import hashlib
from dataclasses import dataclass

import numpy as np

from deepecg_jax.data.loading.batches import BYTES_AN_ECG, ArrayRecords, Records, Selected
from deepecg_jax.data.loading.config import DataConfig
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


def pretraining_sources(
    config: DataConfig, seed: int
) -> tuple[list[Selected], list[float], SignalContract, int]:
    """Sources (with ``signal``, ``lead_mask`` and a numeric ``patient``), shares, contract.

    Zero-padded ECGs are left out, as the original drops segments that are not whole, and counted
    in the last result.
    """
    names = [config.dataset, *config.mix]
    shares = [1.0 - sum(config.mix.values()), *config.mix.values()]
    sources: list[Selected] = []
    padded = 0
    contract: SignalContract | None = None
    first_patient = 0
    for name in names:
        split = open_split(config.dir, name, config.train_split)
        if contract is None:
            contract = split.contract
        require_same(contract, split.contract, names[0], name)
        keep = chosen_records(split, config.label_share, seed, config.where)
        whole = split.valid_samples[keep] == split.contract.n_samples
        padded += int((~whole).sum())
        keep = keep[whole]
        if not len(keep):
            raise UserError(
                f"every ECG of {config.dir}/{name}, split {config.train_split}, is zero-padded; "
                "pretraining needs two whole segments of each."
            )
        patients = np.asarray(split.index["patient_id"].to_pylist())
        _, numbers = np.unique(patients, return_inverse=True)
        columns = {"patient": (numbers[keep] + first_patient).astype(np.int32)}
        first_patient += int(numbers.max()) + 1
        sources.append(
            Selected(maybe_cached(split, config.cache_gb), keep, ("signal", "lead_mask"), columns)
        )
    assert contract is not None
    return sources, shares, contract, padded


def labelled_split(
    config: DataConfig, split_name: str, labels: tuple[str, ...], share: float, seed: int
) -> LabelledSplit:
    """The records of a split with a column of the chosen labels.

    Where an ECG of the split is zero-padded, the records also carry ``valid_samples``.
    """
    split = open_split(config.dir, config.dataset, split_name)
    names, columns = select_labels(labels, split.label_names, f"{config.dir}/{config.dataset}")
    keep = chosen_records(split, share, seed, config.where)
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
    split: Split, share: float, seed: int, where: tuple[str, ...] = ()
) -> np.ndarray:
    """Positions of the records of a random ``share`` of the patients that fulfil ``where``."""
    keep = np.intersect1d(patients_subset(split, share, seed), positions_where(split, where))
    if not len(keep):
        raise UserError(
            f"No ECG of the chosen {share:.3g} of the patients of {split.folder}, split "
            f"{split.name}, fulfils {' and '.join(where)}."
        )
    return keep


def patients_subset(split: Split, share: float, seed: int) -> np.ndarray:
    """Positions of the records of a random ``share`` of the patients (all for 1)."""
    if share == 1.0:
        return np.arange(len(split))
    patients = np.asarray(split.index["patient_id"].to_pylist())
    unique = np.unique(patients)
    count = max(1, round(share * len(unique)))
    chosen = np.random.default_rng(seed).choice(unique, count, replace=False)
    return np.flatnonzero(np.isin(patients, chosen))


def maybe_cached(split: Split, cache_gb: float) -> Records:
    """The split's signals in memory if they fit, else the shards themselves."""
    if len(split) * BYTES_AN_ECG > cache_gb * 1e9:
        return split
    return ArrayRecords(split.load(("signal", "lead_mask")))


def fingerprint(records: Selected) -> dict[str, int | str]:
    """What must be equal where several processes read the same records."""
    digest = hashlib.sha256(records.positions.astype(np.int64).tobytes())
    for name, values in sorted(records.columns.items()):
        digest.update(name.encode() + np.ascontiguousarray(values).tobytes())
    return {"ECGs": len(records), "sha256 of patients or labels": digest.hexdigest()[:16]}
