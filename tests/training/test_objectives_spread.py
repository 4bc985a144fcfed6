"""Objectives on eight devices give the loss and the gradients of one."""

import functools
import json
import math
from typing import Any

import jax
import numpy as np
import pytest
from toys import CausalToyConfig

from deepecg_jax.config import PretrainConfig
from deepecg_jax.config_files import load_config
from deepecg_jax.models.families import FAMILIES
from deepecg_jax.objectives.objective import Draw
from deepecg_jax.training.mesh import batch_sharding, run_mesh
from deepecg_jax.training.program import build, make_loss, pretraining_program
from deepecg_jax.training.state import split_model
from deepecg_jax.training.step import compute

SECTIONS: dict[str, dict[str, Any]] = {
    "cpc": {"kind": "cpc", "horizons": [3], "negatives": 8, "cmsc_weight": 0.1},
    "sum": {
        "kind": "sum",
        "terms": {
            "contrast": {"objective": {"kind": "views", "method": "simclr", "projection": [8, 4]}},
            "coded": {"objective": {"kind": "views", "method": "simdino", "projection": [8, 4]}},
        },
    },
}


@functools.cache
def gradients(name: str, mesh: tuple[int, int, int]) -> tuple[float, dict[str, np.ndarray]]:
    """Loss and gradient of one batch, the same weights, teacher and draws everywhere."""
    data, fsdp, tensor = mesh
    sizes = f"mesh.data={data} mesh.fsdp={fsdp} mesh.tensor={tensor} train.global_batch=16"
    section = f"objective={json.dumps(SECTIONS[name])}"
    typed = ["model.kind=causal", section, *sizes.split(), "schedule.warmup_steps=0"]
    config = load_config(PretrainConfig, "configs/pretrain/wcr_tiny.yaml", typed)
    own = run_mesh(config, jax.devices()[: math.prod(mesh)])
    program = pretraining_program(config, own)
    places = jax.tree.map(lambda x: x.sharding, program.state["params"])
    weights = jax.device_put(split_model(build(config, jax.random.key(0)))[1], places)
    teacher = None
    if "teacher" in program.state:
        teacher = jax.device_put(split_model(build(config, jax.random.key(1)))[1], places)
    signal = np.random.default_rng(0).normal(0, 300, (16, 400, 12)).astype(np.int16)
    batch = {
        "signal": signal,
        "lead_mask": np.ones((16, 12), bool),
        "patient": np.arange(16, dtype=np.int32) // 2,
    }
    batch = jax.device_put(batch, batch_sharding(own))
    loss = make_loss(config, 250.0)

    def passed(weights: Any, teacher: Any, batch: Any) -> Any:
        draw = Draw(jax.random.key(1), np.int32(3), teacher)
        done = compute(loss, weights, {}, batch, draw, {})
        return done.metrics["loss"], done.gradients

    with jax.set_mesh(own):
        value, tree = jax.jit(passed)(weights, teacher, batch)
    leaves = jax.tree_util.tree_leaves_with_path(jax.device_get(tree))
    return float(value), {jax.tree_util.keystr(path): leaf for path, leaf in leaves}


@pytest.mark.slow
@pytest.mark.parametrize("name", SECTIONS)
def test_eight_devices_are_as_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FAMILIES, "causal", CausalToyConfig)
    loss, one = gradients(name, (1, 1, 1))
    spread_loss, spread = gradients(name, (2, 2, 2))
    np.testing.assert_allclose(spread_loss, loss, rtol=1e-5)
    assert one.keys() == spread.keys()
    for path, gradient in one.items():
        # sums over rows are formed in another order
        atol = 1e-4 * max(np.abs(leaf).max() for leaf in one.values())
        np.testing.assert_allclose(spread[path], gradient, rtol=0, atol=atol, err_msg=path)
