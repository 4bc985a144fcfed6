"""The same step and the same classifier in PyTorch, in processes of their own.

``torch.compile`` of the whole step takes minutes; compiled by parts (the stem, the positional
convolution and one layer for all twelve) it takes less than one, and the rest runs eagerly.
"""

import functools
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch_pretrainer import Pretrainer, exported_module

from accelerator_parts.inference import LABELS, architecture_of
from accelerator_parts.programs import ecgs, settings
from accelerator_parts.rows import Row, Rows, tried
from accelerator_parts.sizes import Size
from accelerator_parts.steps import PLAIN
from accelerator_parts.timing import pace

CASES = {  # name -> (autocast to bfloat16, what is compiled)
    "bfloat16, compiled by parts": (True, "parts"),
    "bfloat16, eager": (True, ""),
    "float32 (TF32), compiled by parts": (False, "parts"),
}
WHOLE = {"bfloat16, compiled whole": (True, "whole")}


def torch_device() -> torch.device:
    """The GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def wait(result: object) -> None:
    """Until the device has nothing to do."""
    del result
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def twin(size: Size, rows: Rows) -> Iterator[Row]:
    """Training step without dropout, and inference; each eager and compiled by parts."""
    del rows
    cases = {name: CASES[name] for name in size.torch or CASES}
    for name, case in cases.items():
        yield tried(f"step, {name}", functools.partial(_step, size, *case))
        yield tried(f"inference, {name}", functools.partial(_inference, size, *case))


def twin_whole(size: Size, rows: Rows) -> Iterator[Row]:
    """The same compiled as one program each."""
    del rows
    for name, case in WHOLE.items():
        yield tried(f"inference, {name}", functools.partial(_inference, size, *case))
        yield tried(f"step, {name}", functools.partial(_step, size, *case))


def _compile_parts(encoder: torch.nn.Module) -> None:
    """Stem, positional convolution and layers; equal layers share their compiled code."""
    for part in (encoder.feature_extractor, encoder.conv_pos, *encoder.encoder.layers):
        part.compile()


def _step(size: Size, autocast: bool, compiled: str) -> Row:
    torch.set_float32_matmul_precision("high")
    device, count = torch_device(), size.batch if autocast else size.float32_batch
    config = settings(size.config, count, **PLAIN)
    model = Pretrainer(
        config.model.model_dump(mode="json"), config.objective.model_dump(mode="json")
    ).to(device)
    signal = ecgs(count)["signal"].transpose(0, 2, 1)
    microvolts = torch.from_numpy(np.ascontiguousarray(signal)).to(device)
    patients = torch.arange(count, device=device)
    optimizer = config.optimizer
    adam = torch.optim.AdamW(
        model.parameters(),
        optimizer.learning_rate,
        (optimizer.beta1, optimizer.beta2),
        optimizer.epsilon,
        optimizer.weight_decay,
        fused=device.type == "cuda",
    )
    clip = config.train.clip_norm

    def loss() -> torch.Tensor:
        halves = torch.cat((microvolts.float() * 1e-3).chunk(2, -1))
        return model(halves, patients)

    if compiled == "parts":
        _compile_parts(model.encoder)
    run = torch.compile(loss) if compiled == "whole" else loss

    def step() -> torch.Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
            value = run()
        value.backward()
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        adam.step()
        adam.zero_grad()
        return value.detach()

    return _measured(step, count, size.calls)


def _inference(size: Size, autocast: bool, compiled: str) -> Row:
    torch.set_float32_matmul_precision("high")
    device, count = torch_device(), size.inference
    architecture = architecture_of(settings(size.config, 1).model)
    source = exported_module(architecture.model.kind)
    model = source.build(architecture.to_dict(), ["label"] * LABELS).to(device).eval()
    signal = ecgs(count)["signal"].transpose(0, 2, 1)
    millivolts = torch.from_numpy(np.ascontiguousarray(signal * np.float32(1e-3))).to(device)
    if compiled == "parts":
        _compile_parts(model.encoder)
    run = torch.compile(model) if compiled == "whole" else model

    def infer() -> torch.Tensor:
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=autocast):
            return run(millivolts)

    return _measured(infer, count, size.calls)


def _measured(call: Any, count: int, calls: int) -> Row:
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    wait(call())
    first = time.perf_counter() - start
    timed = pace(call, wait, calls)
    peak = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else None
    value = float(call().float().mean())
    torch.compiler.reset()
    return {
        "batch": count,
        **timed,
        "ecg_per_s": 1e3 * count / timed["ms"],
        "compile_s": first,
        "peak_gib": peak,
        "mean_output": value,
    }
