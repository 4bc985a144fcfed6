"""Disturbances have the frequencies and amplitudes that they say, and leave padding alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deepecg_jax.errors import UserError
from deepecg_jax.models.wcr.config import WCRConfig
from deepecg_jax.objectives.augmentation.amplitude import random_common_gain
from deepecg_jax.objectives.augmentation.config import ViewConfig, check_views
from deepecg_jax.objectives.augmentation.noise import (
    baseline_wander,
    powerline,
    powerline_interference,
    wander,
)
from deepecg_jax.objectives.augmentation.view import View
from deepecg_jax.signals.contract import SignalContract


def test_the_baseline_wanders_slowly_and_not_too_far() -> None:
    """60 s, so that a hundredth of a hertz can be told."""
    drift = np.asarray(baseline_wander(jax.random.key(0), (40, 6000, 3), 0.6, 100.0))
    assert 0.3 < np.abs(drift).max() <= 0.6
    power = np.square(np.abs(np.fft.rfft(drift * np.hanning(6000)[:, None], axis=1))).sum((0, 2))
    hertz = np.fft.rfftfreq(6000, 0.01)
    inside = (hertz > 0.02) & (hertz < 0.53)
    assert power[inside].sum() > 0.999 * power.sum()
    # three frequencies an ECG, seen by each lead in its own way
    np.testing.assert_allclose(np.linalg.matrix_rank(drift[:, :, :3]), 3)
    assert not np.allclose(drift[0, :, 0], drift[0, :, 1]) and abs(drift.mean()) < 0.01


def test_the_mains_hum_at_their_frequency() -> None:
    hum = np.asarray(powerline_interference(jax.random.key(0), (30, 500, 12), 0.2, 60, 250.0))
    spectrum = np.abs(np.fft.rfft(hum, axis=1)) / 250
    assert (spectrum.argmax(1) == 120).all()  # of half hertz
    sizes = spectrum[:, 120]
    assert sizes.max() <= 0.2 + 1e-4 and sizes.mean() == pytest.approx(0.1, abs=0.01)
    phases = np.angle(np.fft.rfft(hum, axis=1)[:, 120])
    assert np.ptp(phases[:, 0]) > 3
    np.testing.assert_allclose(phases, np.broadcast_to(phases[:, :1], phases.shape), atol=0.02)


def test_padding_stays_zero() -> None:
    view = View(jnp.zeros((2, 100, 12)), jnp.ones((2, 12), bool), jnp.array([100, 40]))
    for change in (
        lambda: wander(0.5, 250.0, jax.random.key(0), view),
        lambda: powerline(0.5, 50, 250.0, jax.random.key(0), view),
    ):
        signal = np.asarray(change().signal)
        assert not signal[1, 40:].any() and np.abs(signal[1, :40]).max() > 0.01
        assert np.abs(signal[0, 40:]).max() > 0.01


def test_a_common_gain_keeps_the_proportions_of_the_leads() -> None:
    signal = jax.random.normal(jax.random.key(1), (2000, 4, 3))
    gains = np.asarray(random_common_gain(jax.random.key(0), signal, 0.3) / signal)
    np.testing.assert_allclose(gains, np.broadcast_to(gains[:, :1, :1], gains.shape), rtol=1e-4)
    assert np.log(gains[:, 0, 0]).std() == pytest.approx(0.3, rel=0.05)


def test_what_the_samples_cannot_show_is_refused() -> None:
    config = ViewConfig(powerline_amplitude=0.1, powerline_hertz=50)
    check_views(config, SignalContract(), WCRConfig(), "x")
    slow = SignalContract(sampling_rate=100.0)
    with pytest.raises(
        UserError, match="powerline_hertz=50 cannot be in the ECGs of x, which have"
    ):
        check_views(config, slow, WCRConfig(), "x")
    check_views(ViewConfig(powerline_hertz=60), slow, WCRConfig(), "x")  # it is not wanted
