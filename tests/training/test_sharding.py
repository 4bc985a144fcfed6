"""Sharding is what its name says: shown by the compiled programs, not by numbers alone."""

import functools
import math
from collections import Counter
from typing import NamedTuple

import jax
import numpy as np
import pytest
from patch_toy import PatchConfig

from deepecg_jax.config import PretrainConfig
from deepecg_jax.config_files import load_config
from deepecg_jax.models.families import FAMILIES
from deepecg_jax.objectives.objective import Draw
from deepecg_jax.plan.collectives import KINDS
from deepecg_jax.plan.hlo import Program, read_program, size_of
from deepecg_jax.signals.contract import SignalContract
from deepecg_jax.training.mesh import batch_sharding, run_mesh
from deepecg_jax.training.program import build, make_loss, pretraining_program
from deepecg_jax.training.state import parts_of, shapes_of, split_model
from deepecg_jax.training.step import compute

MESHES = {"8x1x1": (8, 1, 1), "1x8x1": (1, 8, 1), "2x2x2": (2, 2, 2)}
WIDTH, HIDDEN, LAYERS, TOKENS = 64, 256, 1, 78


def config_of(mesh: tuple[int, int, int], batch: int, *more: str) -> PretrainConfig:
    """A transformer whose layers are most of it."""
    data, fsdp, tensor = mesh
    shape = f"model.width={WIDTH} model.ffn_width={HIDDEN} model.layers={LAYERS} model.heads=8"
    sizes = f"mesh.data={data} mesh.fsdp={fsdp} mesh.tensor={tensor} train.global_batch={batch}"
    rest = f"model.conv_layers=[[{WIDTH},16,16]] model.positional_groups=8 schedule.warmup_steps=0"
    overrides = [*shape.split(), *sizes.split(), *rest.split(), *more]
    return load_config(PretrainConfig, "configs/pretrain/wcr_tiny.yaml", overrides)


class Figures(NamedTuple):
    """What is read of a compiled step; the program itself is hundreds of megabytes."""

    sent: Counter[str]
    argument_bytes: int
    temporary_bytes: int


@functools.cache
def compiled(mesh: tuple[int, int, int], batch: int, *more: str) -> Figures:
    config = config_of(mesh, batch, *more)
    devices = jax.devices()[: math.prod(mesh)]
    own = run_mesh(config, devices)
    program = pretraining_program(config, own).lowered(own).compile()
    memory = program.memory_analysis()
    assert memory is not None
    return Figures(
        sent(read_program(program.as_text() or "")),
        memory.argument_size_in_bytes,
        memory.temp_size_in_bytes,
    )


def sent(program: Program) -> Counter[str]:
    """Bytes of the results of collectives, by kind; loops are unrolled, so each runs once."""
    total: Counter[str] = Counter()
    for instructions in program.computations.values():
        for one in instructions:
            kind = one.opcode.removesuffix("-start")
            if kind in KINDS:
                total[kind] += size_of(one.shape)
    return total


def parameter_bytes() -> tuple[int, int]:
    """Of all parameters, and of those that the table splits by width, in float32."""
    model = shapes_of(lambda key: build(config_of((1, 1, 1), 16), key))
    leaves = jax.tree_util.tree_leaves_with_path(parts_of(model)[0])
    split = ("qkv_kernel", "out_kernel", "up_kernel", "down_kernel", "direction")
    sizes = [(str(path[-1].key), 4 * math.prod(leaf.shape)) for path, leaf in leaves]
    return sum(n for _, n in sizes), sum(n for name, n in sizes if name in split)


def activation_bytes(rows: int) -> int:
    """Of one array of tokens of that many rows, float32."""
    return 4 * rows * TOKENS * WIDTH


@pytest.mark.slow
@pytest.mark.parametrize("mesh", MESHES.values(), ids=MESHES)
def test_what_is_sent_is_what_the_table_implies(mesh):
    """Gradients once; parameters that are stored in parts twice; CMSC's vectors; no activation
    but between the devices that share a product.
    """
    data, fsdp, tensor = mesh
    total, split = parameter_bytes()
    few, many = compiled(mesh, 16).sent, compiled(mesh, 32).sent
    # every parameter's gradient is summed over rows; the split ones are collected twice. XLA:CPU
    # writes the sum into parts as a sum of the whole and a cut
    implied = total + (2 * split if fsdp > 1 else 0)
    own_rows = 2 * 16 // (data * fsdp)
    shared = 0
    if tensor > 1:
        # an all-reduce behind each half of a layer, forward and backward (Shoeybi et al. 2019)
        shared = 4 * LAYERS * activation_bytes(own_rows)
    assert 0.5 * implied < sum(few.values()) < 1.5 * (implied + shared) + 2**20 / 4
    # twice the batch sends no more, but for the vectors of CMSC and what devices share
    growth = sum(many.values()) - sum(few.values())
    assert growth < 1.5 * shared + activation_bytes(1) * 2


@pytest.mark.slow
@pytest.mark.parametrize("mesh", MESHES.values(), ids=MESHES)
def test_each_device_computes_its_own_rows(mesh):
    """The memory for intermediate results is a share of that of one device."""
    parts = mesh[0] * mesh[1]
    alone, spread = compiled((1, 1, 1), 32), compiled(mesh, 32)
    parameters = parameter_bytes()[0]
    most = alone.temporary_bytes / parts + 3 * parameters
    assert spread.temporary_bytes < 1.3 * most


@pytest.mark.slow
def test_parameters_and_moments_are_stored_in_parts():
    whole, split = compiled((8, 1, 1), 16), compiled((1, 8, 1), 16)
    moments = compiled((8, 1, 1), 16, "mesh.split_moments=true")
    total, by_width = parameter_bytes()
    saved = whole.argument_bytes - split.argument_bytes
    np.testing.assert_allclose(saved, 3 * by_width * 7 / 8, rtol=0.01)
    saved = whole.argument_bytes - moments.argument_bytes
    assert 0.9 * 2 * total * 7 / 8 < saved <= 2 * total * 7 / 8


@functools.cache
def gradients(mesh: tuple[int, int, int], *more: str) -> tuple[float, dict[str, np.ndarray]]:
    """Loss and gradient of one batch on a mesh, the same weights and draws everywhere."""
    config = config_of(mesh, 16, *more)
    own = run_mesh(config, jax.devices()[: math.prod(mesh)])
    contract = SignalContract()
    loss = make_loss(config, contract.sampling_rate)
    weights = split_model(build(config, jax.random.key(0)))[1]
    rng = np.random.default_rng(0)
    batch = {
        "signal": rng.normal(0, 300, (16, 2500, 12)).astype(np.int16),
        "lead_mask": np.ones((16, 12), bool),
        "patient": np.arange(16, dtype=np.int32) // 2,
    }
    program = pretraining_program(config, own)
    weights = jax.device_put(weights, jax.tree.map(lambda x: x.sharding, program.state["params"]))
    batch = jax.device_put(batch, batch_sharding(own))

    def passed(weights, batch):
        done = compute(loss, weights, {}, batch, Draw(jax.random.key(1), np.int32(3)), {})
        return done.metrics["loss"], done.gradients

    with jax.set_mesh(own):
        value, tree = jax.jit(passed)(weights, batch)
    leaves = jax.tree_util.tree_leaves_with_path(jax.device_get(tree))
    return float(value), {jax.tree_util.keystr(path): leaf for path, leaf in leaves}


@pytest.mark.slow
@pytest.mark.parametrize("mesh", MESHES.values(), ids=MESHES)
def test_loss_and_gradients_are_those_of_one_device(mesh):
    loss, one = gradients((1, 1, 1))
    spread_loss, spread = gradients(mesh)
    np.testing.assert_allclose(spread_loss, loss, rtol=2e-6)
    assert one.keys() == spread.keys()
    for name, gradient in one.items():
        # of the largest entry: sums over rows are formed in another order
        atol = 2e-5 * np.abs(gradient).max()
        np.testing.assert_allclose(spread[name], gradient, rtol=0, atol=atol, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize(
    "objective",
    [{"kind": "jepa", "predictor_layers": 1}, {"kind": "masked", "decoder_layers": 1}],
    ids=lambda objective: objective["kind"],
)
def test_leaving_tokens_out_sends_no_tokens(objective, monkeypatch):
    """Rows pick their own: what is sent are gradients, and in JEPA means over ECGs of a place."""
    monkeypatch.setitem(FAMILIES, "patches", PatchConfig)
    model = {"kind": "patches", "width": WIDTH, "by_lead": True}
    rest = ["train.global_batch=32", "schedule.warmup_steps=0"]
    config = load_config(
        PretrainConfig,
        "configs/pretrain/wcr_tiny.yaml",
        [f"model={model}", f"objective={objective}", *rest],
    )
    own = run_mesh(config, jax.devices()[:8])
    program = pretraining_program(config, own)
    parameters = 4 * sum(leaf.size for leaf in jax.tree.leaves(program.state["params"]))
    one_ecg = 4 * config.model.n_tokens(2500) * WIDTH
    total = sum(sent(read_program(program.lowered(own).compile().as_text() or "")).values())
    assert (
        0.9 * parameters < total < 1.1 * parameters + 2.2 * one_ecg * ("jepa" in objective["kind"])
    )
