"""The five multi-label losses of the original, with unknown labels left out.

Formulas: criterions of fairseq-signals (binary cross-entropy, focal: Lin et al. 2017, asymmetric:
Ridnik et al. 2021, multi-label soft margin, squared error).
"""

import jax
import jax.numpy as jnp

from deepecg_jax.objectives.config import LossConfig

Array = jax.Array


def classification_loss(
    logits: Array, labels: Array, config: LossConfig, normalization: str = "known_labels"
) -> Array:
    """Loss of a batch, a scalar.

    logits: (B, C) float32; labels: (B, C), 0..1, negative where unknown.
    normalization: ``known_labels`` is the mean over known labels; ``positives`` the sum over them
        by the number of positive labels (1 if there is none), as the original divides.
    ``soft_margin`` is the mean over the known labels of an ECG, summed over ECGs, so with
    ``positives`` it is smaller than ``bce`` by the number of labels, as in the original.
    """
    known = labels >= 0
    target = jnp.where(known, labels, 0.0).astype(jnp.float32)
    loss = elementwise_loss(logits, target, config) * known
    if config.kind == "soft_margin" and normalization == "positives":
        loss = loss / jnp.maximum(known.sum(-1, keepdims=True), 1)
    if normalization == "positives":
        return loss.sum() / jnp.maximum(jnp.sum(jnp.floor(target)), 1)
    return loss.sum() / jnp.maximum(known.sum(), 1)


def elementwise_loss(logits: Array, target: Array, config: LossConfig) -> Array:
    """Loss of each label, (B, C), (B, C) in 0..1 -> (B, C)."""
    if config.kind == "squared_error":
        return jnp.square(logits - target)
    if config.kind == "focal":
        return _focal(logits, target, config)
    if config.kind == "asymmetric":
        return _asymmetric(logits, target, config)
    return binary_cross_entropy(logits, target)


def binary_cross_entropy(logits: Array, target: Array) -> Array:
    """-t log p - (1 - t) log(1 - p), p the sigmoid of the logit, without overflow."""
    return jnp.maximum(logits, 0) - logits * target + jnp.log1p(jnp.exp(-jnp.abs(logits)))


def _focal(logits: Array, target: Array, config: LossConfig) -> Array:
    """alpha_t (1 - p_t)^gamma BCE."""
    p = jax.nn.sigmoid(logits)
    right = p * target + (1 - p) * (1 - target)
    alpha = config.focal_alpha * target + (1 - config.focal_alpha) * (1 - target)
    # the original takes logarithms of probabilities and cuts them at -100
    entropy = jnp.minimum(binary_cross_entropy(logits, target), 100.0)
    return alpha * (1 - right) ** config.focal_gamma * entropy


def _asymmetric(logits: Array, target: Array, config: LossConfig) -> Array:
    """Negatives that are easy by ``margin`` count nothing and the others (1 - p_t)^gamma less."""
    p = jax.nn.sigmoid(logits)
    not_p = jnp.minimum(1 - p + config.asymmetric_margin, 1.0)
    entropy = -target * jnp.log(jnp.maximum(p, 1e-8)) - (1 - target) * jnp.log(
        jnp.maximum(not_p, 1e-8)
    )
    right = p * target + not_p * (1 - target)
    gamma = config.asymmetric_gamma_positive * target + config.asymmetric_gamma_negative * (
        1 - target
    )
    # where the base is 0 the power's gradient would be 0 * inf
    base = 1 - right
    safe = jnp.where(base > 0, base, 1.0)
    weight = jnp.where(base > 0, safe**gamma, jnp.where(gamma > 0, 0.0, 1.0))
    return entropy * weight
