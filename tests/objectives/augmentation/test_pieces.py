"""Pieces at another speed and cut-outs: what is left is the ECG, and padding stays padding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import ValidationError

from deepecg_jax.errors import UserError
from deepecg_jax.models.wcr.config import WCRConfig
from deepecg_jax.objectives.augmentation.config import ViewConfig, check_views
from deepecg_jax.objectives.augmentation.pieces import (
    cutout,
    lead_cutout,
    random_scaled_crop,
    random_spans,
)
from deepecg_jax.objectives.augmentation.view import View
from deepecg_jax.signals.contract import SignalContract


def test_a_piece_runs_faster_or_slower() -> None:
    """Of a straight line it is a straight line of another slope, inside the ECG."""
    line = jnp.broadcast_to(jnp.arange(100.0)[None, :, None], (400, 100, 2))
    pieces, valid = random_scaled_crop(jax.random.key(0), line, 60, 0.5)
    assert pieces.shape == (400, 60, 2) and valid is None
    steps = np.diff(np.asarray(pieces), axis=1)
    speed = steps.mean((1, 2))
    np.testing.assert_allclose(steps, np.broadcast_to(speed[:, None, None], steps.shape), atol=1e-4)
    assert 1 / 1.5 - 1e-3 < speed.min() < 0.7 and 1.45 < speed.max() < 1.5 + 1e-3
    assert np.median(speed) == pytest.approx(1.0, abs=0.06)  # as often slower as faster
    assert pieces.min() >= 0 and pieces.max() <= 99
    assert len(set(np.asarray(pieces[:, 0, 0]).round(3).tolist())) > 390


def test_it_interpolates_between_the_samples() -> None:
    wave = np.random.default_rng(0).normal(size=(1, 80, 1)).astype(np.float32)
    index = jnp.broadcast_to(jnp.arange(80.0)[None, :, None], wave.shape)
    key = jax.random.key(3)
    places = np.asarray(random_scaled_crop(key, index, 40, 0.3)[0])[0, :, 0]
    piece = np.asarray(random_scaled_crop(key, jnp.asarray(wave), 40, 0.3)[0])[0, :, 0]
    np.testing.assert_allclose(piece, np.interp(places, np.arange(80), wave[0, :, 0]), atol=1e-3)


def test_a_piece_of_a_padded_ecg_has_padding_only_where_the_ecg_ends() -> None:
    samples = jnp.array([100, 60, 30, 1, 0])
    inside = (jnp.arange(100)[None, :] < samples[:, None]).astype(jnp.float32)[..., None]
    for seed in range(8):
        pieces, valid = random_scaled_crop(jax.random.key(seed), inside, 50, 0.4, samples)
        assert valid is not None
        found = np.asarray(valid)
        assert found[0] == 50 and 60 / 1.4 - 1 < found[1] <= 50
        assert 30 / 1.4 - 1 < found[2] < 30 * 1.4 + 1 and found[3] == 1 and found[4] == 0
        np.testing.assert_array_equal(pieces[..., 0], np.arange(50) < found[:, None])


def test_more_than_there_is_cannot_be_shown() -> None:
    with pytest.raises(ValueError, match="80 samples at 1.3 times the speed are not in 100"):
        random_scaled_crop(jax.random.key(0), jnp.zeros((1, 100, 1)), 80, 0.3)


def test_spans_lie_in_the_ecg_and_everywhere() -> None:
    spans = np.asarray(random_spans(jax.random.key(0), 3000, 20, 4))
    assert (spans.sum(1) == 4).all() and (np.abs(np.diff(spans, axis=1)).sum(1) <= 2).all()
    starts = np.bincount(spans.argmax(1), minlength=17) / 3000
    np.testing.assert_allclose(starts[:17], 1 / 17, atol=0.02)
    padded = np.asarray(random_spans(jax.random.key(0), 200, 20, 4, jnp.full(200, 9)))
    assert (padded.sum(1) == 4).all() and not padded[:, 9:].any()


def test_cut_outs_are_of_all_leads_or_of_a_recorded_one() -> None:
    mask = jnp.ones((50, 12), bool).at[:, 5:].set(False)
    view = View(jnp.ones((50, 30, 12)), mask)
    gone = np.asarray(cutout(7, jax.random.key(0), view).signal) == 0
    assert (gone.sum(1) == 7).all() and (gone == gone[:, :, :1]).all()
    gone = np.asarray(lead_cutout(7, jax.random.key(0), view).signal) == 0
    leads = gone.any(1)
    assert (gone.sum((1, 2)) == 7).all() and (leads.sum(1) == 1).all()
    assert leads[:, :5].any(0).all() and not leads[:, 5:].any()


def test_speed_needs_a_piece_with_room() -> None:
    contract, model = SignalContract(), WCRConfig()
    with pytest.raises(ValidationError, match="time_scaling=0.1 takes more or less of an ECG"):
        ViewConfig(time_scaling=0.1)
    check_views(ViewConfig(time_scaling=0.1, crop_seconds=9.08), contract, model, "x")
    with pytest.raises(UserError, match="crop_seconds=9.2 with time_scaling=0.1 .* at most 9.088."):
        check_views(ViewConfig(time_scaling=0.1, crop_seconds=9.2), contract, model, "x")
    line = jnp.zeros((1, 2500, 1))
    assert random_scaled_crop(jax.random.key(0), line, round(9.088 * 250), 0.1)[0].shape[1] == 2272


@pytest.mark.parametrize(("name", "seconds"), [("cutout", 5.0), ("lead_cutout", 0.001)])
def test_a_cut_out_leaves_something_and_takes_something(name: str, seconds: float) -> None:
    config = ViewConfig.model_validate({f"{name}_seconds": seconds, "crop_seconds": 5.0})
    with pytest.raises(
        UserError, match=f"objective.view.{name}_seconds={seconds:g} is .* of 1250;"
    ):
        check_views(config, SignalContract(), WCRConfig(), "x", "objective.view")
