"""The loss of masked autoencoding: a pure function of encoder, heads, batch and draw."""

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from deepecg_jax.models.encoder import Encoder
from deepecg_jax.models.sharding import rows_split
from deepecg_jax.objectives.augmentation.view import named_key
from deepecg_jax.objectives.hiding import visible_context
from deepecg_jax.objectives.masked.heads import MaskedHeads
from deepecg_jax.objectives.masked.mask import lead_mask, shown_count, token_mask
from deepecg_jax.objectives.masked.settings import MaskedSettings
from deepecg_jax.objectives.objective import Batch, Draw, Metrics
from deepecg_jax.objectives.reconstruction import (
    mean_over_hidden,
    normalised_patches,
    patches_of,
    standardised_leads,
    whole_patches,
)
from deepecg_jax.objectives.regression import elementwise_error
from deepecg_jax.objectives.segments import apply_lead_mask, to_millivolts

Array = jax.Array


def masked_loss(
    encoder: Encoder,
    heads: MaskedHeads,
    batch: Batch,
    draw: Draw[Encoder],
    settings: MaskedSettings,
    dtype: DTypeLike = jnp.float32,
) -> tuple[Array, Metrics]:
    """Mean error over the samples that were hidden, and over no others.

    batch: ``signal`` (B, T, L) int16 microvolts or float millivolts, ``lead_mask`` (B, L) bool.

    Leads that were not recorded do not count, nor do patches that reach into padding. Hidden leads
    are zero in what the encoder gets, as leads are that were not recorded.
    """
    recorded, valid = batch["lead_mask"], batch.get("valid_samples")
    clean = apply_lead_mask(to_millivolts(batch["signal"]), recorded)
    leads = lead_mask(named_key(draw.key, "leads"), recorded, heads.groups, settings)
    encoder_key = named_key(draw.key, "encoder")
    features = encoder.features(
        apply_lead_mask(clean, ~leads).astype(dtype), valid_samples=valid, key=encoder_key
    )
    features = features._replace(values=rows_split(features.values))
    times = features.values.shape[1] // heads.groups
    hidden = token_mask(named_key(draw.key, "tokens"), leads, times, heads.groups, settings)
    if heads.hides:
        most = shown_count(times, heads.groups, settings) if heads.drops else None
        tokens = visible_context(encoder, features, hidden, most, encoder_key)
    else:
        tokens = encoder.context(features, key=encoder_key).tokens
    decoded = heads.decoded(tokens, hidden, features.padding)

    found = by_time(decoded.astype(jnp.float32), heads.groups, times, heads.samples)
    target = _target(clean, valid, times, heads.samples, settings)
    by_group = hidden.reshape(len(hidden), heads.groups, times).swapaxes(1, 2)
    of_tokens = jnp.repeat(by_group, clean.shape[-1] // heads.groups, axis=2)  # (B, n, L)
    whole = whole_patches(clean.shape[1], times, heads.samples, valid)
    counted = (of_tokens | leads[:, None]) & recorded[:, None] & whole[..., None]
    error = elementwise_error(found, target, settings.error).mean(2)
    metrics = {"loss": mean_over_hidden(error, counted)}
    if settings.target == "millivolts":
        square = jnp.square(found - target).mean(2)
        metrics["rmse_millivolts"] = jnp.sqrt(
            mean_over_hidden(jax.lax.stop_gradient(square), counted)
        )
    return metrics["loss"], metrics


def by_time(decoded: Array, groups: int, times: int, samples: int) -> Array:
    """What each token says of its leads, as patches: (B, groups * times, S * leads of a group) ->
    (B, times, S, L).
    """
    by_group = decoded.reshape(len(decoded), groups, times, samples, -1)
    return rows_split(by_group.transpose(0, 2, 3, 1, 4).reshape(len(decoded), times, samples, -1))


def _target(
    clean: Array, valid: Array | None, times: int, samples: int, settings: MaskedSettings
) -> Array:
    """What is to be found, (B, T, L) -> (B, n, S, L)."""
    if settings.target == "lead":
        clean = standardised_leads(clean, valid)
    patches = patches_of(clean, times, samples)
    return normalised_patches(patches) if settings.target == "patch" else patches
