"""Resampling: pass band, stop band, ends, length; scipy is the oracle where it applies."""

import numpy as np
import pytest
from scipy.signal import resample_poly

from deepecg_jax.signals.recording import SignalError
from deepecg_jax.signals.resample import resample, resampled_length

RATES = [500, 1000, 400, 257, 360, 499.7, 977, 250, 240, 128]


def sine(frequency: float, rate: float, n_samples: int, phase: float = 0.4) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * np.arange(n_samples) / rate + phase)[:, None]


@pytest.mark.parametrize("rate", RATES)
def test_a_20_hz_sine_is_kept_at_its_time(rate):
    n_samples = round(10 * rate)
    out = resample(sine(20, rate, n_samples), rate, 250)
    assert out.shape == (resampled_length(n_samples, rate, 250), 1)
    assert out.dtype == np.float32
    inside = slice(50, -50)
    np.testing.assert_allclose(out[inside], sine(20, 250, len(out))[inside], atol=0.002)


@pytest.mark.parametrize("rate", [500, 1000, 400, 257, 360])
def test_a_20_hz_sine_is_kept_to_one_per_cent_up_to_the_ends(rate):
    out = resample(sine(20, rate, round(10 * rate)), rate, 250)
    np.testing.assert_allclose(out, sine(20, 250, len(out)), atol=0.01)


@pytest.mark.parametrize(
    ("rate", "frequency"),
    [
        (500, 200),
        (500, 130),
        (500, 249),
        (1000, 130),
        (1000, 480),
        (400, 150),
        (360, 140),
        (257, 127),
    ],
)
def test_what_250_hz_cannot_hold_vanishes(rate, frequency):
    out = resample(sine(frequency, rate, 10 * rate), rate, 250)[50:-50]
    level = 20 * np.log10(np.sqrt(np.mean(out**2)) * np.sqrt(2))
    assert level < -50


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("seconds", [10, 0.02])
def test_an_offset_passes_without_transient(rate, seconds):
    signal = np.full((max(1, round(seconds * rate)), 3), -7.25)
    out = resample(signal, rate, 250)
    np.testing.assert_allclose(out, -7.25, atol=1e-5)


def test_a_slow_drift_passes_without_transient_at_the_ends():
    signal = np.linspace(-3, 5, 5000)[:, None]
    out = resample(signal, 500, 250)
    np.testing.assert_allclose(out, signal[::2], atol=1e-4)


def test_agrees_with_scipy_in_the_pass_band():
    rng = np.random.default_rng(0)
    frequencies = rng.uniform(1, 60, 8)
    signal = np.sum([sine(f, 500, 5000, rng.uniform(0, 6)) for f in frequencies], axis=0)
    oracle = resample_poly(signal, 1, 2, axis=0, window=("kaiser", 8.0))
    difference = (resample(signal, 500, 250) - oracle)[100:-100]
    assert np.abs(difference).max() < 0.01


@pytest.mark.parametrize("n_samples", [1, 2, 7, 499, 500, 501, 5000, 5001, 38400])
@pytest.mark.parametrize("rate", [500, 257, 100.5])
def test_length_is_the_rounded_ratio(n_samples, rate):
    out = resample(np.zeros((n_samples, 2)), rate, 250)
    assert len(out) == round(n_samples * 250 / rate)


def test_leads_do_not_mix_and_order_of_calls_does_not_matter():
    signal = np.random.default_rng(1).normal(size=(5000, 12)).astype(np.float32)
    together = resample(signal, 500, 250)
    alone = np.concatenate([resample(signal[:, [lead]], 500, 250) for lead in range(12)], axis=1)
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_equal_rates_copy():
    signal = np.random.default_rng(1).normal(size=(100, 2)).astype(np.float32)
    out = resample(signal, 250, 250)
    np.testing.assert_array_equal(out, signal)
    assert not np.shares_memory(out, signal)


def test_empty_signal():
    assert resample(np.zeros((0, 12)), 500, 250).shape == (0, 12)


@pytest.mark.parametrize("rate", [0, -500, float("nan"), float("inf"), 49.9, 40_001, None, "500"])
def test_implausible_rates_are_refused(rate):
    with pytest.raises(SignalError, match="sampling rate") as caught:
        resample(np.zeros((5000, 12)), rate, 250)
    assert caught.value.reason == "unknown_rate"
