"""The standardisation of fairseq-signals: interpolation, z-scores, pieces."""

import csv

import numpy as np
import pytest
import scipy.io
from scipy.interpolate import interp1d

from deepecg_jax.signals.contract import STANDARD_LEADS
from deepecg_jax.signals.recording import Recording, SignalError
from deepecg_jax.signals.standard import fairseq
from deepecg_jax.signals.standard.convert import zscore as zscore_windows
from deepecg_jax.signals.synthetic import generate

ECGS = generate(np.arange(3), seed=8).signal


def recording(signal: np.ndarray, rate: float, leads=STANDARD_LEADS) -> Recording:
    return Recording(signal, tuple(leads), rate, "r")


@pytest.mark.parametrize(("rate", "samples"), [(400, 2934), (400, 4096), (250, 2500), (1000, 9999)])
def test_the_grid_keeps_both_ends(rate: int, samples: int) -> None:
    signal = np.random.default_rng(0).normal(size=(samples, 3))
    n = int(samples * 500 / rate)
    expected = interp1d(np.linspace(0, n - 1, samples), signal.T, kind="linear")(np.arange(n)).T
    ours = fairseq.interpolate(signal, rate)
    assert ours.shape == (n, 3) and ours.dtype == np.float64
    np.testing.assert_allclose(ours, expected, atol=1e-12)
    np.testing.assert_array_equal(ours[[0, -1]], signal[[0, -1]])


def test_at_500_hz_nothing_is_interpolated() -> None:
    np.testing.assert_array_equal(fairseq.interpolate(ECGS[0], 500.0), ECGS[0])


def test_z_scores_are_of_the_whole_recording() -> None:
    (first, second) = fairseq.standardize(recording(ECGS[0], 250.0))
    joined = np.concatenate([first.signal, second.signal]).astype(np.float64)
    np.testing.assert_allclose(joined.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(joined.std(0), 1, atol=1e-6)
    assert [window.index for window in (first, second)] == [0, 1]
    assert first.signal.dtype == np.float32 and first.valid_samples == 2500
    whole = fairseq.interpolate(ECGS[0], 250.0).astype(np.float32).reshape(1, 2, 2500, 12)
    other_way = zscore_windows(whole, np.full((1, 2), 2500))[0]
    np.testing.assert_allclose(other_way.reshape(-1, 12), joined, atol=1e-5)


def test_the_tail_is_dropped_and_a_rest_alone_is_refused() -> None:
    signal = fairseq.interpolate(np.concatenate(list(ECGS)), 250.0, 400.0)  # 30 s
    pieces = fairseq.standardize(recording(signal[: int(17.3 * 400)], 400.0), "all")
    assert len(pieces) == 3
    assert len(fairseq.standardize(recording(signal, 400.0), "first")) == 2
    assert len(fairseq.standardize(recording(signal[:2934], 400.0))) == 1
    with pytest.raises(SignalError, match="4.9 s, less than one piece") as caught:
        fairseq.standardize(recording(signal[: int(4.9 * 400)], 400.0))
    assert caught.value.reason == "too_short"


def test_the_first_pieces_are_scaled_by_all_of_the_recording() -> None:
    signal = np.concatenate([ECGS[0], 3 * ECGS[0]])
    first = fairseq.standardize(recording(signal, 250.0), "first")
    every = fairseq.standardize(recording(signal, 250.0), "all")
    assert (len(first), len(every)) == (2, 4)
    np.testing.assert_array_equal(first[1].signal, every[1].signal)
    (alone, _) = fairseq.standardize(recording(ECGS[0], 250.0))
    assert (first[0].signal.std(0) < 0.6 * alone.signal.std(0)).all()


def test_missing_and_flat_leads_are_zero_and_masked() -> None:
    signal = ECGS[0][:, [0, 1, 6, 7, 8]].copy()
    signal[:, 3] = 0.2
    (window, _) = fairseq.standardize(recording(signal, 250.0, ("I", "II", "V1", "V2", "V3")))
    assert window.lead_mask.tolist() == [True] * 7 + [False, True] + [False] * 3
    assert (window.signal[:, ~window.lead_mask] == 0).all()
    assert window.quality["n_derived_leads"] == 4


def test_a_spike_that_is_all_of_a_lead_is_refused() -> None:
    signal = ECGS[0].copy()
    signal[:, 8] = np.random.default_rng(0).normal(size=2500) * 0.01
    signal[700, 8] = 15.0
    with pytest.raises(SignalError, match="a z-score reaches") as caught:
        fairseq.standardize(recording(signal, 250.0))
    assert caught.value.reason == "amplitude"


@pytest.mark.parametrize("rate", [400.0, 500.0])
def test_a_constant_lead_becomes_zero(rate: float) -> None:
    np.testing.assert_array_equal(fairseq.zscore(np.full((50, 2), 0.1)), 0)
    signal = np.full((4096, 2), 0.1, np.float32)
    assert (fairseq.zscore(fairseq.interpolate(signal, rate)) == 0).all()


@pytest.mark.real
def test_code15_has_upstreams_pieces(shared) -> None:
    folder = shared / "data" / "code15"
    with (folder / "meta.csv").open() as file:
        rows = {row["save_file"]: row for row in csv.DictReader(file)}
    expected = {2934: (3667, 1), 4096: (5120, 2)}
    for name, row in rows.items():
        stored = scipy.io.loadmat(folder / "org" / name)
        signal, rate = stored["feats"].T, float(stored["org_sample_rate"].item())
        resampled = fairseq.interpolate(signal, rate)
        pieces = fairseq.pieces(fairseq.zscore(resampled))
        assert (len(resampled), len(pieces)) == expected[len(signal)]
        # upstream's table has each lead's mean and deviation before interpolation
        for lead in range(12):
            assert signal[:, lead].std() == pytest.approx(float(row[f"std_{lead}"]), rel=1e-5)
            assert resampled[:, lead].std() == pytest.approx(float(row[f"std_{lead}"]), rel=0.02)
    assert len(rows) == 10
