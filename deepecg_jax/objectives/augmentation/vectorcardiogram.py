"""Rotation and scaling of the heart's dipole, seen by the same twelve leads (3KG).

Source: Gopal et al. 2021, "3KG: Contrastive Learning of 12-Lead Electrocardiograms using
Physiologically-Inspired Augmentations"; the matrices are those of `signals.vectorcardiogram`.
"""

import jax
import jax.numpy as jnp

from deepecg_jax.objectives.augmentation.view import View
from deepecg_jax.signals.vectorcardiogram import DOWER, FROM_INDEPENDENT, INDEPENDENT, INVERSE_DOWER

Array = jax.Array


def vectorcardiogram(degrees: float, scaling: float, key: Array, view: View) -> View:
    """Random rotation and scaling of the vectorcardiogram; see `turned`.

    An ECG that lacks one of the eight independent leads stays as it is.
    """
    complete = view.lead_mask[:, jnp.array(INDEPENDENT)].all(-1)
    matrix = random_dipole_matrix(key, view.signal.shape[0], degrees, scaling)
    signal = jnp.where(complete[:, None, None], turned(view.signal, matrix), view.signal)
    return view._replace(signal=signal)


def random_dipole_matrix(key: Array, rows: int, degrees: float, scaling: float) -> Array:
    """Rotations about z, y and x, one after another, then a factor on each axis, (rows, 3, 3).

    The angles are U(-degrees, degrees), the factors U(1, scaling), as in the authors' recipe.
    """
    angle_key, scale_key = jax.random.split(key)
    most = jnp.deg2rad(degrees)
    angles = jax.random.uniform(angle_key, (rows, 3), minval=-most, maxval=most)
    scales = jax.random.uniform(scale_key, (rows, 3), minval=1.0, maxval=scaling)
    cosine, sine = jnp.cos(angles), jnp.sin(angles)
    zero, one = jnp.zeros(rows), jnp.ones(rows)

    def matrix(*entries: Array) -> Array:
        return jnp.stack(entries, -1).reshape(rows, 3, 3)

    (cx, cy, cz), (sx, sy, sz) = cosine.T, sine.T
    about_x = matrix(one, zero, zero, zero, cx, -sx, zero, sx, cx)
    about_y = matrix(cy, zero, sy, zero, one, zero, -sy, zero, cy)
    about_z = matrix(cz, -sz, zero, sz, cz, zero, zero, zero, one)
    with jax.default_matmul_precision("highest"):
        return scales[:, :, None] * (about_x @ about_y @ about_z)


def turned(signal: Array, matrix: Array) -> Array:
    """Twelve leads to the dipole, ``matrix`` (B, 3, 3) of it, back to twelve leads, (B, T, 12).

    What a dipole does not explain of an ECG is lost on the way, as in the paper. Zero stays zero.
    """
    to_dipole = jnp.zeros((3, 12)).at[:, jnp.array(INDEPENDENT)].set(INVERSE_DOWER)
    to_leads = jnp.asarray(FROM_INDEPENDENT @ DOWER, jnp.float32)
    with jax.default_matmul_precision("highest"):
        whole = to_leads @ matrix @ to_dipole  # (B, 12, 12)
        return jnp.einsum("btl,bml->btm", signal, whole)
