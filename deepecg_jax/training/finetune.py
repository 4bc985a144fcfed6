"""``deepecg finetune``: labelled ECGs and an encoder (or none) to a classifier bundle."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from rich.console import Console

from deepecg_jax.bundle import bundle
from deepecg_jax.bundle.architecture import Architecture
from deepecg_jax.config import FinetuneConfig
from deepecg_jax.data.loading.batches import training_batches
from deepecg_jax.data.loading.inputs import LabelledSplit, fingerprint, labelled_split
from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.discrimination.thresholds import fit_thresholds
from deepecg_jax.models.encoder import EncoderConfig
from deepecg_jax.models.heads import HeadConfig
from deepecg_jax.objectives.views import check_views
from deepecg_jax.signals.contract import SignalContract, require_same
from deepecg_jax.training.loop import Run, train
from deepecg_jax.training.mesh import batch_rows, gathered, make_mesh, replicated, require_divisible
from deepecg_jax.training.optimizer import make_optimizer, make_schedule
from deepecg_jax.training.processes.agreement import first_says, require_agreement, wait_for_all
from deepecg_jax.training.processes.host_memory import keep_freed_memory_on_cpu
from deepecg_jax.training.processes.hosts import is_first
from deepecg_jax.training.recipes import Recipe, attention_recipe, full_recipe, linear_recipe
from deepecg_jax.training.state import make_state, split_model
from deepecg_jax.training.step import make_step
from deepecg_jax.training.validation import Validation
from deepecg_jax.training.workdir import check_workdir, require_same_config, start_workdir


def finetune(config: FinetuneConfig, console: Console) -> Path:
    """Train (or resume) and write ``workdir/bundle``; returns its path."""
    # ---- run folder and encoder -------------------------------------------------------------
    require_same_config(config)
    encoder, model, contract = starting_point(config, console)
    workdir = check_workdir(config)
    finished = workdir / "bundle"
    if first_says("finished", finished.is_dir()):
        console.print(f"{workdir} is finished: the classifier is in {finished}")
        return finished

    keep_freed_memory_on_cpu()

    # ---- data -------------------------------------------------------------------------------
    data = config.data
    training = labelled_split(data, data.train_split, config.labels, data.label_share, config.seed)
    held_out = labelled_split(data, data.validation_split, config.labels, 1.0, config.seed)
    names = training.names
    source = f"{data.dir}/{data.dataset}"
    if contract is not None:
        require_same(contract, training.split.contract, str(config.init_from), source)
    contract = training.split.contract
    require_both_classes(training, f"{source}, split {data.train_split}")
    if config.mode != "linear":
        check_views(config.augment, contract, model, source)
    elif ignored := config.ignored():
        console.print(
            f"mode=linear encodes every ECG once, as it is: not used are {', '.join(ignored)}"
        )
    require_agreement(
        "the data",
        {"training": fingerprint(training.records), "validation": fingerprint(held_out.records)},
        "every host needs the same data set",
    )
    console.print(
        f"fine-tuning ({config.mode}) on {len(training.records):,} ECGs, validating on "
        f"{len(held_out.records):,}: {len(names)} labels"
    )

    # ---- recipe, mesh, optimizer, state -----------------------------------------------------
    head_kind = {"full": config.head.kind, "linear": "linear", "attention": "attention"}
    head = config.head.model_copy(
        update={"kind": head_kind[config.mode], "heads": config.head.heads or model.attention_heads}
    )
    Architecture(model, head, len(names))  # refuses heads that do not divide the width
    mesh = make_mesh(config.mesh)
    require_divisible(config.train.global_batch, config.train.accumulation, mesh)
    rows = batch_rows(mesh, config.train.global_batch)
    recipe = make_recipe(config, head, model, encoder, training, contract, mesh)
    records = recipe.records(training.records)
    schedule = make_schedule(config.schedule, config.optimizer.learning_rate, config.train.steps)
    optimizer = make_optimizer(config.optimizer, schedule, config.train.clip_norm, config.compat)
    with jax.set_mesh(mesh):
        _, state, shardings = make_state(
            recipe.build,
            optimizer,
            mesh,
            jax.random.key(config.seed),
            ema=config.train.ema_decay is not None,
            start_from=recipe.start_from,
            keep_best=True,
        )
        step = make_step(
            recipe.loss,
            optimizer,
            schedule,
            shardings,
            mesh,
            config.seed + 1,
            config.train.accumulation,
            config.train.ema_decay,
            frozen=recipe.frozen,
        )
        validation = Validation(recipe, held_out, config.stopping, mesh)
        start_workdir(config)

        # ---- loop ---------------------------------------------------------------------------
        state = train(
            Run(
                workdir,
                config.train,
                mesh,
                shardings,
                step,
                batches=lambda number: training_batches(
                    [records],
                    [1.0],
                    config.train.global_batch,
                    config.seed,
                    number,
                    rows,
                    data.read_threads,
                ),
                metadata={
                    "signal": contract.to_dict(),
                    "model": model.model_dump(mode="json"),
                    "seed": config.seed,
                },
                console=console,
                hook=validation.update,
                hook_every=min(config.stopping.evaluate_every, config.train.steps),
                done=validation.exhausted,
                description=f"fine-tuning ({config.mode})",
            ),
            state,
        )

        # ---- thresholds and bundle ----------------------------------------------------------
        best = state["best"]
        if not np.isfinite(float(best["score"])):
            raise UserError(f"no validation was finite in {workdir}; is train.steps long enough?")
        scores = validation.scores(best["params"])
        weights, frozen = gathered((best["params"], recipe.frozen), mesh)
    thresholds = fit_thresholds(
        held_out.labels, scores, names=names, method=config.threshold_method
    )
    metrics = {
        "validation": {
            "dataset": data.dataset,
            "split": data.validation_split,
            "n_records": len(held_out.records),
            "macro_auroc": float(best["score"]),
            "auroc": validation.auroc_by_label(scores),
        }
    }
    if is_first():
        bundle.save(
            finished,
            model=model,
            head=head,
            params=recipe.assemble(weights, frozen),
            labels=names,
            thresholds=thresholds,
            signal=contract,
            metrics=metrics,
            provenance={
                "task": "finetune",
                "mode": config.mode,
                "init_from": config.init_from,
                "dataset": data.dataset,
                "label_share": data.label_share,
                "seed": config.seed,
            },
        )
    wait_for_all("bundle")
    console.print(
        f"best macro AUROC on {data.validation_split}: {float(best['score']):.4f}; "
        f"classifier written to {finished}"
    )
    return finished


def starting_point(
    config: FinetuneConfig, console: Console
) -> tuple[dict[str, Any] | None, EncoderConfig, SignalContract | None]:
    """Encoder parameters (None: from scratch), its shape, and its signal contract."""
    if config.init_from is None:
        assert config.model is not None  # the schema refuses both to be absent
        return None, config.model, None
    loaded = bundle.load(config.init_from)
    module = getattr(loaded.model, "encoder", loaded.model)
    model = loaded.architecture.model
    given = config.model
    if given is not None:
        if given.kind != model.kind:
            raise UserError(
                f"model.kind is {given.kind}, but {config.init_from} holds an encoder of kind "
                f"{model.kind}; set model.kind={model.kind}."
            )
        model = model.model_copy(
            update={name: getattr(given, name) for name in model.TRAINING_FIELDS}
        )
    console.print(f"encoder from {config.init_from} ({loaded.fingerprint[:12]})")
    return split_model(module)[1], model, loaded.signal


def make_recipe(
    config: FinetuneConfig,
    head: HeadConfig,
    model: EncoderConfig,
    encoder: dict[str, Any] | None,
    training: LabelledSplit,
    contract: SignalContract,
    mesh: Mesh,
) -> Recipe:
    """The recipe of ``mode``; a frozen encoder without ``init_from`` is a random one."""
    n_labels = len(training.names)
    if config.mode == "full":
        return full_recipe(config, head, model, encoder, n_labels, contract.sampling_rate)
    if encoder is None:
        encoder = split_model(model.build(jax.random.key(config.seed)))[1]
    frozen: dict[str, Any] = jax.device_put(encoder, replicated(mesh))
    if config.mode == "attention":
        return attention_recipe(config, head, model, frozen, n_labels, contract.sampling_rate)
    return linear_recipe(config, model, frozen, n_labels, training.records, mesh)


def require_both_classes(split: LabelledSplit, where: str) -> None:
    """UserError for a label without positives or without negatives: nothing could be learned."""
    for i, name in enumerate(split.names):
        column = split.labels[:, i]
        if not (np.any(column == 1) and np.any(column == 0)):
            kind = "positive" if not np.any(column == 1) else "negative"
            raise UserError(
                f"the label {name!r} has no {kind} record in {where}; leave it out of labels."
            )
