"""The turned heart: rotations are rotations, and leads are those of the turned dipole."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from deepecg_jax.errors import UserError
from deepecg_jax.models.wcr.config import WCRConfig
from deepecg_jax.objectives.augmentation.config import ViewConfig, check_views
from deepecg_jax.objectives.augmentation.vectorcardiogram import (
    random_dipole_matrix,
    turned,
    vectorcardiogram,
)
from deepecg_jax.objectives.augmentation.view import View
from deepecg_jax.signals.contract import SignalContract
from deepecg_jax.signals.synthetic.leadfield import LEAD_FIELD


def dipole_ecgs(rows: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Dipoles (B, T, 3) and the leads (B, T, 12) that they make."""
    dipole = np.random.default_rng(0).normal(size=(rows, 20, 3))
    return dipole, dipole @ LEAD_FIELD.T


def test_leads_are_those_of_the_turned_dipole() -> None:
    dipole, signal = dipole_ecgs()
    turns = np.stack(
        [2.0 * Rotation.from_euler("xyz", [10 * i, 20, 5]).as_matrix() for i in (1, 2, 3)]
    )
    found = turned(jnp.asarray(signal, jnp.float32), jnp.asarray(turns, jnp.float32))
    expected = np.einsum("bij,btj->bti", turns, dipole) @ LEAD_FIELD.T
    np.testing.assert_allclose(found, expected, atol=2e-5)
    same = turned(jnp.asarray(signal, jnp.float32), jnp.broadcast_to(jnp.eye(3), (3, 3, 3)))
    np.testing.assert_allclose(same, signal, atol=1e-5)


def test_the_matrices_are_scaled_rotations() -> None:
    plain = np.asarray(random_dipole_matrix(jax.random.key(0), 500, 45.0, 1.0))
    gram = plain @ plain.transpose(0, 2, 1)
    np.testing.assert_allclose(gram, np.broadcast_to(np.eye(3), gram.shape), atol=1e-5)
    np.testing.assert_allclose(np.linalg.det(plain), 1.0, atol=1e-5)
    # about z first, then y, then x: scipy's extrinsic angles
    angles = Rotation.from_matrix(plain).as_euler("zyx", degrees=True)
    assert 43 < np.abs(angles).max() <= 45 + 1e-3 and (np.abs(angles.mean(0)) < 5).all()
    scaled = np.asarray(random_dipole_matrix(jax.random.key(0), 500, 45.0, 1.5))
    factors = np.linalg.norm(scaled, axis=2)
    np.testing.assert_allclose(scaled, factors[:, :, None] * plain, atol=1e-5)
    assert 1.0 <= factors.min() < 1.05 and 1.45 < factors.max() <= 1.5 + 1e-5


def test_ecgs_without_all_leads_stay_as_they_are() -> None:
    signal = jax.random.normal(jax.random.key(1), (3, 20, 12)).at[:, 15:].set(0.0)
    mask = jnp.ones((3, 12), bool).at[1, 8].set(False).at[2, 3].set(False)  # V3; aVR
    view = View(signal, mask, jnp.full(3, 15))
    found = vectorcardiogram(45.0, 1.5, jax.random.key(0), view)
    np.testing.assert_array_equal(found.signal[1], signal[1])
    assert not np.allclose(found.signal[0], signal[0]) and not np.allclose(
        found.signal[2], signal[2]
    )
    np.testing.assert_array_equal(found.signal[:, 15:], 0.0)
    np.testing.assert_array_equal(found.lead_mask, mask)
    limb = np.asarray(found.signal[0])
    np.testing.assert_allclose(limb[:, 2], limb[:, 1] - limb[:, 0], atol=1e-5)


@pytest.mark.parametrize(
    "wrong", [{"leads": ("II", "I")}, {"scaling": "fairseq"}], ids=["order", "scale"]
)
def test_it_needs_the_standard_leads_on_one_scale(wrong: dict[str, object]) -> None:
    config, contract = ViewConfig(dipole_scaling=1.2), SignalContract()
    check_views(config, contract, WCRConfig(), "x")
    other = replace(contract, **wrong)
    check_views(ViewConfig(noise_deviation=1), other, WCRConfig(), "x")
    with pytest.raises(
        UserError, match="rotation_degrees and dipole_scaling need the twelve leads"
    ):
        check_views(config, other, WCRConfig(), "x")
