"""From a sweep to jobs: what is trained, once each, and which row of the table it is for."""

from pathlib import Path

from deepecg_jax.errors import UserError
from deepecg_jax.models.encoder import EncoderConfig
from deepecg_jax.sweep.planning.baselines import Baselines, encoder_of
from deepecg_jax.sweep.planning.config import SweepConfig
from deepecg_jax.sweep.planning.jobs import Job, Plan, Planner, Point, Row
from deepecg_jax.sweep.planning.layers import Base
from deepecg_jax.sweep.planning.names import point_text
from deepecg_jax.sweep.planning.run_layers import RunLayers, points


def make_plan(sweep: SweepConfig, folder: Path, name: str = "the sweep") -> Plan:
    """Resolve every config of a sweep. Nothing is written, and no data is read.

    Args:
        sweep: what is wanted.
        folder: of the sweep.
        name: what sentences call the sweep, such as its file.

    Raises:
        UserError: a key that no stage has or a value that does not fit, naming the run; a bundle
            to start from that is not there; a reference that is no run.
    """
    base, planner, layers = Base(sweep.stages.files()), Planner(folder), RunLayers(sweep, name)
    baselines = Baselines(base, layers)
    at = points(sweep)
    if not at:
        raise UserError(f"{name}: exclude leaves no point of the grid.")
    for run in sweep.runs:
        for point in at:
            for seed in sweep.seeds:
                job, encoder = _job_of(base, planner, layers, run, point, seed)
                planner.rows.append(Row(run, point, seed, job.name))
                if encoder is not None:
                    baselines.add(run, point, encoder)
    if sweep.baselines:
        baselines.plan(planner, at, sweep.seeds)
    names = list(dict.fromkeys(row.run for row in planner.rows))
    if sweep.reference is not None and sweep.reference.run not in names:
        raise UserError(
            f"{name}: reference is {sweep.reference.run!r}, which is no run; there are "
            f"{', '.join(names)}."
        )
    return Plan(folder, sweep, planner.jobs, planner.rows)


def _job_of(
    base: Base, planner: Planner, layers: RunLayers, run: str, point: Point, seed: int
) -> tuple[Job, EncoderConfig | None]:
    """The job that a row's numbers come from, and its encoder if that was pretrained."""
    keys = layers.of_run(run, point, seed)
    who = layers.who(run, point_text(point))
    start, encoder = None, None
    if "pretrain" in keys:
        config = base.pretraining(keys["pretrain"], who)
        start, encoder = planner.pretraining(config), config.model
        if "finetune" not in keys:
            return start, encoder
        if "init_from" in keys["finetune"]:
            raise UserError(
                f"{who}: finetune.init_from is its pretraining; write pretrain: null for a run "
                "that starts from something else."
            )
    finetuning = base.finetuning(keys["finetune"], who, encoder)
    if encoder is None and finetuning.init_from is not None and layers.baselines:
        encoder = encoder_of(finetuning.init_from, who)
    own = layers.part(point, "finetune") if start is None else point
    return planner.finetuning(run, own, seed, finetuning, start), encoder
