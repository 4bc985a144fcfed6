"""One optimizer update as a pure jitted function of state and batch."""

from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from deepecg_jax.training.mesh import replicated
from deepecg_jax.training.state import State, overlay

Batch = dict[str, jax.Array]
# (weights, batch, key, step, frozen) -> (loss, metrics). The weights include running statistics;
# what the pass makes of these comes back among the metrics (see `new_statistics`).
Loss = Callable[[Any, Batch, jax.Array, jax.Array, Any], tuple[jax.Array, dict[str, jax.Array]]]


def make_step(
    loss: Loss,
    optimizer: optax.GradientTransformation,
    schedule: optax.Schedule,
    shardings: State,
    mesh: Mesh,
    seed: int,
    accumulation: int = 1,
    ema_decay: float | None = None,
    frozen: Any = None,
) -> Callable[[State, Batch], tuple[State, dict[str, jax.Array]]]:
    """(state, batch) -> (state, metrics); the old state's memory is donated.

    Randomness is a function of (seed, step) alone, so a resumed run repeats it exactly.
    frozen: parameters the loss uses but does not train (an argument of the jitted step, so they
        are not copied into the program).
    With ``accumulation`` > 1 the batch is computed in that many parts whose gradients are averaged.
    """

    def from_parts(params: Any, statistics: Any, *inputs: Any) -> Any:
        return loss(overlay(params, statistics), *inputs)

    gradient = jax.value_and_grad(from_parts, has_aux=True)

    def whole(
        params: Any, statistics: Any, batch: Batch, key: jax.Array, step: jax.Array, frozen: Any
    ) -> Any:
        (_, metrics), gradients = gradient(params, statistics, batch, key, step, frozen)
        metrics = dict(metrics)
        return gradients, metrics.pop("statistics", statistics), metrics

    def in_parts(
        params: Any, statistics: Any, batch: Batch, key: jax.Array, step: jax.Array, frozen: Any
    ) -> Any:
        def part(carry: Any, inputs: Any) -> Any:
            total, statistics = carry
            index, piece = inputs
            part_key = jax.random.fold_in(key, index)
            gradients, statistics, metrics = whole(
                params, statistics, piece, part_key, step, frozen
            )
            return (jax.tree.map(jnp.add, total, gradients), statistics), metrics

        # interleaved, so that each part is spread over all devices as the batch is
        pieces = jax.tree.map(
            lambda x: x.reshape(-1, accumulation, *x.shape[1:]).swapaxes(0, 1), batch
        )
        zeros = jax.tree.map(jnp.zeros_like, params)
        (total, statistics), metrics = jax.lax.scan(
            part, (zeros, statistics), (jnp.arange(accumulation), pieces)
        )
        return (
            jax.tree.map(lambda g: g / accumulation, total),
            statistics,
            jax.tree.map(lambda m: m.mean(0), metrics),
        )

    def step(state: State, batch: Batch, frozen: Any) -> tuple[State, dict[str, jax.Array]]:
        number = state["step"]
        key = jax.random.fold_in(jax.random.key(seed), number)
        compute = whole if accumulation == 1 else in_parts
        statistics = state.get("statistics", {})
        gradients, statistics, metrics = compute(
            state["params"], statistics, batch, key, number, frozen
        )
        updates, opt_state = optimizer.update(gradients, state["opt_state"], state["params"])
        params = optax.apply_updates(state["params"], updates)
        new = {**state, "step": number + 1, "params": params, "opt_state": opt_state}
        if statistics:
            new["statistics"] = statistics
        if ema_decay is not None:
            # the early average follows the weights closely: Adam-style bias correction
            decay = jnp.minimum(ema_decay, (1.0 + number) / (10.0 + number))
            weights = overlay(cast(dict[str, Any], params), statistics)
            new["ema"] = jax.tree.map(
                lambda now, mean: _average(now, mean, 1.0 - decay), weights, state["ema"]
            )
        metrics = {
            **metrics,
            "grad_norm": optax.tree.norm(gradients),
            "learning_rate": jnp.asarray(schedule(number), jnp.float32),
        }
        return new, metrics

    jitted = jax.jit(step, donate_argnums=0, out_shardings=(shardings, replicated(mesh)))
    return lambda state, batch: jitted(state, batch, frozen)


def _average(now: jax.Array, mean: jax.Array, share: jax.Array) -> jax.Array:
    """``mean`` moved towards ``now`` by ``share``; counts are taken as they are."""
    if not jnp.issubdtype(now.dtype, jnp.floating):
        return now
    return share * now + (1.0 - share) * mean
