"""The training loop: batches in, state out; restores, logs, checkpoints, stops when told."""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import jax
from jax.sharding import Mesh
from rich.console import Console

from deepecg_jax.config import TrainConfig
from deepecg_jax.data.loading.batches import position_of
from deepecg_jax.errors import StoppedBySignal, UserError
from deepecg_jax.speed import per_second
from deepecg_jax.training.checkpoint import Checkpoints
from deepecg_jax.training.feed import Feed
from deepecg_jax.training.mesh import on_devices
from deepecg_jax.training.metrics_log import Meter, MetricsLog, progress_bar, waiting
from deepecg_jax.training.processes.agreement import require_agreement
from deepecg_jax.training.processes.interrupts import StopRequest
from deepecg_jax.training.state import abstract_state
from deepecg_jax.training.types import HostBatch, Metadata, State, StateShardings, Step


class Validator(Protocol):
    """What a loop asks now and then."""

    every: int  # steps between two validations

    def update(self, number: int, state: State) -> tuple[State, dict[str, float], bool]:
        """After update ``number``: the state, values to log, and whether to stop."""
        ...

    def exhausted(self, state: State) -> bool:
        """Whether a restored state needs no more steps."""
        ...


@dataclass
class Run:
    """What a loop needs; `fit` makes the parts."""

    workdir: Path
    train: TrainConfig
    mesh: Mesh
    shardings: StateShardings
    step: Step
    batches: Callable[[int], Iterator[HostBatch]]  # from the given step on
    metadata: Metadata
    console: Console
    validation: Validator | None = None
    description: str = "training"
    items: str = "ECG"  # what a batch holds: names the speed


def train(run: Run, state: State) -> State:
    """Train to ``train.steps``, resuming from the newest checkpoint in the workdir.

    Raises StoppedBySignal after saving on SIGTERM or SIGINT; UserError when the loss is no longer
    finite (nothing is saved then, so the last good checkpoint stays).
    """
    settings, validation = run.train, run.validation
    meter = Meter(settings.global_batch, run.items)
    with (
        MetricsLog(run.workdir / "metrics.jsonl") as log,
        Checkpoints(run.workdir / "checkpoints", settings.keep_checkpoints, run.metadata) as saved,
        StopRequest() as stop,
        progress_bar(run.console) as bar,
        ExitStack() as parts,
    ):
        number = 0
        require_agreement(
            "the newest checkpoint",
            {"step": saved.latest_step()},
            f"{run.workdir} must be on storage that all processes share",
        )
        if saved.latest_step() is not None:
            state, position = saved.restore(abstract_state(state, run.shardings))
            number = int(state["step"])
            expected = position_of(number, settings.global_batch)
            if position != expected:
                raise UserError(
                    f"{run.workdir} was trained with another train.global_batch (its data position "
                    f"is {position}, not {expected}); use that value or another workdir."
                )
            run.console.print(f"resuming at step {number} of {settings.steps}")
        feed = parts.enter_context(
            Feed(
                run.batches(number),
                lambda rows: on_devices(rows, run.mesh, settings.global_batch),
            )
        )
        task = bar.add_task(run.description, total=settings.steps, completed=number, status="")
        last_saved, compiled = number, False
        before = running = None  # what the last two steps give
        finished = validation is not None and validation.exhausted(state)
        while number < settings.steps and not finished:
            batch, waited = feed.next(running)
            jax.block_until_ready(before)  # batches of no more than two steps are on the devices
            state, metrics = run.step(state, batch)
            before, running = running, metrics
            number += 1
            meter.add(waited)
            if not compiled:
                jax.block_until_ready(metrics)  # compilation is not part of the speed
                meter.reset()
                compiled = True
            if number % settings.log_every == 0 or number == settings.steps:
                values = {name: float(value) for name, value in jax.device_get(metrics).items()}
                if not math.isfinite(values["loss"]):
                    raise UserError(
                        f"the loss is {values['loss']} at step {number}; the last checkpoint is of "
                        f"step {last_saved}: lower optimizer.learning_rate or train.clip_norm."
                    )
                speed = meter.read()
                log.write(number, {**values, **speed})
                rate = speed[f"{run.items.lower()}_per_s"]
                words = per_second(rate, run.items)
                # the step that was compiled is in no reading, so a first one may be of no step
                step_seconds = settings.global_batch / rate if rate else 0.0
                advice = waiting(speed["input_wait_fraction"], step_seconds)
                bar.update(task, status=f"loss {values['loss']:.4f}  {words}{advice}")
            bar.update(task, completed=number)
            if validation is not None and number % min(validation.every, settings.steps) == 0:
                state, values, finished = validation.update(number, state)
                log.write(number, values)
                meter.reset()
            signal_name = stop.received(number)
            due = number % settings.checkpoint_every == 0 or number == settings.steps or finished
            if due or signal_name:
                saved.save(number, state, position_of(number, settings.global_batch))
                last_saved = number
                meter.reset()
            if signal_name and not (finished or number == settings.steps):
                raise StoppedBySignal(
                    f"stopped by {signal_name} at step {number}; the state is saved, and the same "
                    "command resumes."
                )
    return state
