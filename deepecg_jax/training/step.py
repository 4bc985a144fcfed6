"""One optimizer update as a pure jitted function of state and batch."""

from dataclasses import dataclass
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from deepecg_jax.objectives.objective import Draw
from deepecg_jax.training.averages import ema_share, moved
from deepecg_jax.training.mesh import split_over_data
from deepecg_jax.training.optimizer import Update
from deepecg_jax.training.state import overlay
from deepecg_jax.training.types import (
    Array,
    Batch,
    Loss,
    Metrics,
    State,
    StateShardings,
    Weights,
)


class Pass(NamedTuple):
    """What the loss makes of a batch: gradients, statistics after it, scalars to log."""

    gradients: Weights
    statistics: Weights
    metrics: dict[str, Array]


def make_step(
    loss: Loss,
    update: Update,
    shardings: StateShardings,
    seed: int,
    frozen: Weights | None = None,
) -> "JittedStep":
    """(state, batch) -> (state, metrics); the old state's memory is donated.

    Randomness is a function of (seed, step) alone, so a resumed run repeats it exactly.
    frozen: parameters the loss uses but does not train (an argument of the jitted step, so they
        are not copied into the program).
    """

    mesh = cast(Mesh, shardings["step"].mesh)

    def placed(tree: Weights) -> Weights:
        """Gradients, or parameters between an update and their way back, in their parts."""
        if mesh.size == 1:
            return tree
        parts = shardings["params"]
        if update.split_moments:
            parts = split_over_data(tree, parts, mesh)
        return jax.lax.with_sharding_constraint(tree, parts)

    def step(state: State, batch: Batch, frozen: Weights) -> tuple[State, dict[str, Array]]:
        number = state["step"]
        key = jax.random.fold_in(jax.random.key(seed), number)
        draw = Draw(key, number, state.get("teacher"))
        statistics = state.get("statistics", {})
        done = compute_in_parts(
            loss, update.accumulation, state["params"], statistics, batch, draw, frozen
        )
        # summed over rows where they are stored: each device gets its part of the sum only
        gradients = placed(done.gradients)
        params, opt_state = _updated(update.optimizer, gradients, state)
        params = placed(params)
        new: State = {**state, "step": number + 1, "params": params, "opt_state": opt_state}
        if done.statistics:
            new["statistics"] = done.statistics
        weights = overlay(params, done.statistics)
        if update.ema_decay is not None and "ema" in state:
            new["ema"] = moved(state["ema"], weights, ema_share(update.ema_decay, number))
        if update.teacher is not None and "teacher" in state:
            new["teacher"] = update.teacher.follow(state["teacher"], weights, number)
        metrics = {
            **done.metrics,
            "grad_norm": optax.tree.norm(gradients),
            "learning_rate": jnp.asarray(update.schedule(number), jnp.float32),
        }
        return new, metrics

    everywhere = shardings["step"]
    jitted = jax.jit(
        step,
        donate_argnums=0,
        out_shardings=(shardings, everywhere),
        compiler_options=compiler_options(mesh, update.deterministic),
    )
    return JittedStep(jitted, frozen or {})


def compiler_options(mesh: Mesh, deterministic: bool) -> dict[str, str | bool]:
    """XLA's options for the step on the devices of a mesh."""
    gpu = mesh.devices.flat[0].platform == "gpu"
    return {"xla_gpu_deterministic_ops": True} if deterministic and gpu else {}


@dataclass(frozen=True)
class JittedStep:
    """One update (`Step`), compiled when it is first called, or `lower`ed for a look at it."""

    jitted: jax.stages.Wrapped
    frozen: Weights

    def __call__(self, state: State, batch: Batch) -> tuple[State, dict[str, Array]]:
        """The state after the update, and scalars to log."""
        return self.jitted(state, batch, self.frozen)

    def lower(self, state: State, batch: Batch) -> jax.stages.Lowered:
        """The program for arrays, or shapes with shardings, like these."""
        return self.jitted.lower(state, batch, self.frozen)


def compute(
    loss: Loss,
    params: Weights,
    statistics: Weights,
    batch: Batch,
    draw: Draw[Weights],
    frozen: Weights,
) -> Pass:
    """The loss of a batch and its gradient by ``params`` alone, so by no teacher."""

    def from_params(params: Weights) -> tuple[Array, Metrics]:
        return loss(overlay(params, statistics), batch, draw, frozen)

    (_, metrics), gradients = jax.value_and_grad(from_params, has_aux=True)(params)
    return Pass(gradients, *_parted(metrics, statistics))


def compute_in_parts(
    loss: Loss,
    parts: int,
    params: Weights,
    statistics: Weights,
    batch: Batch,
    draw: Draw[Weights],
    frozen: Weights,
) -> Pass:
    """The same by parts of the batch whose gradients and metrics are averaged.

    Each part has its own randomness; statistics go from part to part, step and teacher stay.
    """
    if parts == 1:
        return compute(loss, params, statistics, batch, draw, frozen)

    def part(
        carry: tuple[Weights, Weights], inputs: tuple[Array, Batch]
    ) -> tuple[tuple[Weights, Weights], dict[str, Array]]:
        total, statistics = carry
        index, piece = inputs
        own = draw._replace(key=jax.random.fold_in(draw.key, index))
        done = compute(loss, params, statistics, piece, own, frozen)
        return (jax.tree.map(jnp.add, total, done.gradients), done.statistics), done.metrics

    # interleaved, so that each part is spread over all devices as the batch is
    pieces = jax.tree.map(lambda x: x.reshape(-1, parts, *x.shape[1:]).swapaxes(0, 1), batch)
    zeros = jax.tree.map(jnp.zeros_like, params)
    (total, statistics), metrics = jax.lax.scan(
        part, (zeros, statistics), (jnp.arange(parts), pieces)
    )
    gradients = jax.tree.map(lambda g: g / parts, total)
    return Pass(gradients, statistics, jax.tree.map(lambda m: m.mean(0), metrics))


def _updated(
    optimizer: optax.GradientTransformation, gradients: Weights, state: State
) -> tuple[Weights, optax.OptState]:
    """Parameters and optimizer state after the update."""
    trees = cast(tuple[optax.Updates, optax.Params], (gradients, state["params"]))
    updates, opt_state = optimizer.update(trees[0], state["opt_state"], trees[1])
    return cast(Weights, optax.apply_updates(trees[1], updates)), opt_state


def _parted(metrics: Metrics, before: Weights) -> tuple[Weights, dict[str, Array]]:
    """What a loss returns as running statistics (``before`` if it has none) and scalars."""
    scalars = {name: value for name, value in metrics.items() if name != "statistics"}
    statistics = metrics.get("statistics", before)
    return cast(Weights, statistics), cast(dict[str, Array], scalars)
