"""Optimizer and learning-rate schedule from a config."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from deepecg_jax.config import OptimizerConfig, ScheduleConfig
from deepecg_jax.errors import UserError
from deepecg_jax.objectives.config import CompatConfig


def make_schedule(schedule: ScheduleConfig, learning_rate: float, steps: int) -> optax.Schedule:
    """Learning rate as a function of the step."""
    if schedule.warmup_steps >= steps:
        raise UserError(
            f"schedule.warmup_steps={schedule.warmup_steps} must be less than train.steps={steps}."
        )
    warmup = optax.linear_schedule(0.0, learning_rate, max(schedule.warmup_steps, 1))
    if schedule.kind == "constant":
        main = optax.constant_schedule(learning_rate)
    else:
        rest, share = steps - schedule.warmup_steps, schedule.final_share
        if schedule.kind == "linear":
            main = optax.linear_schedule(learning_rate, share * learning_rate, rest)
        else:
            main = optax.cosine_decay_schedule(learning_rate, rest, share)
    if schedule.warmup_steps == 0:
        return main
    return optax.join_schedules([warmup, main], [schedule.warmup_steps])


def make_optimizer(
    optimizer: OptimizerConfig,
    schedule: optax.Schedule,
    clip_norm: float | None,
    compat: CompatConfig,
) -> optax.GradientTransformation:
    """Clipping (if any), then AdamW."""
    steps = [] if clip_norm is None else [optax.clip_by_global_norm(clip_norm)]
    adam = optax.scale_by_adam if compat.adam_epsilon == "corrected" else scale_by_fairseq_adam
    mask = None if optimizer.decay_all else _matrices
    return optax.chain(
        *steps,
        adam(optimizer.beta1, optimizer.beta2, optimizer.epsilon),
        optax.add_decayed_weights(optimizer.weight_decay, mask),
        optax.scale_by_learning_rate(schedule),
    )


def scale_by_fairseq_adam(beta1: float, beta2: float, epsilon: float) -> Any:
    """Adam whose epsilon joins the second moment before its bias is corrected.

    sqrt(1 - beta2^t) / (1 - beta1^t) m / (sqrt(v) + epsilon), as fairseq's Adam; torch and optax
    divide by sqrt(v / (1 - beta2^t)) + epsilon.
    """
    adam = optax.scale_by_adam(beta1, beta2, epsilon)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        del params
        mu = optax.tree.update_moment(updates, state.mu, beta1, 1)
        nu = optax.tree.update_moment_per_elem_norm(updates, state.nu, beta2, 2)
        count = optax.safe_increment(state.count)
        scale = jnp.sqrt(1 - beta2**count) / (1 - beta1**count)
        steps = jax.tree.map(lambda m, v: scale * m / (jnp.sqrt(v) + epsilon), mu, nu)
        return steps, optax.ScaleByAdamState(count=count, mu=mu, nu=nu)

    return optax.GradientTransformation(adam.init, update)


def _matrices(params: Any) -> Any:
    """True for kernels; biases, norms, gains and embeddings are not decayed."""

    def is_matrix(path: tuple[Any, ...], leaf: Any) -> bool:
        name = str(getattr(path[-1], "key", path[-1]))
        return leaf.ndim >= 2 and not name.endswith(("bias", "scale"))

    return jax.tree_util.tree_map_with_path(is_matrix, params)
