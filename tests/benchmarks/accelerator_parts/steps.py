"""The pretraining step: batches, what is computed again, random numbers, objectives."""

import functools
from collections.abc import Iterator

import jax

from accelerator_parts.programs import (
    Trainer,
    compile_all,
    layout,
    measured_step,
    measured_steps,
    settings,
    trainer,
    with_share,
)
from accelerator_parts.rows import Row, Rows, tried
from accelerator_parts.sizes import Size
from deepecg_jax.errors import UserError
from deepecg_jax.models.families import FAMILIES
from deepecg_jax.objectives.kinds import OBJECTIVES

PLAIN = {
    "model__dropout": 0.0,
    "model__attention_dropout": 0.0,
    "model__dropout_input": 0.0,
    "objective__dropout_features": 0.0,
}
BFLOAT16 = {"train__compute_dtype": "bfloat16"}


def step(size: Size, rows: Rows) -> Iterator[Row]:
    """The shipped step by batch, in float32, and as the twin in PyTorch: without dropout."""
    own, rate = trainer(size.config), rows.value("device", "peak_tflops")
    configs = {f"batch {n}": settings(size.config, n, **BFLOAT16) for n in size.batches}
    shipped = tuple(configs)
    configs |= {
        "float32": settings(size.config, size.float32_batch, train__compute_dtype="float32"),
        "no dropout": settings(size.config, size.batch, **PLAIN, **BFLOAT16),
        "no dropout, attention xla": settings(
            size.config, size.batch, **PLAIN, **BFLOAT16, model__attention="xla"
        ),
    }
    # one alone, so that its seconds are those of a training that starts
    first = f"batch {size.batch}"
    tracing = {name: functools.partial(own.lowered, config) for name, config in configs.items()}
    programs = compile_all({first: tracing.pop(first)})
    programs |= compile_all(tracing)
    full = False
    for name, config in configs.items():
        result = programs.pop(name)
        if full and name in shipped:
            yield {"case": name, "error": "not tried: a smaller batch was out of memory"}
            continue
        measure = functools.partial(measured_step, own, config, result, size.calls)
        row = tried(name, measure)
        full = full or "RESOURCE_EXHAUSTED" in row.get("error", "")
        yield with_share(row, rate)


def remat(size: Size, rows: Rows) -> Iterator[Row]:
    """What the backward pass computes again, layers unrolled, layouts; these change no number."""
    own, rate = trainer(size.config), rows.value("device", "peak_tflops")
    shipped = settings(size.config, size.batch, **BFLOAT16)
    cases = {
        f"{kept}, unrolled {unroll}": settings(
            size.config, size.batch, **BFLOAT16, model__remat=kept, model__scan_unroll=unroll
        )
        for kept, unroll in size.remat
    }

    def heads_first() -> jax.stages.Lowered:
        with layout(folded=False):
            return own.lowered(shipped)

    tracing = {name: functools.partial(own.lowered, config) for name, config in cases.items()}
    programs = compile_all({**tracing, "heads first": heads_first})
    for name, result in programs.items():
        config = cases.get(name, shipped)
        row = tried(name, functools.partial(measured_step, own, config, result, size.calls))
        yield with_share(row, rate)


def random(size: Size, rows: Rows) -> Iterator[Row]:
    """The share of random bits: as shipped, and no dropout at all by the same attention."""
    own, rate = trainer(size.config), rows.value("device", "peak_tflops")
    cases = {
        "dropout": settings(size.config, size.batch, **BFLOAT16),
        "none": settings(size.config, size.batch, **PLAIN, **BFLOAT16, model__attention="xla"),
    }
    yield from measured_steps(own, cases, size.calls, rate)


def pairs(size: Size, rows: Rows) -> Iterator[Row]:
    """Every objective with every family at its default shape, beside the shipped pair."""
    own = trainer(size.config)
    shipped = (own.config.objective.kind, own.config.model.kind)
    for objective in OBJECTIVES:
        for family in FAMILIES:
            if (objective, family) != shipped:
                name = f"{objective} x {family}"
                yield tried(name, lambda o=objective, f=family: _pair(size, o, f))


def _pair(size: Size, objective: str, family: str) -> Row:
    kinds = {"model__kind": family, "objective__kind": objective}
    try:
        config = settings(size.config, size.float32_batch, **kinds, **BFLOAT16)
    except UserError as error:
        return {"refused": str(error)}
    own = Trainer(config)
    programs = compile_all({"": lambda: own.lowered(config)})
    return measured_step(own, config, programs[""], size.calls)
