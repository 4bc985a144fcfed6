"""The JEPA loss: a pure function of encoder, heads, batch and draw."""

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from deepecg_jax.models.encoder import Encoder
from deepecg_jax.models.sharding import rows_split
from deepecg_jax.objectives.augmentation.view import named_key
from deepecg_jax.objectives.hiding import visible_context
from deepecg_jax.objectives.jepa.collapse import normalised, spread, spread_between_ecgs
from deepecg_jax.objectives.jepa.heads import JEPAHeads
from deepecg_jax.objectives.jepa.mask import most_times, time_mask
from deepecg_jax.objectives.jepa.settings import JEPASettings
from deepecg_jax.objectives.masking.selection import in_every_group
from deepecg_jax.objectives.objective import Batch, Draw, Metrics
from deepecg_jax.objectives.regression import elementwise_error
from deepecg_jax.objectives.segments import apply_lead_mask, to_millivolts

Array = jax.Array


def jepa_loss(
    encoder: Encoder,
    heads: JEPAHeads,
    batch: Batch,
    draw: Draw[Encoder],
    settings: JEPASettings,
    dtype: DTypeLike = jnp.float32,
) -> tuple[Array, Metrics]:
    """Mean error of the predicted features over the tokens to be predicted, and how alike the
    features are (`jepa.collapse`).

    batch: ``signal`` (B, T, L) int16 microvolts or float millivolts, ``lead_mask`` (B, L) bool.
    draw: its teacher sees the whole ECG, in evaluation mode.

    Tokens that are padding do not count, nor do those of leads that were not recorded.
    """
    assert draw.teacher is not None  # the settings ask for one
    recorded, valid = batch["lead_mask"], batch.get("valid_samples")
    signal = apply_lead_mask(to_millivolts(batch["signal"]), recorded).astype(dtype)
    encoder_key = named_key(draw.key, "encoder")
    features = encoder.features(signal, valid_samples=valid, key=encoder_key)
    features = features._replace(values=rows_split(features.values))
    rows, n_tokens, _ = features.values.shape
    times = n_tokens // heads.groups
    mask = time_mask(named_key(draw.key, "mask"), rows, times, settings)
    hidden = in_every_group(~mask.shown, heads.groups)
    most = heads.groups * most_times(times, settings) if heads.drops else None
    tokens = visible_context(encoder, features, hidden, most, encoder_key)
    predictions = heads.predictor(tokens, hidden, features.padding)

    taught = draw.teacher(signal, valid_samples=valid).tokens
    taught = jax.lax.stop_gradient(rows_split(taught.astype(jnp.float32)))
    compared = normalised(taught)
    targets = compared if settings.normalise_targets else taught
    real = recorded_tokens(recorded, heads.groups, times)
    if features.padding is not None:
        real = real & ~features.padding
    counted = real & in_every_group(mask.predicted, heads.groups)
    error = elementwise_error(predictions, targets, settings.error).mean(-1)
    loss = jnp.sum(error * counted) / jnp.maximum(counted.sum(), 1)
    return loss, {
        "loss": loss,
        "teacher_spread": spread(compared, real),
        "teacher_spread_between_ecgs": spread_between_ecgs(compared, real),
        "target_spread": spread(targets, counted),
        "prediction_spread": jax.lax.stop_gradient(
            spread(predictions.astype(jnp.float32), counted)
        ),
    }


def recorded_tokens(lead_mask: Array, groups: int, times: int) -> Array:
    """Tokens that stand for a lead that was recorded, (B, L) bool -> (B, groups * times) bool."""
    by_group = lead_mask.reshape(len(lead_mask), groups, -1).any(-1)
    return rows_split(jnp.repeat(by_group, times, axis=1))
