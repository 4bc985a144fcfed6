"""What happens to a batch on the device before the encoder."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from deepecg_jax.objectives.augmentation import drop_leads, mixup, random_crop
from deepecg_jax.objectives.batch import random_lead_mask, split_segments, to_millivolts

from deepecg_jax.objectives.wcr.reconstruction import lead_reconstruction_loss


def test_microvolts_become_millivolts():
    stored = jnp.array([[-1500, 250]], jnp.int16)
    np.testing.assert_allclose(to_millivolts(stored), [[-1.5, 0.25]], rtol=1e-6)
    assert float(to_millivolts(jnp.array(0.7))) == pytest.approx(0.7)


def test_segments_are_the_halves():
    x = jnp.arange(2 * 10 * 1).reshape(2, 10, 1)
    parts = split_segments(x)
    np.testing.assert_array_equal(parts[:2, :, 0], x[:, :5, 0])
    np.testing.assert_array_equal(parts[2:, :, 0], x[:, 5:, 0])


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


def test_reconstruction_counts_only_what_was_hidden():
    key = jax.random.key(0)
    clean = jax.random.normal(key, (1, 32, 2))
    recorded = jnp.array([[True, True]])
    survivors = jnp.array([[True, False]])
    masked = jnp.array([[True, False]])
    centred = clean - clean.mean(1, keepdims=True)
    target = (centred / centred.std(1, keepdims=True)).reshape(1, 2, 16, 2)
    perfect = target.reshape(1, 2, 32)
    loss = lambda p: float(lead_reconstruction_loss(p, clean, recorded, survivors, masked))  # noqa: E731
    assert loss(perfect) == pytest.approx(0.0, abs=1e-10)
    # token 1 of lead 0 was visible: errors there are free
    visible = target.at[:, 1, :, 0].add(3.0).reshape(1, 2, 32)
    assert loss(visible) == pytest.approx(0.0, abs=1e-10)
    # three token-leads were hidden; an error of 3 in one of them is 9 / 3
    hidden = target.at[:, 1, :, 1].add(3.0).reshape(1, 2, 32)
    assert loss(hidden) == pytest.approx(3.0, rel=1e-5)
