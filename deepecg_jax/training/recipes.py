"""The three ways to fine-tune, behind one interface: build, loss, predict."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh

from deepecg_jax.config import FinetuneConfig
from deepecg_jax.data.loading.batches import ArrayRecords, Records, evaluation_batches
from deepecg_jax.models.encoder import EncoderConfig
from deepecg_jax.models.heads import Classifier, HeadConfig, build_head
from deepecg_jax.models.layers import as_dtype
from deepecg_jax.models.pooling import mean_pool
from deepecg_jax.objectives.classification import classification_loss
from deepecg_jax.objectives.views import View, apply_lead_mask, changes_of, to_millivolts, viewed
from deepecg_jax.training.mesh import batch_rows, on_devices, replicated
from deepecg_jax.training.state import new_statistics, split_model

EVALUATION_BATCH = 64
MODEL_INPUTS = ("signal", "lead_mask", "valid_samples")
Array = jax.Array


@dataclass(frozen=True)
class Recipe:
    """What differs between the modes."""

    build: Callable[[Array], nnx.Module]  # the trainable module
    start_from: dict[str, Any]  # parameters that replace its initial ones
    frozen: Any  # parameters that are used but not trained
    loss: Callable[..., tuple[Array, dict[str, Array]]]  # (params, batch, key, step, frozen)
    logits: Callable[[Any, Any, dict[str, Array]], Array]  # (params, frozen, batch)
    records: Callable[[Records], Records]  # training records -> what the loss reads
    assemble: Callable[[Any, Any], dict[str, Any]]  # (params, frozen) -> classifier parameters


def full_recipe(
    config: FinetuneConfig,
    head: HeadConfig,
    model: EncoderConfig,
    encoder: dict[str, Any] | None,
    n_labels: int,
    sampling_rate: float,
) -> Recipe:
    """All weights are trained, from ``encoder`` or from scratch."""

    def build(key: Array) -> nnx.Module:
        encoder_key, head_key = jax.random.split(key)
        return Classifier(
            model.build(encoder_key), build_head(head, model.width, n_labels, head_key)
        )

    graphdef = _graphdef(build)
    dtype = as_dtype(config.train.compute_dtype)

    def loss(params, batch, key, step, frozen):
        augment_key, dropout_key = jax.random.split(key)
        signal, valid, labels = augment(config, batch, augment_key, sampling_rate)
        classifier = nnx.merge(graphdef, params)
        logits = classifier(
            signal.astype(dtype),
            valid_samples=valid,
            feature_gradient=config.feature_gradient,
            key=dropout_key,
        )
        value = loss_of(config, logits, labels)
        return value, {"loss": value, **new_statistics(classifier)}

    def logits(params: Any, frozen: Any, batch: dict[str, Array]) -> Array:
        signal, valid = clean(batch).astype(dtype), batch.get("valid_samples")
        return nnx.merge(graphdef, params)(signal, valid_samples=valid)

    start = {} if encoder is None else {"encoder": encoder}
    return Recipe(build, start, None, loss, logits, lambda r: r, lambda params, _: params)


def attention_recipe(
    config: FinetuneConfig,
    head: HeadConfig,
    model: EncoderConfig,
    encoder: dict[str, Any],
    n_labels: int,
    sampling_rate: float,
) -> Recipe:
    """The encoder is frozen and evaluated without dropout; an attentive probe is trained."""

    def build(key: Array) -> nnx.Module:
        return build_head(head, model.width, n_labels, key)

    graphdef = _graphdef(build)
    encoder_graphdef = _graphdef(lambda key: model.build(key))
    dtype = as_dtype(config.train.compute_dtype)

    def loss(params, batch, key, step, frozen):
        augment_key, dropout_key = jax.random.split(key)
        signal, valid, labels = augment(config, batch, augment_key, sampling_rate)
        encoded = nnx.merge(encoder_graphdef, frozen)(signal.astype(dtype), valid_samples=valid)
        probe = nnx.merge(graphdef, params)
        tokens = jax.lax.stop_gradient(encoded.tokens)
        value = loss_of(config, probe(tokens, encoded.padding, dropout_key), labels)
        return value, {"loss": value}

    def logits(params: Any, frozen: Any, batch: dict[str, Array]) -> Array:
        signal, valid = clean(batch).astype(dtype), batch.get("valid_samples")
        encoded = nnx.merge(encoder_graphdef, frozen)(signal, valid_samples=valid)
        return nnx.merge(graphdef, params)(encoded.tokens, encoded.padding)

    return Recipe(
        build,
        {},
        encoder,
        loss,
        logits,
        lambda r: r,
        lambda params, frozen: {"encoder": frozen, "head": params},
    )


def linear_recipe(
    config: FinetuneConfig,
    model: EncoderConfig,
    encoder: dict[str, Any],
    n_labels: int,
    train_records: Records,
    mesh: Mesh,
) -> Recipe:
    """A linear probe: every ECG is encoded once, the pooled vectors are standardised, and only a
    linear layer is trained. The standardisation is folded into that layer in the bundle.
    """

    def build(key: Array) -> nnx.Module:
        return build_head(HeadConfig(kind="linear"), model.width, n_labels, key)

    graphdef = _graphdef(build)
    encoder_graphdef = _graphdef(lambda key: model.build(key))

    def pool(frozen: Any, batch: dict[str, Array]) -> Array:
        valid = batch.get("valid_samples")
        output = nnx.merge(encoder_graphdef, frozen)(clean(batch), valid_samples=valid)
        return mean_pool(output.tokens, output.padding)

    pooled = evaluated(pool, (encoder,), train_records, mesh)
    centre, scale = pooled.mean(0), np.maximum(pooled.std(0), 1e-6)
    labels = np.stack([train_records[i]["labels"] for i in range(len(train_records))])
    training = ArrayRecords({"features": (pooled - centre) / scale, "labels": labels})

    def head_logits(params: Any, features: Array) -> Array:
        return nnx.merge(graphdef, params)(features[:, None, :], None)

    def loss(params, batch, key, step, frozen):
        value = loss_of(config, head_logits(params, batch["features"]), batch["labels"])
        return value, {"loss": value}

    def logits(params: Any, frozen: Any, batch: dict[str, Array]) -> Array:
        return head_logits(params, (pool(frozen, batch) - centre) / scale)

    def assemble(params: Any, frozen: Any) -> dict[str, Any]:
        kernel = params["projection"]["kernel"] / scale[:, None]
        bias = params["projection"]["bias"] - centre @ kernel
        return {"encoder": frozen, "head": {"projection": {"kernel": kernel, "bias": bias}}}

    return Recipe(build, {}, encoder, loss, logits, lambda _: training, assemble)


def loss_of(config: FinetuneConfig, logits: Array, labels: Array) -> Array:
    """The configured loss of a batch, (B, C), (B, C) -> scalar."""
    return classification_loss(logits, labels, config.loss, config.compat.loss_normalization)


def clean(batch: dict[str, Array]) -> Array:
    """Millivolts with missing leads zeroed, (B, T, L)."""
    return apply_lead_mask(to_millivolts(batch["signal"]), batch["lead_mask"])


def augment(
    config: FinetuneConfig, batch: dict[str, Array], key: Array, sampling_rate: float
) -> tuple[Array, Array | None, Array]:
    """Training signal (B, T', L), its valid samples (B,) or None, and labels (B, C), after the
    configured random changes.
    """
    view = View(
        to_millivolts(batch["signal"]),
        batch["lead_mask"],
        batch.get("valid_samples"),
        batch["labels"].astype(jnp.float32),
    )
    view = viewed(key, view, changes_of(config.augment, sampling_rate))
    assert view.labels is not None
    return apply_lead_mask(view.signal, view.lead_mask), view.valid_samples, view.labels


def model_inputs(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What a model reads of a batch: not the labels, so that their number compiles nothing anew."""
    return {name: batch[name] for name in MODEL_INPUTS if name in batch}


def evaluated(
    function: Callable[..., Array], arguments: tuple[Any, ...], records: Records, mesh: Mesh
) -> np.ndarray:
    """``function(*arguments, batch)``, (B, K), of all records in their order, (n, K).

    The batches are spread over the devices as in training, and each host reads its own rows; all
    hosts get the whole result.
    """
    groups = mesh.shape["data"] * mesh.shape["fsdp"]
    size = -(-EVALUATION_BATCH // groups) * groups
    compiled = jax.jit(function, out_shardings=replicated(mesh))
    parts = []
    for batch, real in evaluation_batches(records, size, batch_rows(mesh, size)):
        values = compiled(*arguments, on_devices(model_inputs(batch), mesh, size))
        parts.append(np.asarray(values)[:real])
    return np.concatenate(parts)


def _graphdef(build: Callable[[Array], nnx.Module]) -> Any:
    return split_model(nnx.eval_shape(lambda: build(jax.random.key(0))))[0]
