"""Reconstruction of what was hidden: whole leads, and all leads of hidden tokens."""

import jax
import jax.numpy as jnp

Array = jax.Array


def lead_reconstruction_loss(
    predicted: Array, clean: Array, recorded: Array, survivors: Array, masked: Array
) -> Array:
    """Mean square error over the hidden part of the signal, in units of each lead's deviation.

    predicted: (B, N, S * L), S samples a token; clean: (B, T, L) millivolts, T >= N * S.
    recorded, survivors: (B, L) bool, leads that exist and leads that were shown.
    masked: (B, N) bool, tokens that were hidden.

    The target is each segment's lead with zero mean and unit variance, so leads of low voltage
    count as much as others (He et al. 2022 normalise patches for the same reason).
    """
    batch, n_tokens, _ = predicted.shape
    leads = clean.shape[-1]
    samples = predicted.shape[-1] // leads
    target = clean - clean.mean(1, keepdims=True)
    deviation = jnp.sqrt(jnp.mean(target * target, 1, keepdims=True))
    target = target / jnp.maximum(deviation, 0.01)
    target = target[:, : n_tokens * samples].reshape(batch, n_tokens, samples, leads)
    error = jnp.square(
        predicted.astype(jnp.float32).reshape(batch, n_tokens, samples, leads) - target
    ).mean(2)  # (B, N, L)
    hidden = recorded[:, None, :] & (masked[..., None] | ~survivors[:, None, :])
    return jnp.sum(error * hidden) / jnp.maximum(hidden.sum(), 1)
