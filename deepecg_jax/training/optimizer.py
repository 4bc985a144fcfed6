"""How gradients change the weights: optimizer, learning-rate schedule and averages, by a config."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import cast

import jax
import jax.numpy as jnp
import optax

from deepecg_jax.config import OptimizerConfig, RunConfig, ScheduleConfig
from deepecg_jax.errors import UserError
from deepecg_jax.objectives.config import CompatConfig
from deepecg_jax.training.averages import Teacher


@dataclass(frozen=True)
class Update:
    """What an update does beside computing the gradient.

    Attributes:
        optimizer: from gradients to changes of the weights.
        schedule: learning rate by step; the optimizer has it already, it is here to be logged.
        accumulation: parts a batch is computed in, whose gradients are averaged.
        ema_decay: of the moving average of the weights; None: none is kept.
        teacher: the averaged copy that the loss gets; None: none is kept.
        split_moments: the update is computed in parts over the data axis of the mesh.
        deterministic: the step sums in a fixed order, also on GPU.
    """

    optimizer: optax.GradientTransformation
    schedule: optax.Schedule
    accumulation: int = 1
    ema_decay: float | None = None
    teacher: Teacher | None = None
    split_moments: bool = False
    deterministic: bool = False


def make_update(
    config: RunConfig,
    compat: CompatConfig,
    teacher: Teacher | None = None,
    stem: Collection[str] = (),
) -> Update:
    """The update of a run; UserError for a warm-up as long as the training.

    stem: attributes of the encoder that have the smallest rate of ``optimizer.group_factor``.
    """
    train = config.train
    schedule = make_schedule(config.schedule, config.optimizer.learning_rate, train.steps)
    optimizer = make_optimizer(config.optimizer, schedule, train.clip_norm, compat, stem)
    return Update(
        optimizer,
        schedule,
        train.accumulation,
        train.ema_decay,
        teacher,
        config.mesh.split_moments,
        train.deterministic,
    )


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
    stem: Collection[str] = (),
) -> optax.GradientTransformation:
    """Clipping (if any), then AdamW, then the factors of the groups (``stem``: `make_update`)."""
    steps = [] if clip_norm is None else [optax.clip_by_global_norm(clip_norm)]
    adam = optax.scale_by_adam if compat.adam_epsilon == "corrected" else scale_by_fairseq_adam
    mask = None if optimizer.decay_all else _matrices
    groups = []
    if optimizer.group_factor != 1.0:
        groups = [scale_by_group(optimizer.group_factor, stem)]
    return optax.chain(
        *steps,
        adam(optimizer.beta1, optimizer.beta2, optimizer.epsilon),
        optax.add_decayed_weights(optimizer.weight_decay, mask),
        *groups,
        optax.scale_by_learning_rate(schedule),
    )


def scale_by_group(factor: float, stem: Collection[str]) -> optax.GradientTransformation:
    """Updates of the encoder times ``factor``, those of its ``stem`` times its square.

    So heads learn at the full rate, as the discriminative rates of ECG-CPC (Al-Masud et al. 2025).
    """

    def scaled(path: jax.tree_util.KeyPath, update: jax.Array) -> jax.Array:
        names = [str(getattr(entry, "key", entry)) for entry in path]
        if names[0] != "encoder":
            return update
        return update * (factor**2 if names[1] in stem else factor)

    return optax.stateless(
        lambda updates, params: jax.tree_util.tree_map_with_path(scaled, updates)
    )


def scale_by_fairseq_adam(
    beta1: float, beta2: float, epsilon: float
) -> optax.GradientTransformation:
    """Adam whose epsilon joins the second moment before its bias is corrected.

    sqrt(1 - beta2^t) / (1 - beta1^t) m / (sqrt(v) + epsilon), as fairseq's Adam; torch and optax
    divide by sqrt(v / (1 - beta2^t)) + epsilon.
    """
    adam = optax.scale_by_adam(beta1, beta2, epsilon)

    def update(
        updates: optax.Updates, state: optax.OptState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, optax.OptState]:
        del params
        before = cast(optax.ScaleByAdamState, state)
        mu = optax.tree.update_moment(updates, before.mu, beta1, 1)
        nu = optax.tree.update_moment_per_elem_norm(updates, before.nu, beta2, 2)
        count = optax.safe_increment(before.count)
        scale = jnp.sqrt(1 - beta2**count) / (1 - beta1**count)
        steps = jax.tree.map(lambda m, v: scale * m / (jnp.sqrt(v) + epsilon), mu, nu)
        return steps, optax.ScaleByAdamState(count=count, mu=mu, nu=nu)

    return optax.GradientTransformation(adam.init, update)


def _matrices(params: optax.Params) -> optax.Params:
    """True for kernels; biases, norms, gains and embeddings are not decayed."""

    def is_matrix(path: jax.tree_util.KeyPath, leaf: jax.Array) -> bool:
        name = str(getattr(path[-1], "key", path[-1]))
        return leaf.ndim >= 2 and not name.endswith(("bias", "scale"))

    return jax.tree_util.tree_map_with_path(is_matrix, params)
