"""Pretraining on synthetic ECGs in memory, by the very step that a run takes."""

from typing import Any, NamedTuple

import jax
import numpy as np

from deepecg_jax.config import PretrainConfig
from deepecg_jax.config_files import load_config
from deepecg_jax.signals.synthetic import generate
from deepecg_jax.training.mesh import run_mesh
from deepecg_jax.training.optimizer import make_update
from deepecg_jax.training.program import build, make_loss, teacher_of
from deepecg_jax.training.state import make_state
from deepecg_jax.training.step import make_step

RATE = 250.0


class Learned(NamedTuple):
    """Metrics of every step, and the first and the last state on the host."""

    metrics: list[dict[str, float]]
    first: Any
    last: Any


def learned(
    model: dict[str, Any],
    objective: dict[str, Any],
    *,
    steps: int,
    batch: int,
    seconds: float,
    ecgs: int = 256,
    learning_rate: float = 3e-3,
) -> Learned:
    """``steps`` updates on random pieces of ``ecgs`` synthetic ECGs."""
    config = load_config(
        PretrainConfig,
        "configs/pretrain/wcr_tiny.yaml",
        [
            f"model={model}",
            f"objective={objective}",
            f"train.steps={steps}",
            f"train.global_batch={batch}",
            f"optimizer.learning_rate={learning_rate}",
            f"schedule.warmup_steps={steps // 10}",
            f"augment.crop_seconds={seconds}",
            "mesh.data=1",
        ],
    )
    made = generate(np.arange(ecgs), seed=0)
    signals = np.round(made.signal * 1000).astype(np.int16)
    rng = np.random.default_rng(0)
    mesh = run_mesh(config, jax.devices()[:1])
    update = make_update(config, config.compat, teacher_of(config), config.model.STEM)
    found = []
    with jax.set_mesh(mesh):
        state, shardings = make_state(
            lambda key: build(config, key), update, mesh, jax.random.key(0)
        )
        first = jax.device_get(state)
        step = make_step(make_loss(config, RATE), update, shardings, config.seed + 1)
        for _ in range(steps):
            chosen = rng.choice(ecgs, batch, replace=False)
            rows = {"signal": signals[chosen], "lead_mask": np.ones((batch, 12), bool)}
            state, metrics = step(state, rows)
            found.append(metrics)
    values = [{k: float(v) for k, v in jax.device_get(row).items()} for row in found]
    return Learned(values, first, jax.device_get(state))


def mean_of(rows: list[dict[str, float]], name: str) -> float:
    """Of a metric over some steps."""
    return float(np.mean([row[name] for row in rows]))
