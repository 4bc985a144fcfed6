"""A short training of an objective on synthetic ECGs, as pretraining computes it."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from deepecg_jax.models.encoder import Encoder, EncoderConfig
from deepecg_jax.objectives.objective import Draw, ObjectiveConfig
from deepecg_jax.objectives.pretrainer import Pretrainer
from deepecg_jax.signals.synthetic.generate import generate


@functools.cache
def ecgs() -> np.ndarray:
    """(128, 750, 12) int16 microvolts, 3 s of each."""
    signal = generate(np.arange(128), seed=0).signal[:, :750]
    return np.round(1000 * signal).clip(-32000, 32000).astype(np.int16)


def learned(
    model: EncoderConfig,
    objective: ObjectiveConfig,
    steps: int,
    rows: int = 32,
    learning_rate: float = 3e-3,
) -> dict[str, np.ndarray]:
    """Metrics of each step, (steps,)."""
    module = Pretrainer(model, objective, jax.random.key(0))
    graph, variables = nnx.split(module)
    weights = nnx.to_pure_dict(variables)
    optimizer = optax.adam(learning_rate)
    signals = jnp.asarray(ecgs())
    follow = objective.teacher

    def loss(weights: Any, teacher: Any, step: jax.Array) -> tuple[jax.Array, Any]:
        key = jax.random.fold_in(jax.random.key(1), step)
        chosen = jax.random.choice(key, signals.shape[0], (rows,), replace=False)
        batch = {
            "signal": signals[chosen],
            "lead_mask": jnp.ones((rows, 12), bool),
            "patient": chosen,
        }
        student, averaged = nnx.merge(graph, weights), nnx.merge(graph, teacher)
        draw: Draw[Encoder] = Draw(key, step)
        if follow is not None:
            draw = draw._replace(teacher=averaged.encoder, teacher_heads=averaged.heads)
        return objective.loss(student.encoder, student.heads, batch, draw, jnp.float32)

    @jax.jit
    def step(weights: Any, teacher: Any, state: Any, number: jax.Array) -> Any:
        (_, metrics), slope = jax.value_and_grad(loss, has_aux=True)(weights, teacher, number)
        updates, state = optimizer.update(slope, state)
        weights = optax.apply_updates(weights, updates)
        decay = 1.0 if follow is None else follow.start
        teacher = jax.tree.map(lambda t, w: decay * t + (1 - decay) * w, teacher, weights)
        return weights, teacher, state, metrics

    teacher, state, found = weights, optimizer.init(weights), []
    for number in range(steps):
        weights, teacher, state, metrics = step(weights, teacher, state, jnp.int32(number))
        found.append(metrics)
    return {name: np.array([float(one[name]) for one in found]) for name in found[0]}
