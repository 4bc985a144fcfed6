"""The WCR objective: a pure function of model, batch, key and step."""

from typing import Any

import jax
import jax.numpy as jnp

from deepecg_jax.models.pooling import mean_pool
from deepecg_jax.objectives.batch import (
    apply_lead_mask,
    random_lead_mask,
    split_segments,
    to_millivolts,
)
from deepecg_jax.objectives.config import CompatConfig, WCRObjectiveConfig
from deepecg_jax.objectives.wcr.cmsc import cmsc_loss
from deepecg_jax.objectives.wcr.contrastive import draw_negative_counts, masked_token_infonce
from deepecg_jax.objectives.wcr.heads import WCRPretrainer
from deepecg_jax.objectives.wcr.masking import (
    as_boolean,
    masked_token_count,
    span_mask,
    take_tokens,
)
from deepecg_jax.objectives.wcr.quantizer import gumbel_noise, gumbel_temperature
from deepecg_jax.objectives.wcr.reconstruction import lead_reconstruction_loss

Array = jax.Array


def wcr_loss(
    model: WCRPretrainer,
    batch: dict[str, Array],
    key: Array,
    step: Array | int,
    config: WCRObjectiveConfig,
    compat: CompatConfig,
    dtype: Any = jnp.float32,
    train: bool = True,
) -> tuple[Array, dict[str, Array]]:
    """Loss and its parts for a batch of whole ECGs.

    batch: ``signal`` (B, T, L) int16 microvolts or float millivolts, ``lead_mask`` (B, L) bool,
        ``patient`` (B,) int32. Each ECG is cut into two segments.
    key: all randomness of the step; step: finished updates (for the Gumbel temperature).
    train: False switches dropout and Gumbel noise off (masks and negatives are still drawn).

    loss = contrastive + 0.1 diversity + 10 features + CMSC (weights by config), the mean form of
    the original's sum: `fairseq-signals` divides the summed loss by the number of masked tokens.
    """
    mask_key, lead_key, negative_key, noise_key, dropout_key = jax.random.split(key, 5)
    clean = split_segments(to_millivolts(batch["signal"]))
    recorded = jnp.concatenate([batch["lead_mask"]] * 2, 0)
    survivors = random_lead_mask(
        lead_key, recorded, config.lead_masking if train else 0.0, not compat.hide_all_leads
    )
    signal = apply_lead_mask(clean, survivors)
    rows, n_tokens = signal.shape[0], model.config.n_tokens(signal.shape[1])
    count = masked_token_count(n_tokens, config.mask_share)
    hidden = span_mask(mask_key, rows, n_tokens, config.mask_span, count)
    masked = as_boolean(hidden, n_tokens)
    output = model.encoder(
        signal.astype(dtype),
        masked=masked,
        feature_gradient=config.feature_gradient,
        key=dropout_key if train else None,
    )

    noise = None
    if train:
        quantizer = model.quantizer.codebook.shape
        noise = gumbel_noise(noise_key, (rows, count, quantizer[0], quantizer[1]))
    temperature = gumbel_temperature(
        step, config.gumbel_start, config.gumbel_end, config.gumbel_decay
    )
    quantized = model.quantizer(take_tokens(output.features, hidden), temperature, noise)
    contrastive = masked_token_infonce(
        model.project_context(take_tokens(output.tokens, hidden)),
        model.project_target(quantized.vectors),
        quantized.codes,
        draw_negative_counts(negative_key, rows, count, config.negatives),
        config.temperature,
    )
    n_codewords = model.config.codebook_groups * model.config.codewords
    diversity = (n_codewords - quantized.probability_perplexity) / n_codewords
    pooled = mean_pool(output.tokens, output.padding)
    first, second = jnp.split(pooled, 2, 0)
    cmsc = cmsc_loss(
        first, second, batch["patient"], config.cmsc_temperature, compat.cmsc_detach_norm
    )
    loss = (
        config.contrastive_weight * contrastive.loss
        + config.diversity_weight * diversity
        + config.features_weight * output.features_penalty
        + config.cmsc_weight * cmsc
    )
    metrics = {
        "contrastive": contrastive.loss,
        "contrastive_accuracy": contrastive.accuracy,
        "diversity": diversity,
        "features_penalty": output.features_penalty,
        "cmsc": cmsc,
        "code_perplexity": quantized.code_perplexity,
        "gumbel_temperature": temperature,
    }
    if config.reconstruction_weight:
        assert model.lead_decoder is not None  # checked with the config
        reconstruction = lead_reconstruction_loss(
            model.lead_decoder(output.tokens), clean, recorded, survivors, masked
        )
        loss = loss + config.reconstruction_weight * reconstruction
        metrics["reconstruction"] = reconstruction
    return loss, {"loss": loss, **metrics}
