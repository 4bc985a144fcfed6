"""The train step as XLA:TPU compiles it for four chips that are not there: rows are split, and sums
over devices are in float32.
"""

import json
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import pytest

WIDTH, TOKENS, BATCH = 256, 80, 64
COMPILE = """
import json, re, sys
from deepecg_jax.plan.topology import devices_of, prepare, topology_named
prepare()
from deepecg_jax.config import PretrainConfig
from deepecg_jax.config_files import load_config
from deepecg_jax.plan.collectives import kind_of
from deepecg_jax.plan.compiling import compile_step
from deepecg_jax.plan.hlo import read_program
config = load_config(PretrainConfig, "pretrain/wcr_tiny.yaml", sys.argv[1:])
compiled = compile_step(config, devices_of(topology_named("v5e:2x2")))
program = read_program(compiled.program)
found = []
for name, instructions in program.computations.items():
    for one in instructions:
        if kind_of(one) is not None:
            found.append([kind_of(one), one.shape, one.op_name, one.channel])
print(json.dumps({"collectives": found, "memory": compiled.memory}))
"""
SHAPE = f"model.width={WIDTH} model.ffn_width=1024 model.layers=2 model.heads=4"
CONFIG = f"{SHAPE} model.positional_groups=16 train.compute_dtype=bfloat16"


def compiled(fsdp: int) -> dict[str, Any]:
    """Collectives and memory of the step on a mesh of 4 / fsdp x fsdp chips."""
    mesh = f"mesh.data=-1 mesh.fsdp={fsdp} train.global_batch={BATCH} schedule.warmup_steps=0"
    command = [sys.executable, "-c", COMPILE, *CONFIG.split(), *mesh.split()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.skipif(find_spec("libtpu") is None, reason="libtpu, the compiler, is not installed")
@pytest.mark.parametrize("fsdp", [1, 4])
def test_the_program_for_four_chips(fsdp: int) -> None:
    from deepecg_jax.plan.hlo import size_of

    found = compiled(fsdp)
    memory = found["memory"]
    assert found["collectives"]
    kernels = 2 * 4 * (4 * WIDTH**2 + 2 * WIDTH * 1024)  # of two layers, float32
    if fsdp == 4:
        assert memory["parameters"] < 0.25 * kernels + 2 * 2**20
    for kind, shape, name, _ in found["collectives"]:
        # no activation is sent: the smallest one is (rows of a device, tokens, width) in bfloat16
        least = 2 * (2 * BATCH // 4) * TOKENS * WIDTH
        assert size_of(shape) < least or "dot_general" in name or "slice" in name, (kind, shape)
        # sums over devices, also in the loops that XLA makes of a sum into parts
        summed = kind in ("all-reduce", "reduce-scatter") or (
            kind == "collective-permute" and "transpose" in name and "dot_general" in name
        )
        if summed:
            assert "bf16" not in shape, (kind, shape, name)
