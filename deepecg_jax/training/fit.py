"""What every training does: open the run folder, set up, train or resume, take the weights."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from rich.console import Console

from deepecg_jax.config import RunConfig
from deepecg_jax.errors import UserError
from deepecg_jax.models.blocks.layers import as_dtype
from deepecg_jax.models.encoder import EncoderConfig
from deepecg_jax.objectives.config import CompatConfig
from deepecg_jax.training.averages import Teacher
from deepecg_jax.training.loop import Run, train
from deepecg_jax.training.mesh import batch_rows, gathered
from deepecg_jax.training.optimizer import make_update
from deepecg_jax.training.processes.agreement import first_says
from deepecg_jax.training.processes.host_memory import keep_freed_memory_on_cpu
from deepecg_jax.training.state import make_state, weights_of
from deepecg_jax.training.step import make_step
from deepecg_jax.training.types import BatchesFrom, Build, Loss, Metadata, State, Weights
from deepecg_jax.training.validation import BestByAuroc
from deepecg_jax.training.workdir import check_workdir, require_same_config, start_workdir

_NO_COMPAT = CompatConfig()


@dataclass(frozen=True)
class Fitted:
    """A finished training.

    Attributes:
        state: after the last update, on the devices.
        weights: what is kept of it, complete (running statistics included), on the devices: the
            best by validation; without a validation the moving average, or the last.
        score: macro AUROC of these on the validation records; None without a validation.
        mesh: the devices; what is computed from ``weights`` runs under `jax.set_mesh` of it, as
            the training did, to find its programs compiled.
    """

    state: State
    weights: Weights
    score: float | None
    mesh: Mesh

    def gathered(self) -> Weights:
        """``weights`` as whole numpy arrays; all processes call it, and all get them."""
        return gathered(self.weights, self.mesh)


def open_run(config: RunConfig, console: Console, result: str) -> tuple[Path, bool]:
    """Where the bundle of this run belongs, and whether it is there already, which is then said.

    Nothing is written. ``result``: what the bundle holds, for that sentence.

    Raises:
        UserError: the folder holds a run of another config, or this process was started with
            another config than process 0.
    """
    require_same_config(config)
    workdir = check_workdir(config)
    bundle = workdir / "bundle"
    finished = first_says("finished", bundle.is_dir())
    if finished:
        console.print(f"{workdir} is finished: {result} is in {bundle}")
    else:
        keep_freed_memory_on_cpu()
    return bundle, finished


def ways(model: EncoderConfig, config: RunConfig, mesh: Mesh) -> str:
    """How the encoder is computed on the mesh (`EncoderConfig.ways`), as the end of a sentence."""
    with jax.set_mesh(mesh):
        clause = model.ways(as_dtype(config.train.compute_dtype))
    return f", {clause}" if clause else ""


def fit(
    config: RunConfig,
    mesh: Mesh,
    build: Build[nnx.Module],
    loss: Loss,
    batches: BatchesFrom,
    *,
    metadata: Metadata,
    console: Console,
    start_from: Weights | None = None,
    frozen: Weights | None = None,
    validation: BestByAuroc | None = None,
    teacher: Teacher | None = None,
    stem: Collection[str] = (),
    compat: CompatConfig = _NO_COMPAT,
    description: str = "training",
    items: str = "ECG",
) -> Fitted:
    """Train to ``train.steps``, or until the validation has enough; resumes in the run folder.

    The run folder is written when all else is set up, so a mistake leaves none.

    Args:
        mesh: see `run_mesh`.
        build: makes the module that is trained.
        loss, frozen: what is minimised, and weights that it uses but does not train.
        batches: the rows that this process reads, from a step on.
        metadata: stored with each checkpoint.
        start_from: weights in place of some that ``build`` makes.
        validation: keeps the best weights and may end the training.
        teacher: an averaged copy of some weights that the loss gets in its draw.
        stem: attributes of the encoder with a learning rate of their own (`make_update`).
        description, items: of the progress line; ``items`` are what a batch holds.

    Raises:
        UserError: the warm-up is too long, a checkpoint is of another run, the loss is no longer
            finite, or no validation was.
        StoppedBySignal: after saving.
    """
    rows = batch_rows(mesh, config.train.global_batch)
    update = make_update(config, compat, teacher, stem)
    with jax.set_mesh(mesh):
        key = jax.random.key(config.seed)
        state, shardings = make_state(
            build, update, mesh, key, start_from, keep_best=validation is not None
        )
        step = make_step(loss, update, shardings, config.seed + 1, frozen)
        workdir = start_workdir(config)
        run = Run(
            workdir,
            config.train,
            mesh,
            shardings,
            step,
            lambda number: batches(number, rows),
            metadata,
            console,
            validation,
            description,
            items,
        )
        state = train(run, state)
    if validation is None:
        return Fitted(state, weights_of(state), None, mesh)
    weights, score = validation.best(state)
    if not np.isfinite(score):
        raise UserError(f"no validation was finite in {workdir}; {validation.ADVICE}")
    return Fitted(state, weights, score, mesh)
