"""``deepecg pretrain``: unlabelled ECGs to an encoder bundle."""

from pathlib import Path
from typing import Any

import jax
from flax import nnx
from rich.console import Console

from deepecg_jax.bundle import bundle, weights
from deepecg_jax.config import PretrainConfig
from deepecg_jax.data.loading.batches import training_batches
from deepecg_jax.data.loading.inputs import fingerprint, pretraining_sources
from deepecg_jax.models.layers import as_dtype
from deepecg_jax.objectives.objective import Draw
from deepecg_jax.objectives.pretrainer import Pretrainer, pretraining_loss
from deepecg_jax.objectives.views import changes_of, check_views
from deepecg_jax.signals.contract import SignalContract, require_same
from deepecg_jax.training.loop import Run, train
from deepecg_jax.training.mesh import batch_rows, gathered, make_mesh, require_divisible
from deepecg_jax.training.metrics_log import read_metrics
from deepecg_jax.training.optimizer import make_optimizer, make_schedule
from deepecg_jax.training.processes.agreement import first_says, require_agreement, wait_for_all
from deepecg_jax.training.processes.host_memory import keep_freed_memory_on_cpu
from deepecg_jax.training.processes.hosts import is_first
from deepecg_jax.training.state import make_state, new_statistics, split_model, weights_of
from deepecg_jax.training.step import make_step
from deepecg_jax.training.workdir import check_workdir, require_same_config, start_workdir


def pretrain(config: PretrainConfig, console: Console) -> Path:
    """Train (or resume) and write ``workdir/bundle``; returns its path."""
    # ---- run folder -------------------------------------------------------------------------
    require_same_config(config)
    workdir = check_workdir(config)
    finished = workdir / "bundle"
    if first_says("finished", finished.is_dir()):
        console.print(f"{workdir} is finished: the encoder is in {finished}")
        return finished

    keep_freed_memory_on_cpu()

    # ---- data -------------------------------------------------------------------------------
    objective = config.objective
    sources, shares, contract, padded = pretraining_sources(
        config.data, config.seed, objective.COLUMNS, objective.WHOLE
    )
    check_views(config.augment, contract, config.model, f"{config.data.dir}/{config.data.dataset}")
    require_agreement(
        "the data",
        {f"source {i}": fingerprint(source) for i, source in enumerate(sources)},
        "every host needs the same data sets",
    )
    console.print(
        f"pretraining on {' + '.join(f'{len(source):,}' for source in sources)} ECGs of "
        f"{' + '.join([config.data.dataset, *config.data.mix])}"
        + (f" ({padded:,} zero-padded ECGs left out)" if padded else "")
    )

    start = starting_point(config, contract, console)

    # ---- mesh, optimizer, state (shapes first) ----------------------------------------------
    mesh = make_mesh(config.mesh)
    require_divisible(config.train.global_batch, config.train.accumulation, mesh)
    rows = batch_rows(mesh, config.train.global_batch)
    schedule = make_schedule(config.schedule, config.optimizer.learning_rate, config.train.steps)
    optimizer = make_optimizer(config.optimizer, schedule, config.train.clip_norm, config.compat)
    with jax.set_mesh(mesh):
        graphdef, state, shardings = make_state(
            lambda key: Pretrainer(config.model, objective, key),
            optimizer,
            mesh,
            jax.random.key(config.seed),
            ema=config.train.ema_decay is not None,
            start_from=start,
        )
        count = sum(leaf.size for leaf in jax.tree.leaves(state["params"]))
        console.print(
            f"{count / 1e6:.2f} M parameters on {mesh.size} {jax.default_backend()} device(s)"
            + (f" of {jax.process_count()} processes" if jax.process_count() > 1 else "")
        )

        start_workdir(config)

        # ---- step ---------------------------------------------------------------------------
        dtype = as_dtype(config.train.compute_dtype)
        changes = changes_of(config.augment, contract.sampling_rate)

        def loss(params, batch, key, number, frozen):
            model = nnx.merge(graphdef, params)
            draw = Draw(key, number)
            value, metrics = pretraining_loss(model, objective, batch, draw, changes, dtype)
            return value, {**metrics, **new_statistics(model)}

        step = make_step(
            loss,
            optimizer,
            schedule,
            shardings,
            mesh,
            config.seed + 1,
            config.train.accumulation,
            config.train.ema_decay,
        )

        # ---- loop ---------------------------------------------------------------------------
        state = train(
            Run(
                workdir,
                config.train,
                mesh,
                shardings,
                step,
                batches=lambda number: training_batches(
                    sources,
                    shares,
                    config.train.global_batch,
                    config.seed,
                    number,
                    rows,
                    config.data.read_threads,
                ),
                metadata={
                    "signal": contract.to_dict(),
                    "model": config.model.model_dump(mode="json"),
                    "objective": objective.kind,
                    "seed": config.seed,
                },
                console=console,
                description="pretraining",
            ),
            state,
        )
        params = gathered(weights_of(state), mesh)

    # ---- bundle -----------------------------------------------------------------------------
    if is_first():
        bundle.save(
            finished,
            model=config.model,
            head=None,
            params=params["encoder"],
            objective=objective,
            pretraining=params.get("heads") or None,
            labels=None,
            thresholds=None,
            signal=contract,
            metrics={"pretraining": read_metrics(workdir / "metrics.jsonl")[-1]},
            provenance={"task": "pretrain", "dataset": config.data.dataset, "seed": config.seed},
        )
    wait_for_all("bundle")
    console.print(f"encoder written to {finished}")
    return finished


def starting_point(
    config: PretrainConfig, contract: SignalContract, console: Console
) -> dict[str, Any]:
    """Parameters of ``init_from``: of its encoder, and of the objective's heads if it has them.

    UserError if the encoder there is another than ``model``, or expects other signals.
    """
    if config.init_from is None:
        return {}
    loaded = bundle.load(config.init_from)
    require_same(loaded.signal, contract, str(config.init_from), f"{config.data.dir}")
    abstract = nnx.eval_shape(lambda: Pretrainer(config.model, config.objective, jax.random.key(0)))
    like = split_model(abstract)[1]
    encoder = weights.flatten(loaded.encoder_params)
    flat = {f"encoder.{name}": value for name, value in encoder.items()}
    same = loaded.objective is not None and loaded.objective.kind == config.objective.kind
    heads = loaded.pretraining if same else None
    flat |= {f"heads.{name}": value for name, value in (heads or {}).items()}
    shapes = {name: tuple(leaf.shape) for name, leaf in weights.flatten(like).items()}
    if heads is None:
        shapes = {name: shape for name, shape in shapes.items() if name.startswith("encoder.")}
        like = {"encoder": like["encoder"]}
        console.print(
            f"[yellow]{config.init_from} has no heads of objective.kind={config.objective.kind}: "
            "they start anew[/yellow]"
        )
    weights.check(flat, shapes, f"{config.init_from} (model in this config)")
    console.print(f"starting from {config.init_from} ({loaded.fingerprint[:12]})")
    return weights.nest(flat, like)
