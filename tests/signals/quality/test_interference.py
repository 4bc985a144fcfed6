"""Noise, baseline wander and powerline interference of one ECG."""

import math

import numpy as np
import pytest

from deepecg_jax.signals.quality.interference import interference, line, power_spectrum
from deepecg_jax.signals.synthetic import generate

ECGS = generate(np.arange(8), seed=4).signal
TIME = np.arange(2500) / 250
QUIET = ECGS[5]  # no line, little noise


def sine(hz: float, mv: float, time: np.ndarray = TIME) -> np.ndarray:
    return (mv * np.sin(2 * np.pi * hz * time + 0.4))[:, None]


def test_the_quiet_ecg_is_quiet() -> None:
    found = interference(QUIET, 250)
    assert found["powerline"] == 0 == found["powerline_amplitude"]
    assert found["noise"] < 0.01 and found["noise"] <= found["worst_noise"]


@pytest.mark.parametrize("deviation", [0.002, 0.02, 0.1])
def test_noise_is_the_standard_deviation_of_white_noise(deviation: float) -> None:
    rng = np.random.default_rng(0)
    pure = interference(rng.normal(size=(2500, 12)) * deviation, 250)
    assert pure["noise"] == pytest.approx(deviation, rel=0.05)
    flat_ecg = np.zeros((2500, 12))
    flat_ecg[::200] = 2.0  # steep waves in a tenth of the blocks do not count
    spiky = interference(flat_ecg + rng.normal(size=(2500, 12)) * deviation, 250)
    assert spiky["noise"] == pytest.approx(deviation, rel=0.1)


def test_the_worst_lead_is_told_apart() -> None:
    signal = QUIET.copy()
    signal[:, 7] += np.random.default_rng(1).normal(size=2500) * 0.2
    found = interference(signal, 250)
    assert found["worst_noise"] == pytest.approx(0.2, rel=0.1) and found["noise"] < 0.02


@pytest.mark.parametrize("hz", [50.0, 60.0])
@pytest.mark.parametrize("mv", [0.02, 0.2])
@pytest.mark.parametrize("off", [0.0, 0.04, -0.1])
def test_a_line_is_found_with_its_amplitude(hz: float, mv: float, off: float) -> None:
    found = interference(QUIET + sine(hz + off, mv), 250)
    assert found["powerline"] == hz
    assert found["powerline_amplitude"] == pytest.approx(mv, rel=0.1)


def test_a_line_that_is_not_there_is_not_found() -> None:
    assert interference(QUIET + sine(55, 0.1), 250)["powerline"] == 0
    assert interference(QUIET + sine(50, 0.002), 250)["powerline"] == 0
    rng = np.random.default_rng(2)
    for _ in range(50):
        assert interference(rng.normal(size=(2500, 12)) * 0.1, 250)["powerline"] == 0


def test_harmonics_of_the_heart_rate_are_no_line() -> None:
    """A perfectly regular rhythm has a comb of lines, one of them at 50 Hz."""
    beat = np.exp(-(((np.arange(2500) % 250) - 60) ** 2) / 2)
    assert interference(np.repeat(beat[:, None], 12, 1), 250)["powerline"] == 0
    spikes = np.zeros((2500, 12))
    spikes[::250] = 3.0
    assert interference(spikes, 250)["powerline"] == 0


def test_the_stronger_of_two_lines_counts() -> None:
    both = QUIET + sine(50, 0.03) + sine(60, 0.06)
    assert interference(both, 250)["powerline"] == 60


def test_wander_is_the_root_mean_square_of_slow_waves() -> None:
    rng = np.random.default_rng(3)
    base = rng.normal(size=(2500, 12)) * 0.005
    found = interference(base + sine(0.3, 0.5), 250)
    assert found["baseline_wander"] == pytest.approx(0.5 / math.sqrt(2), rel=0.02)
    assert interference(base + sine(1.2, 0.5), 250)["baseline_wander"] < 0.01
    assert interference(base + 3.0, 250)["baseline_wander"] < 0.01  # an offset is no wander


def test_what_cannot_be_measured_is_nan() -> None:
    short = interference(QUIET[:600], 250)
    assert math.isnan(short["powerline"]) and math.isnan(short["baseline_wander"])
    assert short["noise"] > 0
    slow = interference(QUIET[::2], 125)
    assert math.isnan(slow["powerline"]) and slow["baseline_wander"] > 0
    assert all(math.isnan(value) for value in interference(QUIET[:, :0], 250).values())


@pytest.mark.parametrize("samples", [1000, 1777, 2500, 2503])
def test_any_length_will_do(samples: int) -> None:
    time = np.arange(samples) / 250
    found = interference(
        QUIET[:1777][:samples].repeat(2, 0)[:samples] * 0.1 + sine(50, 0.1, time), 250
    )
    assert found["powerline"] == 50
    assert found["powerline_amplitude"] == pytest.approx(0.1, rel=0.15)


def test_power_is_mean_square() -> None:
    x = np.random.default_rng(0).normal(size=(3, 1001)).astype(np.float32)
    np.testing.assert_allclose(power_spectrum(x).sum(1), x.var(1), rtol=1e-4)
    assert line(power_spectrum(sine(50, 1.0).T)[0], 0.1, 50) == pytest.approx(1.0, rel=1e-4)
