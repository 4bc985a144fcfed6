"""What makes the vectors of two views agree, and what keeps those of different ECGs apart.

All are float32, over the global batch: with the rows spread over devices, the products of rows
with rows make XLA gather one side, and sums over rows are summed over devices.
"""

import jax
import jax.numpy as jnp

from deepecg_jax.objectives.unit_vectors import unit

Array = jax.Array


def products(x: Array, y: Array) -> Array:
    """All products of rows, (A, d), (B, d) -> (A, B)."""
    return jnp.matmul(x, y.T, precision="highest")


def nt_xent(views: Array, temperature: float) -> Array:
    """Normalised temperature-scaled cross-entropy (SimCLR, Chen et al. 2020), a scalar.

    views: (2 B, d), the two views of an ECG one after the other. Each has to find its other among
    the 2 B - 1 views that are not itself.
    """
    views = unit(views)
    others = views.reshape(-1, 2, views.shape[1])[:, ::-1].reshape(views.shape)
    logits = products(views, views) / temperature
    itself = jnp.eye(views.shape[0], dtype=bool)
    own = jnp.sum(views * others, -1) / temperature
    return jnp.mean(jax.nn.logsumexp(jnp.where(itself, -jnp.inf, logits), -1) - own)


def distance(x: Array, y: Array) -> Array:
    """Mean squared distance of unit vectors, 2 - 2 cos, (B, d), (B, d) -> scalar (BYOL, equation
    2 of Grill et al. 2020).
    """
    return 2.0 - 2.0 * jnp.mean(jnp.sum(unit(x) * unit(y), -1))


def coding_rate(x: Array, precision: float) -> Array:
    """log det(I + d / (B epsilon^2) Z^T Z) / 2 of unit vectors Z, (B, d) -> scalar.

    Nats to code a vector up to ``precision`` (Yu et al. 2020, used by SimDINO: Wu et al. 2025); it
    is large where the vectors fill all directions and small where they are alike.
    """
    x = unit(x)
    rows, width = x.shape
    covariance = jnp.matmul(x.T, x, precision="highest")
    scaled = jnp.eye(width) + width / (rows * precision**2) * covariance
    # positive definite: the determinant is the square of the product of a Cholesky diagonal
    return jnp.sum(jnp.log(jnp.diagonal(jnp.linalg.cholesky(scaled))))
