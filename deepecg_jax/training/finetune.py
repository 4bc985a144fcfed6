"""``deepecg finetune``: labelled ECGs and an encoder (or none) to a classifier bundle."""

from pathlib import Path
from typing import NamedTuple

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
from deepecg_jax.objectives.augmentation.config import check_views
from deepecg_jax.signals.contract import SignalContract, require_same
from deepecg_jax.training.fit import fit, open_run, ways
from deepecg_jax.training.mesh import described, gathered, replicated, run_mesh
from deepecg_jax.training.processes.agreement import require_agreement, wait_for_all
from deepecg_jax.training.processes.hosts import is_first
from deepecg_jax.training.recipes import (
    Recipe,
    Task,
    attention_recipe,
    full_recipe,
    linear_recipe,
)
from deepecg_jax.training.state import split_model
from deepecg_jax.training.types import Weights
from deepecg_jax.training.validation import Validation


def finetune(config: FinetuneConfig, console: Console) -> Path:
    """Train (or resume) and write ``workdir/bundle``; returns its path."""
    finished_bundle, finished = open_run(config, console, "the classifier")
    if finished:
        return finished_bundle

    # ---- encoder and data -------------------------------------------------------------------
    start = starting_point(config, console)
    training, held_out = splits(config, start, console)
    data, contract, names = config.data, training.split.contract, training.names
    console.print(
        f"fine-tuning ({config.mode}) on {len(training.records):,} ECGs, validating on "
        f"{len(held_out.records):,}: {len(names)} labels"
    )

    # ---- training ---------------------------------------------------------------------------
    head = head_of(config, start.model)
    Architecture(start.model, head, len(names))  # refuses heads that do not divide the width
    mesh = run_mesh(config)
    if config.mode == "full":
        console.print(f"training on {described(mesh)}{ways(start.model, config, mesh)}")
    task = Task(config, start.model, head, len(names), contract.sampling_rate)
    recipe = make_recipe(task, start.encoder, training, mesh)
    records = recipe.records(training.records)
    validation = Validation(recipe, held_out, config, mesh)
    fitted = fit(
        config,
        mesh,
        recipe.build,
        recipe.loss,
        lambda step, rows: training_batches(
            [records],
            [1.0],
            config.train.global_batch,
            config.seed,
            step,
            rows,
            data.read_threads,
            data.workers,
        ),
        metadata={
            "signal": contract.to_dict(),
            "model": start.model.model_dump(mode="json"),
            "seed": config.seed,
        },
        console=console,
        start_from=recipe.start_from,
        frozen=recipe.frozen,
        validation=validation,
        stem=start.model.STEM,
        compat=config.compat,
        description=f"fine-tuning ({config.mode})",
    )

    # ---- thresholds and bundle --------------------------------------------------------------
    with jax.set_mesh(mesh):
        scores = validation.scores(fitted.weights)
        weights, frozen = gathered((fitted.weights, recipe.frozen), mesh)
    thresholds = fit_thresholds(
        held_out.labels, scores, names=names, method=config.threshold_method
    )
    if is_first():
        bundle.save(
            finished_bundle,
            model=start.model,
            head=head,
            params=recipe.assemble(weights, frozen),
            labels=names,
            thresholds=thresholds,
            signal=contract,
            protocol=config.evaluation,
            metrics={
                "validation": {
                    "dataset": data.dataset,
                    "split": data.validation_split,
                    "n_records": len(held_out.records),
                    "macro_auroc": fitted.score,
                    "auroc": validation.auroc_by_label(scores),
                }
            },
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
        f"best macro AUROC on {data.validation_split}: {fitted.score:.4f}; "
        f"classifier written to {finished_bundle}"
    )
    return finished_bundle


class Start(NamedTuple):
    """What fine-tuning starts from.

    ``encoder``: its weights, ``{}`` from scratch; ``model``: its shape; ``contract``: of the
    signals it learned from, or None.
    """

    encoder: Weights
    model: EncoderConfig
    contract: SignalContract | None


def starting_point(config: FinetuneConfig, console: Console) -> Start:
    """The encoder of ``init_from``, or a new one."""
    if config.init_from is None:
        assert config.model is not None  # the schema refuses both to be absent
        return Start({}, config.model, None)
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
    return Start(split_model(module)[1], model, loaded.signal)


def splits(
    config: FinetuneConfig, start: Start, console: Console
) -> tuple[LabelledSplit, LabelledSplit]:
    """Training and validation records, the same on every host.

    Raises:
        UserError: their signals are not those that the encoder learned from, a label has one class
            only among the training records, ``augment`` does not fit the ECGs, or the hosts have
            other data.
    """
    data = config.data
    training = labelled_split(data, data.train_split, config.labels, data.label_share, config.seed)
    held_out = labelled_split(data, data.validation_split, config.labels, 1.0, config.seed)
    source = f"{data.dir}/{data.dataset}"
    contract = training.split.contract
    if start.contract is not None:
        require_same(start.contract, contract, str(config.init_from), source)
    require_both_classes(training, f"{source}, split {data.train_split}")
    config.evaluation.check(contract, start.model.n_tokens, source)
    if config.mode != "linear":
        check_views(config.augment, contract, start.model, source)
    elif ignored := config.ignored():
        console.print(
            f"mode=linear encodes what it learns from once, as it is: not used are "
            f"{', '.join(ignored)}"
        )
    require_agreement(
        "the data",
        {"training": fingerprint(training.records), "validation": fingerprint(held_out.records)},
        "every host needs the same data set",
    )
    return training, held_out


def head_of(config: FinetuneConfig, model: EncoderConfig) -> HeadConfig:
    """The head that ``mode`` trains, with the attention heads of the encoder unless it says so."""
    kind = config.head.kind
    if config.mode == "linear":
        kind = "linear"
    elif config.mode == "attention" and kind == "linear":
        kind = "attention"
    return config.head.model_copy(update={"kind": kind}).completed(model)


def make_recipe(task: Task, encoder: Weights, training: LabelledSplit, mesh: Mesh) -> Recipe:
    """The recipe of ``mode``; a frozen encoder without ``init_from`` is a random one."""
    mode = task.config.mode
    if mode == "full":
        return full_recipe(task, encoder)
    if not encoder:
        encoder = split_model(task.build_encoder(jax.random.key(task.config.seed)))[1]
    frozen = jax.device_put(encoder, replicated(mesh))
    if mode == "attention":
        return attention_recipe(task, frozen)
    return linear_recipe(task, frozen, training.records, training.valid_samples, mesh)


def require_both_classes(split: LabelledSplit, where: str) -> None:
    """UserError for a label without positives or without negatives: nothing could be learned."""
    for i, name in enumerate(split.names):
        column = split.labels[:, i]
        if not (np.any(column == 1) and np.any(column == 0)):
            kind = "positive" if not np.any(column == 1) else "negative"
            raise UserError(
                f"the label {name!r} has no {kind} record in {where}; leave it out of labels."
            )
