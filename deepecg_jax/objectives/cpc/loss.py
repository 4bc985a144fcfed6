"""The CPC loss: a pure function of encoder, heads, batch and draw."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from deepecg_jax.models.encoder import Encoder
from deepecg_jax.models.sharding import rows_split
from deepecg_jax.objectives.augmentation.view import named_key
from deepecg_jax.objectives.cmsc import cmsc_loss
from deepecg_jax.objectives.cpc.heads import CPCHeads
from deepecg_jax.objectives.cpc.negatives import draw_negatives
from deepecg_jax.objectives.cpc.settings import CPCSettings
from deepecg_jax.objectives.objective import Batch, Draw, Metrics
from deepecg_jax.objectives.segments import apply_lead_mask, to_millivolts
from deepecg_jax.objectives.unit_vectors import unit

Array = jax.Array


class Prediction(NamedTuple):
    """How well each token predicted one horizon; M tokens have a target."""

    loss: Array  # (B, M) float32, natural logarithm
    right: Array  # (B, M) bool, the target is more similar than every negative
    counts: Array  # (B, M) bool, false for padding


def cpc_loss(
    encoder: Encoder,
    heads: CPCHeads,
    batch: Batch,
    draw: Draw[Encoder],
    settings: CPCSettings,
    dtype: DTypeLike = jnp.float32,
) -> tuple[Array, Metrics]:
    """Loss and its parts for a batch.

    batch: ``signal`` (B, T, L) int16 microvolts or float millivolts, ``lead_mask`` (B, L) bool,
        ``valid_samples`` (B,) int where ECGs are padded, ``patient`` (B,) int32 with CMSC.

    Of a horizon k: -log exp(s(i, i + k)) / (exp(s(i, i + k)) + sum_n exp(s(i, n))), where s(i, j)
    is the product of W_k c_i and z_j over the temperature, and n are the negatives of i + k; summed
    over i, then averaged over horizons and ECGs (``reduction=sum``), or the mean over all i.
    """
    signal = apply_lead_mask(to_millivolts(batch["signal"]), batch["lead_mask"])
    dropout_key = named_key(draw.key, "dropout")
    features = encoder.features(
        signal.astype(dtype), valid_samples=batch.get("valid_samples"), key=dropout_key
    )
    features = features._replace(values=rows_split(features.values))
    tokens = encoder.context(features, key=dropout_key).tokens
    rows, n_tokens, _ = tokens.shape
    settings.check_tokens(n_tokens)
    valid = jnp.full((rows,), n_tokens)
    if features.padding is not None:
        valid = n_tokens - features.padding.sum(1)

    negative_key = named_key(draw.key, "negatives")
    predicted = heads(tokens)
    found = [
        predict(
            predicted[:, : n_tokens - horizon, place],
            features.values,
            valid,
            horizon,
            settings,
            named_key(negative_key, str(horizon)),
        )
        for place, horizon in enumerate(settings.horizons)
    ]
    joined = Prediction(*(jnp.concatenate(parts, 1) for parts in zip(*found, strict=True)))
    total = jnp.sum(jnp.where(joined.counts, joined.loss, 0.0))
    counted = jnp.maximum(joined.counts.sum(), 1)
    mean = total / counted
    loss = mean if settings.reduction == "mean" else total / (rows * len(found))
    metrics = {
        "contrastive": mean,
        "contrastive_accuracy": jnp.sum(joined.right & joined.counts) / counted,
    }
    if settings.cmsc_weight:
        first, second = halves(tokens, valid)
        cmsc = cmsc_loss(
            first, second, batch["patient"], settings.cmsc_temperature, detach_norm=False
        )
        loss = loss + settings.cmsc_weight * cmsc
        metrics["cmsc"] = cmsc
    return loss, {"loss": loss, **metrics}


def predict(
    predicted: Array, features: Array, valid: Array, horizon: int, settings: CPCSettings, key: Array
) -> Prediction:
    """InfoNCE of one horizon.

    predicted: (B, N - horizon, C), of the tokens that have a target.
    features: (B, N, C); valid: (B,) int, tokens before padding.
    """
    if settings.similarity == "cosine":
        predicted, features = unit(predicted), unit(features)
    # all pairs of a row: one product, where vectors gathered for each negative would be C times as
    # large as the similarities are. They are float32 whatever the operands are
    similarity = jnp.einsum(
        "bmc,bnc->bmn",
        predicted,
        features,
        precision="highest",
        preferred_element_type=jnp.float32,
    )
    similarity = similarity / settings.temperature
    own = jnp.diagonal(similarity, horizon, axis1=1, axis2=2)
    targets = horizon + jnp.arange(predicted.shape[1])
    drawn, counts = draw_negatives(
        key, targets, valid, settings.negatives, settings.negatives_distance
    )
    others = jnp.take_along_axis(similarity, drawn, -1)
    against = jnp.concatenate([own[..., None], others], -1)
    return Prediction(jax.nn.logsumexp(against, -1) - own, own > others.max(-1), counts)


def halves(tokens: Array, valid: Array) -> tuple[Array, Array]:
    """Mean tokens of the two halves of what is no padding, (B, N, D) -> twice (B, D), float32."""
    place, middle = jnp.arange(tokens.shape[1])[None, :], valid[:, None] // 2
    inside = (place < middle, (place >= middle) & (place < valid[:, None]))
    first, second = (
        jnp.sum(tokens.astype(jnp.float32) * part[..., None], 1)
        / jnp.maximum(part.sum(1, keepdims=True), 1)
        for part in inside
    )
    return first, second
