"""Plans: from a compiler that stands in, and from the real one."""

import io
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from programs import cycles, line, program
from rich.console import Console

from deepecg_jax.config import PretrainConfig
from deepecg_jax.config_files import load_config
from deepecg_jax.errors import UserError
from deepecg_jax.plan import plan as plans
from deepecg_jax.plan.chips import CHIPS
from deepecg_jax.plan.compiling import Compilation, TooBig
from deepecg_jax.plan.report import compared, markdown, read_plans, shown
from deepecg_jax.plan.topology import topology_named

# INTERFACE of `plan --json`, which others script against
KEYS = {
    "topology",
    "n_devices",
    "device_kind",
    "fits",
    "hbm_bytes_per_device",
    "peak_bytes_per_device",
    "model_flops_per_step_per_device",
    "predicted_step_seconds",
    "predicted_ecg_per_s",
    "predicted_mfu",
    "top_ops",
    "collectives",
    "compile_seconds",
}
MEMORY = {
    "parameters": 400,
    "optimizer_state": 800,
    "moving_average": 0,
    "teacher": 0,
    "statistics": 0,
    "batch": 60,
    "padding": 40,
    "temporaries": 5000,
    "output_not_aliased": 100,
    "program": 600,
}
GROUPS = "replica_groups={{0,1,2,3}}"
# a millisecond of computing, and a transfer of 2 x 3/4 x 40 MB over two links: 0.6 ms
TEXT = program(
    f"""  %p = f32[10000000] parameter(0)
  %a = f32[8] fusion(%p), kind=kLoop, calls=%f, {line(2, "mul")}, {cycles(1_500_000)}
  %r = f32[10000000] all-reduce(%p), channel_id=1, {GROUPS}, to_apply=%add
"""
)


class FakeDevices:
    """Four chips in a square, without libtpu."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def devices(self, _: object) -> list[Any]:
        return [
            SimpleNamespace(coords=(x, y, 0), device_kind="TPU v5 lite", slice_index=None)
            for y in (0, 1)
            for x in (0, 1)
        ]

    def mesh(self, _: object, devices: list[Any]) -> Any:
        return SimpleNamespace(shape={"data": len(devices), "fsdp": 1, "tensor": 1})

    def compile(self, config: PretrainConfig, devices: list[Any], *_: object) -> Compilation:
        batch = config.train.global_batch
        self.asked.append(batch)
        needed = 10**9 + batch * 10**6
        memory: Any = {**MEMORY, "temporaries": needed - sum(MEMORY.values()) + 5000}
        there = CHIPS["v5e"].hbm_bytes
        if needed > there:
            memory |= {"temporaries": None, "program": None}
            return Compilation(devices, memory, 7.0, None, TooBig(needed, there, "Ran out."))
        return Compilation(devices, memory, 60.0, TEXT, None)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeDevices:
    stand_in = FakeDevices()
    monkeypatch.setattr(plans, "devices_of", stand_in.devices)
    monkeypatch.setattr(plans, "make_mesh", stand_in.mesh)
    monkeypatch.setattr(plans, "compile_step", stand_in.compile)
    monkeypatch.setattr(plans, "version", lambda name: f"{name} 1")
    return stand_in


def config(batch: int) -> PretrainConfig:
    given = [f"train.global_batch={batch}", "train.compute_dtype=bfloat16"]
    return load_config(PretrainConfig, "pretrain/wcr_tiny.yaml", given)


def text_of(renderable: Any) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(renderable)
    return console.export_text()


def test_a_program_that_fits(fake: FakeDevices) -> None:
    found = plans.plan(config(64), topology_named("v5e:2x2"), price=1.2)
    assert found.keys() >= KEYS and found["fits"]
    assert found["peak_bytes_per_device"] == 10**9 + 64 * 10**6
    assert found["predicted_step_seconds"] == pytest.approx(1.6e-3)
    assert found["exposed_collective_seconds"] == pytest.approx(0.6e-3)
    assert found["predicted_ecg_per_s"] == pytest.approx(64 / 1.6e-3)
    flops, seconds = found["model_flops_per_step_per_device"], found["predicted_step_seconds"]
    assert flops is not None and seconds is not None
    assert found["predicted_mfu"] == pytest.approx(flops / 197e12 / seconds)
    assert found["usd_per_million_ecgs"] == pytest.approx(4 * 1.2 / 3600 / 40_000 * 1e6)
    (operation,) = found["top_ops"]
    assert (operation["cycles"], operation["share"]) == (1_500_000, 1.0)
    assert operation["source"] == "deepecg_jax/models/blocks/attention.py:64"
    (collective,) = found["collectives"]
    assert (collective["kind"], collective["count"], collective["bytes"]) == (
        "all-reduce",
        1,
        40_000_000,
    )
    text = text_of(shown(found))
    for part in ("fits", "optimizer state", "attention.py:64", "1.6 ms", "all-reduce", "Limits"):
        assert part in text
    assert "moving average" not in text, "there is none"


def test_a_program_that_does_not_fit_is_an_answer(fake: FakeDevices) -> None:
    found = plans.plan(config(1_000_000), topology_named("v5e:2x2"), price=1.2)
    assert found.keys() >= KEYS and not found["fits"]
    assert found["peak_bytes_per_device"] == 10**9 + 10**12
    assert found["predicted_step_seconds"] is found["predicted_mfu"] is None
    assert found["usd_per_million_ecgs"] is None
    assert found["model_flops_per_step_per_device"] is not None
    assert found["top_ops"] == found["collectives"] == []
    text = text_of(shown(found))
    assert "does not fit" in text and "Ran out." in text


def test_the_largest_batch_is_planned_with(fake: FakeDevices) -> None:
    found = plans.plan_largest(config(64), topology_named("v5e:2x2"), compiler=fake.compile)
    best = (CHIPS["v5e"].hbm_bytes - 10**9) / 10**6
    assert found["fits"] and 0.95 * best < found["global_batch"] <= best
    assert found["predicted_ecg_per_s"] == pytest.approx(found["global_batch"] / 1.6e-3)
    assert found["search"] is not None
    assert found["search"]["largest_batch"] == found["global_batch"] == fake.asked[-1]
    assert "Largest batch found" in text_of(shown(found))


def test_several_topologies_make_a_table(fake: FakeDevices, tmp_path: Path) -> None:
    slices = [topology_named("v5e:2x2"), topology_named("v6e:2x2")]
    found = [plans.plan(config(64), one, p) for one, p in zip(slices, (1.2, None), strict=True)]
    text = text_of(compared(found))
    assert "v5e:2x2" in text and "v6e:2x2" in text
    one, both = tmp_path / "one.json", tmp_path / "both.json"
    one.write_text(json.dumps(found[0]))
    both.write_text(json.dumps({"schema": 1, "plans": found}))
    lines = markdown([one, both]).splitlines()
    assert len(lines) == 2 + 3 and lines[2] == lines[3]
    assert lines[2].startswith(
        "| WCR, tiny | v5e:2x2 | 4 | 64 | yes | 0.99 | 15.75 | 1.6 | 40,000 |"
    )
    assert lines[4].split(" | ")[-2] == "–", "no price, no cost"


def test_files_that_are_no_plans_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    for text in ("[]", "{}", "no"):
        file.write_text(text)
        with pytest.raises(UserError, match=r"x.json"):
            read_plans(file)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("libtpu") is None, reason="libtpu, the compiler, is not installed")
def test_the_real_compiler(tmp_path: Path) -> None:
    """The whole command, on a slice that is not there."""
    file = tmp_path / "plan.json"
    arguments = ["plan", "pretrain/wcr_tiny.yaml", "--topology", "v5e:2x2", "--json", str(file)]
    small = "train.global_batch=256 model.layers=1 model.width=128 model.positional_groups=16"
    split = "train.compute_dtype=bfloat16 mesh.data=1 mesh.fsdp=4"
    command = [sys.executable, "-m", "deepecg_jax.cli.main", *arguments]
    command += [*small.split(), *split.split()]
    # the partitioner's work is looked at, so XLA need not try hard at the rest
    environment = os.environ | {"JAX_EXEC_TIME_OPTIMIZATION_EFFORT": "-1.0"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    assert "compiling 256 ECGs a step for v5e:2x2: " in done.stderr
    assert "WARNING" not in done.stderr and "TPU_WORKER" not in done.stderr
    (found,) = read_plans(file)
    assert found.keys() >= KEYS and found["fits"] and found["n_devices"] == 4
    assert found["device_kind"] == "TPU v5 lite"
    memory = found["memory"]
    # Adam keeps two arrays for each parameter, and a batch is int16
    assert memory["optimizer_state"] == pytest.approx(2 * memory["parameters"], abs=64)
    assert memory["batch"] == 64 * (2500 * 12 * 2 + 12 + 4)
    sizes = cast(dict[str, int], memory)
    assert min(sizes.values()) >= 0
    assert found["peak_bytes_per_device"] == sum(sizes.values())
    sources = [one["source"] for one in found["top_ops"]]
    assert any(source.startswith("deepecg_jax/models/") for source in sources)
    assert any(source.startswith("deepecg_jax/training/step.py:") for source in sources)
    kinds = {one["kind"]: one for one in found["collectives"]}
    # parameters that are stored in parts are collected; sums over devices are in float32
    assert "all-gather" in kinds or "collective-permute" in kinds
    sums = [kinds[name] for name in ("all-reduce", "reduce-scatter") if name in kinds]
    assert sums and all(one["dtypes"] == ["f32"] for one in sums)
    # no activation is sent: the smallest is (rows of a device, tokens, width) in bfloat16
    least = 2 * (2 * 256 // 4) * 80 * 128
    assert max(one["largest"] for one in kinds.values()) < least
    assert found["unknown_loops"] == 0
    assert 1e-4 < found["predicted_step_seconds"] < 1e-2  # type: ignore[operator]
    assert 0 < found["predicted_mfu"] < 0.1  # type: ignore[operator]
