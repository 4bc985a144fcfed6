"""The three ways to fine-tune, behind one interface: build, loss, predict."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh

from deepecg_jax.config import FinetuneConfig
from deepecg_jax.data.loading.batches import evaluation_batches
from deepecg_jax.data.loading.protocol import pieces_of
from deepecg_jax.data.loading.records import ArrayRecords, Records
from deepecg_jax.models.blocks.layers import as_dtype
from deepecg_jax.models.encoder import Encoder, EncoderConfig
from deepecg_jax.models.heads import Classifier, Head, HeadConfig, LinearHead, build_head
from deepecg_jax.models.readouts import read_out, readout_width
from deepecg_jax.objectives.augmentation.apply import changes_of, viewed
from deepecg_jax.objectives.augmentation.view import View
from deepecg_jax.objectives.classification import classification_loss
from deepecg_jax.objectives.objective import Draw
from deepecg_jax.objectives.segments import apply_lead_mask, to_millivolts
from deepecg_jax.training.mesh import batch_rows, on_devices, replicated
from deepecg_jax.training.state import new_statistics, shapes_of, split_model
from deepecg_jax.training.types import Array, Batch, Build, HostBatch, Loss, M, Metrics, Weights

EVALUATION_BATCH = 64
MODEL_INPUTS = ("signal", "lead_mask", "valid_samples")


@dataclass(frozen=True)
class Task:
    """What the modes have in common: a config, and the shape of the classifier it leads to."""

    config: FinetuneConfig
    model: EncoderConfig
    head: HeadConfig
    n_labels: int
    sampling_rate: float

    def build_encoder(self, key: Array) -> Encoder:
        """A new encoder."""
        return self.model.build(key)

    def build_head(self, key: Array) -> Head:
        """A new head."""
        return build_head(self.head, self.model, self.n_labels, key)


@dataclass(frozen=True)
class Recipe:
    """What differs between the modes."""

    build: Build[nnx.Module]  # the trainable module
    start_from: Weights  # that replace its initial ones
    frozen: Weights  # that are used but not trained; {} for none
    loss: Loss
    logits: Callable[[Weights, Weights, Batch], Array]  # (params, frozen, batch)
    records: Callable[[Records], Records]  # training records -> what the loss reads
    assemble: Callable[[Weights, Weights], Weights]  # (params, frozen) -> a classifier's


def full_recipe(task: Task, encoder: Weights) -> Recipe:
    """All weights are trained, from those of ``encoder`` (``{}``: from scratch)."""
    config = task.config

    def build(key: Array) -> Classifier:
        encoder_key, head_key = jax.random.split(key)
        return Classifier(task.build_encoder(encoder_key), task.build_head(head_key))

    graphdef = _graphdef(build)
    dtype = as_dtype(config.train.compute_dtype)

    def loss(
        weights: Weights, batch: Batch, draw: Draw[Weights], frozen: Weights
    ) -> tuple[Array, Metrics]:
        augment_key, dropout_key = jax.random.split(draw.key)
        signal, valid, labels = augment(config, batch, augment_key, task.sampling_rate)
        classifier = nnx.merge(graphdef, weights)
        logits = classifier(
            signal.astype(dtype),
            valid_samples=valid,
            feature_gradient=config.feature_gradient,
            key=dropout_key,
        )
        value = loss_of(config, logits, labels)
        return value, {"loss": value, **new_statistics(classifier)}

    def logits(params: Weights, frozen: Weights, batch: Batch) -> Array:
        signal, valid = clean(batch).astype(dtype), batch.get("valid_samples")
        return nnx.merge(graphdef, params)(signal, valid_samples=valid)

    start: Weights = {"encoder": encoder} if encoder else {}
    return Recipe(build, start, {}, loss, logits, lambda r: r, lambda params, _: params)


def attention_recipe(task: Task, encoder: Weights) -> Recipe:
    """The encoder is frozen and evaluated without dropout; an attentive probe is trained."""
    config = task.config
    graphdef = _graphdef(task.build_head)
    encoder_graphdef = _graphdef(task.build_encoder)
    dtype = as_dtype(config.train.compute_dtype)

    def loss(
        weights: Weights, batch: Batch, draw: Draw[Weights], frozen: Weights
    ) -> tuple[Array, Metrics]:
        augment_key, dropout_key = jax.random.split(draw.key)
        signal, valid, labels = augment(config, batch, augment_key, task.sampling_rate)
        encoder = nnx.merge(encoder_graphdef, frozen)
        features = encoder.features(signal.astype(dtype), valid_samples=valid)
        encoded = jax.lax.stop_gradient((features, encoder.context(features)))
        value = loss_of(config, nnx.merge(graphdef, weights)(*encoded, dropout_key), labels)
        return value, {"loss": value}

    def logits(params: Weights, frozen: Weights, batch: Batch) -> Array:
        signal, valid = clean(batch).astype(dtype), batch.get("valid_samples")
        encoder = nnx.merge(encoder_graphdef, frozen)
        features = encoder.features(signal, valid_samples=valid)
        return nnx.merge(graphdef, params)(features, encoder.context(features))

    return Recipe(task.build_head, {}, encoder, loss, logits, lambda r: r, _classifier)


def linear_recipe(
    task: Task, encoder: Weights, train_records: Records, valid_samples: np.ndarray, mesh: Mesh
) -> Recipe:
    """A linear probe: every ECG is encoded once, the vectors that the head's readout gives are
    standardised, and only a linear layer is trained. The standardisation is folded into that layer
    in the bundle. What is evaluated by crops is learned from them too, each a vector.

    valid_samples: (N,) of the training ECGs, before zero padding.
    """
    readout = task.head.readout
    width = readout_width(readout, task.model)

    def build(key: Array) -> LinearHead:
        return LinearHead(width, task.n_labels, key)

    graphdef = _graphdef(build)
    encoder_graphdef = _graphdef(task.build_encoder)

    def pool(frozen: Weights, batch: Batch) -> Array:
        valid = batch.get("valid_samples")
        module = nnx.merge(encoder_graphdef, frozen)
        features = module.features(clean(batch), valid_samples=valid)
        return read_out(readout, features, module.context(features))

    protocol = task.config.evaluation
    pieces, counts = pieces_of(train_records, valid_samples, protocol, task.sampling_rate)
    pooled = evaluated(pool, (encoder,), pieces, mesh)
    centre, scale = pooled.mean(0), np.maximum(pooled.std(0), 1e-6)
    labels = np.stack([train_records[i]["labels"] for i in range(len(train_records))])
    labels = np.repeat(labels, counts, axis=0)
    training = ArrayRecords({"features": (pooled - centre) / scale, "labels": labels})

    def head_logits(params: Weights, features: Array) -> Array:
        return nnx.merge(graphdef, params).classified(features)

    def loss(
        weights: Weights, batch: Batch, draw: Draw[Weights], frozen: Weights
    ) -> tuple[Array, Metrics]:
        value = loss_of(task.config, head_logits(weights, batch["features"]), batch["labels"])
        return value, {"loss": value}

    def logits(params: Weights, frozen: Weights, batch: Batch) -> Array:
        return head_logits(params, (pool(frozen, batch) - centre) / scale)

    def assemble(params: Weights, frozen: Weights) -> Weights:
        layer = cast(dict[str, Array], params["projection"])
        kernel = layer["kernel"] / scale[:, None]
        bias = layer["bias"] - centre @ kernel
        return _classifier({"projection": {"kernel": kernel, "bias": bias}}, frozen)

    return Recipe(build, {}, encoder, loss, logits, lambda _: training, assemble)


def _classifier(head: Weights, encoder: Weights) -> Weights:
    return {"encoder": encoder, "head": head}


def loss_of(config: FinetuneConfig, logits: Array, labels: Array) -> Array:
    """The configured loss of a batch, (B, C), (B, C) -> scalar."""
    return classification_loss(logits, labels, config.loss, config.compat.loss_normalization)


def clean(batch: Batch) -> Array:
    """Millivolts with missing leads zeroed, (B, T, L)."""
    return apply_lead_mask(to_millivolts(batch["signal"]), batch["lead_mask"])


def augment(
    config: FinetuneConfig, batch: Batch, key: Array, sampling_rate: float
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


def model_inputs(batch: HostBatch) -> HostBatch:
    """What a model reads of a batch: not the labels, so that their number compiles nothing anew."""
    return {name: batch[name] for name in MODEL_INPUTS if name in batch}


def evaluated(
    function: Callable[..., Array], arguments: tuple[Weights, ...], records: Records, mesh: Mesh
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


def _graphdef(build: Build[M]) -> nnx.GraphDef[M]:
    return split_model(shapes_of(build))[0]
