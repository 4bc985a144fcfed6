"""What happens to a batch on the device before the encoder: views, segments, leads."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deepecg_jax.errors import UserError
from deepecg_jax.models.wcr.config import WCRConfig
from deepecg_jax.objectives.augmentation.amplitude import random_gain
from deepecg_jax.objectives.augmentation.apply import changes_of, viewed, viewed_batch
from deepecg_jax.objectives.augmentation.config import LabelledViewConfig, ViewConfig, check_views
from deepecg_jax.objectives.augmentation.leads import drop_leads, random_lead_mask
from deepecg_jax.objectives.augmentation.mixing import mixup
from deepecg_jax.objectives.augmentation.noise import white_noise
from deepecg_jax.objectives.augmentation.pieces import random_crop
from deepecg_jax.objectives.augmentation.view import View, change_key, named_key
from deepecg_jax.objectives.segments import segments_of, split_segments, to_millivolts
from deepecg_jax.signals.contract import SignalContract


def test_microvolts_become_millivolts():
    stored = jnp.array([[-1500, 250]], jnp.int16)
    np.testing.assert_allclose(to_millivolts(stored), [[-1.5, 0.25]], rtol=1e-6)
    assert float(to_millivolts(jnp.array(0.7))) == pytest.approx(0.7)


@pytest.mark.parametrize("samples", [10, 11])
def test_segments_are_the_halves_of_an_ecg_one_after_the_other(samples):
    x = jnp.arange(3 * samples * 2).reshape(3, samples, 2)
    parts = split_segments(x)
    assert parts.shape == (6, 5, 2)
    np.testing.assert_array_equal(parts[0::2], x[:, :5])
    np.testing.assert_array_equal(parts[1::2], x[:, 5:10])
    for half, first in zip(segments_of(parts), (0, 5), strict=True):
        np.testing.assert_array_equal(half, x[:, first : first + 5])


def test_lead_masking_keeps_one_recorded_lead():
    recorded = jnp.ones((20000, 12), bool).at[:, 3].set(False)
    kept = random_lead_mask(jax.random.key(0), recorded, 0.5, keep_one=True)
    assert bool(kept.any(-1).all()) and not bool(kept[:, 3].any())
    assert float(kept[:, 0].mean()) == pytest.approx(0.5, abs=0.02)
    lost = random_lead_mask(jax.random.key(0), recorded, 0.5, keep_one=False)
    assert 0 < int((~lost.any(-1)).sum()) < 40  # 2**-11 of 20,000
    nothing = random_lead_mask(jax.random.key(0), jnp.zeros((3, 12), bool), 0.5, keep_one=True)
    assert not bool(nothing.any())


def test_crop_is_a_piece_of_the_same_ecg():
    x = jnp.arange(50.0)[None, :, None] + 100.0 * jnp.arange(4)[:, None, None]
    cropped, valid = random_crop(jax.random.key(1), x, 20)
    assert valid is None
    pieces = np.asarray(cropped)[..., 0]
    for i, piece in enumerate(pieces):
        assert (np.diff(piece) == 1).all() and piece[0] // 100 == i
    assert len({piece[0] % 100 for piece in pieces}) > 1


def test_crop_of_a_padded_ecg_has_padding_only_at_its_end():
    samples = jnp.array([50, 30, 12])
    x = (jnp.arange(50)[None, :] < samples[:, None]).astype(jnp.float32)[..., None]
    for seed in range(5):
        pieces, valid = random_crop(jax.random.key(seed), x, 20, samples)
        assert valid is not None and valid.tolist() == [20, 20, 12]
        np.testing.assert_array_equal(pieces[..., 0], np.arange(20) < np.asarray(valid)[:, None])


def test_drop_leads_never_adds_one():
    recorded = jnp.zeros((50, 12), bool).at[:, :4].set(True)
    kept = drop_leads(jax.random.key(2), recorded, 0.3)
    assert not bool(kept[:, 4:].any())
    assert float(kept[:, :4].mean()) == pytest.approx(0.7, abs=0.1)


def test_mixup_keeps_unknown_labels_unknown():
    signal = jnp.stack([jnp.zeros((5, 2)), jnp.ones((5, 2))])
    labels = jnp.array([[1.0, -1.0], [0.0, 1.0]])
    mixed, targets = mixup(jax.random.key(0), signal, labels, 0.4)
    share = float(targets[0, 0])
    assert 0.5 <= share <= 1.0
    np.testing.assert_allclose(mixed[0], 1.0 - share, rtol=1e-5)
    assert (np.asarray(targets)[:, 1] == -1).all()


def view_of(rows: int = 6, time: int = 100) -> View:
    signal = jax.random.normal(jax.random.key(9), (rows, time, 12))
    mask = jnp.ones((rows, 12), bool).at[:, 5].set(False)
    labels = jnp.tile(jnp.array([[1.0, 0.0, -1.0]]), (rows, 1))
    return View(signal, mask, None, labels)


def test_the_changes_of_version_0_1_keep_their_draws():
    """Four parts of one key, in this order: runs of that version repeat."""
    config = LabelledViewConfig(
        crop_seconds=0.2, gain_deviation=0.3, lead_masking=0.4, mixup=0.5, noise_deviation=0.0
    )
    key, view = jax.random.key(3), view_of()
    keys = jax.random.split(key, 4)
    signal, _ = random_crop(keys[0], view.signal, 50)
    signal = random_gain(keys[1], signal, 0.3)
    mask = drop_leads(keys[2], view.lead_mask, 0.4)
    assert view.labels is not None
    signal = jnp.where(mask[:, None], signal, 0.0)
    signal, labels = mixup(keys[3], signal, view.labels, 0.5)
    found = viewed(key, view, changes_of(config, 250.0))
    np.testing.assert_array_equal(found.signal, signal)
    np.testing.assert_array_equal(found.labels, labels)
    assert bool(found.lead_mask.all())  # mixed leads are zero where both were missing


def test_a_change_more_alters_no_other():
    key, view = jax.random.key(3), view_of()
    few = ViewConfig(crop_seconds=0.2, lead_masking=0.4)
    more = few.model_copy(update={"noise_deviation": 0.1})
    a, b = (viewed(key, view, changes_of(config, 250.0)) for config in (few, more))
    np.testing.assert_array_equal(a.lead_mask, b.lead_mask)
    noise = np.asarray(b.signal - a.signal)
    assert noise.std() == pytest.approx(0.1, rel=0.05) and abs(noise.mean()) < 0.01
    assert [*changes_of(more, 250.0)] == ["crop", "noise", "leads"] and not changes_of(
        ViewConfig(), 250.0
    )


def test_keys_follow_names():
    key = jax.random.key(0)
    names = ("crop", "gain", "leads", "mixup", "noise", "wander", "augment")
    data = [tuple(np.asarray(jax.random.key_data(change_key(key, name)))) for name in names]
    assert len(set(data)) == len(names)
    # stable from one process to the next, whatever hash() is there
    expected = jax.random.fold_in(key, 4255749673)
    assert (
        jax.random.key_data(named_key(key, "noise")).tolist()
        == jax.random.key_data(expected).tolist()
    )


def test_noise_leaves_padding_and_missing_leads_alone():
    signal = jnp.zeros((2, 100, 12))
    noisy = white_noise(jax.random.key(0), signal, 0.2, jnp.array([100, 40]))
    assert float(jnp.abs(noisy[1, 40:]).max()) == 0.0 and float(noisy[0].std()) > 0.15


def test_a_batch_of_pretraining_is_changed_and_keeps_its_other_columns():
    batch = {
        "signal": jnp.asarray(np.random.default_rng(0).normal(0, 300, (3, 100, 12)), jnp.int16),
        "lead_mask": jnp.ones((3, 12), bool),
        "patient": jnp.arange(3),
    }
    changes = changes_of(ViewConfig(crop_seconds=0.2, lead_masking=0.4), 250.0)
    found = viewed_batch(jax.random.key(1), batch, changes)
    assert found["signal"].shape == (3, 50, 12) and found["signal"].dtype == jnp.float32
    assert not bool(found["lead_mask"].all()) and found["patient"] is batch["patient"]
    assert "valid_samples" not in found
    padded = {**batch, "valid_samples": jnp.array([100, 30, 60])}
    found = viewed_batch(jax.random.key(1), padded, changes)
    assert found["valid_samples"].tolist() == [50, 30, 50]


@pytest.mark.parametrize(
    ("seconds", "message"),
    [
        (10.01, "crop_seconds=10.01 is longer than the ECGs of data/x, which are 10 s"),
        (60.0, "crop_seconds=60 is longer"),
        (0.04, "leaves 10 samples, less than one token of the encoder .16 samples"),
        (0.001, "leaves 0 samples"),
    ],
)
def test_pieces_that_cannot_be_cut_are_refused(seconds, message):
    contract, model = SignalContract(), WCRConfig()
    for fitting in (ViewConfig(), ViewConfig(crop_seconds=10.0), ViewConfig(crop_seconds=0.064)):
        check_views(fitting, contract, model, "data/x")
    with pytest.raises(UserError, match=message):
        check_views(ViewConfig(crop_seconds=seconds), contract, model, "data/x")
