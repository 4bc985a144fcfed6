"""Contrastive multi-segment coding (CLOCS, Kiyasseh et al. 2021) over the global batch."""

import jax
import jax.numpy as jnp

Array = jax.Array


def cmsc_loss(
    first: Array, second: Array, patient: Array, temperature: float, detach_norm: bool = True
) -> Array:
    """Segments of one patient attract, those of different patients repel; scalar.

    first, second: (B, D) pooled representations of the two halves of each ECG.
    patient: (B,) int; every pair with equal patients is a positive, also across ECGs.
    detach_norm: the original takes no gradient through the norms.

    Under jit with the batch sharded this is the loss over the global batch: the product of the
    two halves makes XLA gather one side. It is in float32 also where the platform would round
    its operands.
    """
    first, second = _normalise(first, detach_norm), _normalise(second, detach_norm)
    logits = jnp.matmul(first, second.T, precision="highest") / temperature
    positive = (patient[:, None] == patient[None, :]).astype(jnp.float32)
    n_positive = positive.sum()
    rows = jnp.sum(positive * jax.nn.log_softmax(logits, 1)) / n_positive
    columns = jnp.sum(positive * jax.nn.log_softmax(logits, 0)) / n_positive
    return -0.5 * (rows + columns)


def _normalise(x: Array, detach: bool) -> Array:
    x = x.astype(jnp.float32)
    norm = jnp.sqrt(jnp.maximum(jnp.sum(x * x, -1, keepdims=True), 1e-16))
    return x / (jax.lax.stop_gradient(norm) if detach else norm)
