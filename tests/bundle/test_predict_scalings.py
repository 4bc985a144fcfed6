"""Recording files are brought to the scaling that a bundle was trained with."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ecg_sources import write_wfdb

from deepecg_jax.bundle import bundle as bundles
from deepecg_jax.bundle import ecgs, predict
from deepecg_jax.data.building.build import build
from deepecg_jax.data.shards.selection import positions_where
from deepecg_jax.data.shards.split import open_split
from deepecg_jax.errors import UserError
from deepecg_jax.signals.contract import SignalContract
from deepecg_jax.signals.standard import deepecg, fairseq, site_profile
from deepecg_jax.signals.synthetic import generate

ECGS = generate(np.arange(6), seed=4).signal


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    for number, signal in enumerate(ECGS):
        write_wfdb(tmp_path / f"ecg{number}", signal)
    return [tmp_path / f"ecg{number}" for number in range(len(ECGS))]


def seen_by(contract: SignalContract, files: list[Path], profiles: Any = None) -> list[np.ndarray]:
    """The batches of windows that a bundle with this contract gets."""
    batches: list[np.ndarray] = []

    def scores(windows, protocol, batch_size):
        assert len(windows.valid_samples) == len(windows.signals) == windows.counts.sum()
        batches.append(windows.signals)
        return np.full((len(windows.counts), 1), 0.5, np.float32)

    bundle = SimpleNamespace(signal=contract, labels=("AF",), scores=scores)
    found = predict.predict_records(bundle, files, 2, profiles)  # type: ignore[arg-type]
    assert found.left_out == () and len(found.table) == len(files)
    return batches


def test_deepecg_files_are_one_batch(files, tmp_path, monkeypatch) -> None:
    contract = SignalContract(scaling="deepecg")
    (windows,) = seen_by(contract, files)
    expected, info = deepecg.standardize(np.rint(ECGS * 1000) / 1000)
    np.testing.assert_allclose(windows, expected, atol=2e-6)
    assert abs(info.factor - 1) > 0.01
    monkeypatch.setattr(ecgs, "DEEPECG_BATCH", 3)
    batches = seen_by(contract, files)
    assert [len(batch) for batch in batches] == [3, 3]
    np.testing.assert_allclose(batches[1], deepecg.standardize(ECGS[3:])[0], atol=2e-3)


def test_fairseq_files_are_upstreams_pieces(files, tmp_path) -> None:
    batches = seen_by(fairseq.CONTRACT, files)
    rounded = np.rint(ECGS * 1000) / 1000
    expected = [fairseq.pieces(fairseq.zscore(fairseq.interpolate(ecg, 250.0))) for ecg in rounded]
    np.testing.assert_allclose(np.concatenate(batches), np.concatenate(expected), atol=1e-4)


def test_a_model_of_filtered_ecgs_needs_a_profile(files, tmp_path) -> None:
    contract = SignalContract(filters=("powerline",))
    with pytest.raises(UserError, match="without powerline; give --site-profile"):
        seen_by(contract, files)
    time = np.arange(2500) / 250
    hum = (0.1 * np.sin(2 * np.pi * 50 * time)).astype(np.float32)[:, None]
    profiles = site_profile.fit(ECGS + hum, np.ones((6, 12), bool), [""] * 6)
    batches = seen_by(contract, files, profiles)
    first = site_profile.remove(np.rint(ECGS[0] * 1000) / 1000, profiles.overall, ("powerline",))
    np.testing.assert_allclose(np.concatenate(batches)[0], first, atol=1e-6)
    assert np.abs(first - ECGS[0]).max() > 1e-3


def test_other_z_scores_are_of_the_contracts_windows(files, tmp_path) -> None:
    contract = SignalContract(scaling="fairseq")
    windows = np.concatenate(seen_by(contract, files)).astype(np.float64)
    np.testing.assert_allclose(windows.mean(1), 0, atol=1e-5)
    np.testing.assert_allclose(windows.std(1), 1, atol=1e-5)


def test_only_the_ecgs_asked_for_are_predicted(tmp_path) -> None:
    build("synthetic", tmp_path, options={"n": "60"})
    split = open_split(tmp_path, "synthetic", "train")
    seen: list[np.ndarray] = []

    def scores(windows, protocol, batch_size):
        seen.append(windows.signals)
        return np.full((len(windows.counts), 1), 0.5, np.float32)

    bundle: Any = SimpleNamespace(
        signal=SignalContract(), labels=("Afib",), scores=scores, folder=tmp_path
    )
    chosen = positions_where(split, ["noise < 0.02"])
    table = predict.predict_split(bundle, split, 7, where=["noise < 0.02"]).table
    assert len(table) == len(chosen) < len(split)
    names = [split.index["record_id"][int(i)].as_py() for i in chosen]
    assert table.record_id.tolist() == names
    expected = np.stack([split[int(i)]["signal"] for i in chosen]) * np.float32(1e-3)
    np.testing.assert_array_equal(np.concatenate(seen), expected)


@pytest.mark.parametrize(
    ("contract", "words"),
    [
        (SignalContract(), "Microvolts, ADC counts or z-scores give wrong results."),
        (SignalContract(scaling="deepecg"), "batch by batch as by DeepECG"),
        (fairseq.CONTRACT, "z-score over the whole recording"),
        (SignalContract(filters=("powerline",)), "Without powerline, which a site profile removes"),
    ],
)
def test_the_model_card_says_what_goes_in(tmp_path, save_bundle, contract, words) -> None:
    folder = save_bundle(tmp_path / "b", signal=contract)
    assert words in (folder / "README.md").read_text()
    assert bundles.load(folder).signal == contract
