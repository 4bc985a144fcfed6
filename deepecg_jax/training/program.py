"""The train step of a pretraining config as a program, without data: what is trained, its loss, and
the shapes of what goes in, so that it can also be compiled for devices that are not there.
"""

from dataclasses import dataclass
from typing import cast

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh

from deepecg_jax.config import PretrainConfig
from deepecg_jax.models.blocks.layers import as_dtype
from deepecg_jax.models.encoder import Encoder
from deepecg_jax.objectives.augmentation.apply import changes_of
from deepecg_jax.objectives.objective import Draw
from deepecg_jax.objectives.pretrainer import Pretrainer, pretraining_loss
from deepecg_jax.signals.contract import SignalContract
from deepecg_jax.training.averages import Teacher
from deepecg_jax.training.mesh import batch_sharding
from deepecg_jax.training.optimizer import make_update
from deepecg_jax.training.state import (
    new_statistics,
    shapes_of,
    split_model,
    state_shapes,
    with_weights,
)
from deepecg_jax.training.step import JittedStep, make_step
from deepecg_jax.training.types import Array, Batch, Loss, Metrics, State, Weights


def build(config: PretrainConfig, key: Array) -> Pretrainer:
    """What is trained: the encoder, and what its objective adds to it."""
    return Pretrainer(config.model, config.objective, key)


def make_loss(config: PretrainConfig, sampling_rate: float) -> Loss:
    """The objective, after the random changes of the ECGs, as a function of weights."""
    graphdef = split_model(shapes_of(lambda key: build(config, key)))[0]
    dtype = as_dtype(config.train.compute_dtype)
    changes = changes_of(config.augment, sampling_rate)
    follow = config.objective.teacher
    with_heads = follow is not None and follow.heads

    def loss(
        weights: Weights, batch: Batch, draw: Draw[Weights], frozen: Weights
    ) -> tuple[Array, Metrics]:
        model = nnx.merge(graphdef, weights)
        encoder, heads = averaged(model, draw.teacher, with_heads)
        own = Draw(draw.key, draw.step, encoder, sampling_rate, heads)
        value, metrics = pretraining_loss(model, config.objective, batch, own, changes, dtype)
        return value, {**metrics, **new_statistics(model)}

    return loss


def averaged(
    model: Pretrainer, teacher: Weights | None, with_heads: bool
) -> tuple[Encoder | None, nnx.Module | None]:
    """The teacher's weights as modules: the encoder, and the heads if they are averaged too."""
    if teacher is None:
        return None, None
    if not with_heads:
        return with_weights(model.encoder, teacher), None
    encoder, heads = (cast(Weights, teacher[name]) for name in ("encoder", "heads"))
    return with_weights(model.encoder, encoder), with_weights(model.heads, heads)


def teacher_of(config: PretrainConfig) -> Teacher | None:
    """The averaged copy that the objective wants, if it wants one."""
    follow = config.objective.teacher
    if follow is None:
        return None
    part = None if follow.heads else "encoder"
    return Teacher(follow.start, follow.end, config.train.steps, follow.kind, part)


@dataclass(frozen=True)
class StepProgram:
    """A train step and the shapes, with shardings, of its two arguments."""

    step: JittedStep
    state: State
    batch: Batch

    def lowered(self, mesh: Mesh) -> jax.stages.Lowered:
        """Traced for the devices of ``mesh``, which need not be there."""
        with jax.set_mesh(mesh):
            return self.step.lower(self.state, self.batch)


def pretraining_program(
    config: PretrainConfig, mesh: Mesh, contract: SignalContract | None = None
) -> StepProgram:
    """The very step that `pretrain` runs for a config on a mesh; nothing is computed.

    contract: of the ECGs; None: the standard one (10 s at 250 Hz, 12 leads).
    """
    contract = contract or SignalContract()
    update = make_update(config, config.compat, teacher_of(config), config.model.STEM)
    state, shardings = state_shapes(lambda key: build(config, key), update, mesh)
    loss = make_loss(config, contract.sampling_rate)
    step = make_step(loss, update, shardings, config.seed + 1)
    return StepProgram(step, state, batch_shapes(config, mesh, contract))


def batch_shapes(config: PretrainConfig, mesh: Mesh, contract: SignalContract) -> Batch:
    """A batch as `training_batches` gives it: int16 as stored, and the objective's columns."""
    count, leads = config.train.global_batch, len(contract.leads)
    shapes = {
        "signal": ((count, contract.n_samples, leads), jnp.int16),
        "lead_mask": ((count, leads), jnp.bool_),
        **{name: ((count,), jnp.int32) for name in config.objective.columns},
    }
    sharding = batch_sharding(mesh)
    batch = {
        name: jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)
        for name, (shape, dtype) in shapes.items()
    }
    return cast(Batch, batch)
