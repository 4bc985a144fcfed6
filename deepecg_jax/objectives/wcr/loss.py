"""The WCR loss: a pure function of encoder, heads, batch and draw."""

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from deepecg_jax.models.blocks.dropout import dropout
from deepecg_jax.models.encoder import Encoder
from deepecg_jax.models.pooling import mean_pool
from deepecg_jax.models.sharding import rows_split
from deepecg_jax.objectives.augmentation.leads import random_lead_mask
from deepecg_jax.objectives.cmsc import cmsc_loss
from deepecg_jax.objectives.masking.selection import as_boolean, take_tokens
from deepecg_jax.objectives.masking.spans import masked_token_count, span_mask
from deepecg_jax.objectives.objective import Batch, Draw, Metrics
from deepecg_jax.objectives.reconstruction import lead_reconstruction_loss
from deepecg_jax.objectives.segments import (
    apply_lead_mask,
    segments_of,
    split_segments,
    to_millivolts,
)
from deepecg_jax.objectives.wcr.contrastive import draw_negative_counts, masked_token_infonce
from deepecg_jax.objectives.wcr.heads import WCRHeads
from deepecg_jax.objectives.wcr.quantizer import gumbel_noise, gumbel_temperature
from deepecg_jax.objectives.wcr.settings import WCRSettings

Array = jax.Array


def wcr_loss(
    encoder: Encoder,
    heads: WCRHeads,
    batch: Batch,
    draw: Draw[Encoder],
    settings: WCRSettings,
    dtype: DTypeLike = jnp.float32,
) -> tuple[Array, Metrics]:
    """Loss and its parts for a batch of whole ECGs.

    batch: ``signal`` (B, T, L) int16 microvolts or float millivolts, ``lead_mask`` (B, L) bool,
        ``patient`` (B,) int32. Each ECG is cut into two segments.
    draw: its step sets the Gumbel temperature.

    loss = contrastive + 0.1 diversity + 10 features + CMSC (weights by config), the mean form of
    the original's sum: `fairseq-signals` divides the summed loss by the number of masked tokens.
    """
    mask_key, lead_key, negative_key, noise_key, dropout_key = jax.random.split(draw.key, 5)
    clean = split_segments(to_millivolts(batch["signal"]))
    recorded = rows_split(jnp.repeat(batch["lead_mask"], 2, 0))
    survivors = random_lead_mask(
        lead_key, recorded, settings.lead_masking, not settings.hide_all_leads
    )
    signal = apply_lead_mask(clean, survivors)
    features = encoder.features(
        signal.astype(dtype), gradient=settings.feature_gradient, key=dropout_key
    )
    features = features._replace(values=rows_split(features.values))
    rows, n_tokens, _ = features.values.shape
    count = masked_token_count(n_tokens, settings.mask_share)
    hidden = span_mask(mask_key, rows, n_tokens, settings.mask_span, count)
    masked = as_boolean(hidden, n_tokens)
    output = encoder.context(features, hidden=masked, key=dropout_key)

    # the part of the key that the WCR encoder leaves out
    features_key = jax.random.split(dropout_key, 3)[1]
    targets = dropout(features.values, settings.dropout_features, features_key)
    groups, words, _ = heads.quantizer.codebook.shape
    noise = gumbel_noise(noise_key, (rows, count, groups, words))
    temperature = gumbel_temperature(
        draw.step, settings.gumbel_start, settings.gumbel_end, settings.gumbel_decay
    )
    quantized = heads.quantizer(take_tokens(targets, hidden), temperature, noise)
    contrastive = masked_token_infonce(
        heads.project_context(take_tokens(output.tokens, hidden)),
        heads.project_target(quantized.vectors),
        quantized.codes,
        draw_negative_counts(negative_key, rows, count, settings.negatives),
        settings.temperature,
    )
    n_codewords = groups * words
    diversity = (n_codewords - quantized.probability_perplexity) / n_codewords
    pooled = mean_pool(output.tokens, output.padding)
    first, second = segments_of(pooled)
    cmsc = cmsc_loss(
        first, second, batch["patient"], settings.cmsc_temperature, settings.cmsc_detach_norm
    )
    loss = (
        settings.contrastive_weight * contrastive.loss
        + settings.diversity_weight * diversity
        + settings.features_weight * features.penalty
        + settings.cmsc_weight * cmsc
    )
    metrics = {
        "contrastive": contrastive.loss,
        "contrastive_accuracy": contrastive.accuracy,
        "diversity": diversity,
        "features_penalty": features.penalty,
        "cmsc": cmsc,
        "code_perplexity": quantized.code_perplexity,
        "gumbel_temperature": temperature,
    }
    if settings.reconstruction_weight:
        assert heads.lead_decoder is not None  # checked with the settings
        reconstruction = lead_reconstruction_loss(
            heads.lead_decoder(output.tokens), clean, recorded, survivors, masked
        )
        loss = loss + settings.reconstruction_weight * reconstruction
        metrics["reconstruction"] = reconstruction
    return loss, {"loss": loss, **metrics}
