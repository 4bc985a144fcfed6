"""Reconstruction of what was hidden of a signal: targets, and errors that count there only.

A patch is what one token stands for of one lead. Patches of low voltage count as much as others
where the target is normalised (He et al. 2022), but then no amplitude is learned.
"""

import jax
import jax.numpy as jnp

Array = jax.Array
PATCH_EPSILON = 1e-6
"""Added to the variance of a patch, square millivolts."""
LEAST_DEVIATION = 0.01
"""Of a lead that is divided by its deviation, millivolts."""


def patches_of(signal: Array, n_tokens: int, samples: int) -> Array:
    """(B, T, L) -> (B, n, S, L), ``samples`` S for each of ``n_tokens`` tokens of all leads.

    A signal that is shorter than they reach is continued by zeros (`whole_patches`).
    """
    missing = max(0, n_tokens * samples - signal.shape[1])
    padded = jnp.pad(signal, ((0, 0), (0, missing), (0, 0)))
    return padded[:, : n_tokens * samples].reshape(len(signal), n_tokens, samples, -1)


def whole_patches(n_samples: int, n_tokens: int, samples: int, valid: Array | None) -> Array:
    """Which patches lie within the recorded samples, (B or 1, n) bool.

    valid: (B,) samples before zero padding, or None: all of ``n_samples`` are.
    """
    ends = samples * (1 + jnp.arange(n_tokens))
    recorded = jnp.full((1,), n_samples) if valid is None else valid
    return ends <= recorded[:, None]


def standardised_leads(signal: Array, valid: Array | None = None) -> Array:
    """Each lead of each ECG with zero mean and unit variance, (B, T, L) -> (B, T, L).

    valid: (B,) samples before zero padding, which count for neither; None: none is padding.
    """
    if valid is None:
        centred = signal - signal.mean(1, keepdims=True)
        deviation = jnp.sqrt(jnp.mean(centred * centred, 1, keepdims=True))
    else:
        recorded = (jnp.arange(signal.shape[1]) < valid[:, None])[..., None]
        count = jnp.maximum(valid, 1)[:, None, None]
        mean = jnp.sum(signal * recorded, 1, keepdims=True) / count
        centred = (signal - mean) * recorded
        deviation = jnp.sqrt(jnp.sum(centred * centred, 1, keepdims=True) / count)
    return centred / jnp.maximum(deviation, LEAST_DEVIATION)


def normalised_patches(patches: Array) -> Array:
    """Each patch with zero mean and unit variance, (B, n, S, L) -> (B, n, S, L)."""
    centred = patches - patches.mean(2, keepdims=True)
    variance = jnp.mean(centred * centred, 2, keepdims=True)
    return centred * jax.lax.rsqrt(variance + PATCH_EPSILON)


def mean_over_hidden(error: Array, hidden: Array) -> Array:
    """Mean over the patches that were hidden, scalar: (B, n, L) and bool of that shape.

    0 if nothing was.
    """
    return jnp.sum(error * hidden) / jnp.maximum(hidden.sum(), 1)


def lead_reconstruction_loss(
    predicted: Array, clean: Array, recorded: Array, survivors: Array, masked: Array
) -> Array:
    """Mean square error over hidden leads and hidden tokens, in units of each lead's deviation.

    predicted: (B, N, S * L), S samples a token; clean: (B, T, L) millivolts, T >= N * S.
    recorded, survivors: (B, L) bool, leads that exist and leads that were shown.
    masked: (B, N) bool, tokens that were hidden.
    """
    batch, n_tokens, _ = predicted.shape
    leads = clean.shape[-1]
    samples = predicted.shape[-1] // leads
    target = patches_of(standardised_leads(clean), n_tokens, samples)
    found = predicted.astype(jnp.float32).reshape(batch, n_tokens, samples, leads)
    hidden = recorded[:, None, :] & (masked[..., None] | ~survivors[:, None, :])
    return mean_over_hidden(jnp.square(found - target).mean(2), hidden)
