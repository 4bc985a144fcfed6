"""Optimizer and learning-rate schedule from a config."""

from typing import Any

import jax
import optax

from deepecg_jax.config import OptimizerConfig, ScheduleConfig
from deepecg_jax.errors import UserError


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
        main = optax.cosine_decay_schedule(
            learning_rate, steps - schedule.warmup_steps, schedule.final_share
        )
    if schedule.warmup_steps == 0:
        return main
    return optax.join_schedules([warmup, main], [schedule.warmup_steps])


def make_optimizer(
    optimizer: OptimizerConfig, schedule: optax.Schedule, clip_norm: float | None
) -> optax.GradientTransformation:
    """Clipping (if any), then AdamW."""
    steps = [] if clip_norm is None else [optax.clip_by_global_norm(clip_norm)]
    steps.append(
        optax.adamw(
            schedule,
            b1=optimizer.beta1,
            b2=optimizer.beta2,
            eps=optimizer.epsilon,
            weight_decay=optimizer.weight_decay,
            mask=None if optimizer.decay_all else _matrices,
        )
    )
    return optax.chain(*steps)


def _matrices(params: Any) -> Any:
    """True for kernels; biases, norms, gains and embeddings are not decayed."""

    def is_matrix(path: tuple[Any, ...], leaf: Any) -> bool:
        name = str(getattr(path[-1], "key", path[-1]))
        return leaf.ndim >= 2 and not name.endswith(("bias", "scale"))

    return jax.tree_util.tree_map_with_path(is_matrix, params)
