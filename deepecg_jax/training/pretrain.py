"""``deepecg pretrain``: unlabelled ECGs to an encoder bundle."""

from pathlib import Path
from typing import cast

import jax
from rich.console import Console

from deepecg_jax.bundle import bundle, weights
from deepecg_jax.config import PretrainConfig
from deepecg_jax.data.loading.batches import training_batches
from deepecg_jax.data.loading.inputs import fingerprint, pretraining_sources
from deepecg_jax.objectives.augmentation.config import check_views
from deepecg_jax.signals.contract import SignalContract, require_same
from deepecg_jax.training.fit import fit, open_run, ways
from deepecg_jax.training.mesh import described, run_mesh
from deepecg_jax.training.metrics_log import read_metrics
from deepecg_jax.training.processes.agreement import require_agreement, wait_for_all
from deepecg_jax.training.processes.hosts import is_first
from deepecg_jax.training.program import build, make_loss, teacher_of
from deepecg_jax.training.state import (
    parts_of,
    shapes_of,
    split_model,
)
from deepecg_jax.training.types import Weights


def pretrain(config: PretrainConfig, console: Console) -> Path:
    """Train (or resume) and write ``workdir/bundle``; returns its path."""
    finished_bundle, finished = open_run(config, console, "the encoder")
    if finished:
        return finished_bundle

    # ---- data -------------------------------------------------------------------------------
    data, batch, objective = config.data, config.train.global_batch, config.objective
    sources, shares, contract, padded = pretraining_sources(
        data, config.seed, objective.columns, objective.whole
    )
    source = f"{data.dir}/{data.dataset}"
    check_views(config.augment, contract, config.model, source)
    objective.check_signals(config.model, config.augment.shown(contract), source)
    require_agreement(
        "the data",
        {f"source {i}": fingerprint(source) for i, source in enumerate(sources)},
        "every host needs the same data sets",
    )
    console.print(
        f"pretraining on {' + '.join(f'{len(source):,}' for source in sources)} ECGs of "
        f"{' + '.join([data.dataset, *data.mix])}"
        + (f" ({padded:,} zero-padded ECGs left out)" if padded else "")
    )

    # ---- training ---------------------------------------------------------------------------
    start = starting_point(config, contract, console)
    mesh = run_mesh(config)
    model = shapes_of(lambda key: build(config, key))
    count = sum(leaf.size for leaf in jax.tree.leaves(parts_of(model)[0]))
    console.print(
        f"{count / 1e6:.2f} M parameters on {described(mesh)}{ways(config.model, config, mesh)}"
    )
    fitted = fit(
        config,
        mesh,
        lambda key: build(config, key),
        make_loss(config, contract.sampling_rate),
        lambda step, rows: training_batches(
            sources, shares, batch, config.seed, step, rows, data.read_threads, data.workers
        ),
        metadata={
            "signal": contract.to_dict(),
            "model": config.model.model_dump(mode="json"),
            "objective": objective.kind,
            "seed": config.seed,
        },
        console=console,
        start_from=start,
        teacher=teacher_of(config),
        stem=config.model.STEM,
        compat=config.compat,
        description="pretraining",
    )

    # ---- bundle -----------------------------------------------------------------------------
    trained = fitted.gathered()
    if is_first():
        bundle.save(
            finished_bundle,
            model=config.model,
            head=None,
            params=cast(Weights, trained["encoder"]),
            objective=objective,
            pretraining=cast(Weights, trained.get("heads")) or None,
            labels=None,
            thresholds=None,
            signal=contract,
            metrics={"pretraining": read_metrics(finished_bundle.parent / "metrics.jsonl")[-1]},
            provenance={"task": "pretrain", "dataset": data.dataset, "seed": config.seed},
        )
    wait_for_all("bundle")
    console.print(f"encoder written to {finished_bundle}")
    return finished_bundle


def starting_point(config: PretrainConfig, contract: SignalContract, console: Console) -> Weights:
    """Parameters of ``init_from``: of its encoder, and of the objective's heads if it has them.

    UserError if the encoder there is another than ``model``, or expects other signals.
    """
    if config.init_from is None:
        return {}
    loaded = bundle.load(config.init_from)
    require_same(loaded.signal, contract, str(config.init_from), f"{config.data.dir}")
    like = split_model(shapes_of(lambda key: build(config, key)))[1]
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
