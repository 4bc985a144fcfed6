"""``deepecg train-labeller``: labelled reports to a BERT classifier in a Hugging Face folder."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from rich.console import Console

from deepecg_jax.config import LabellerConfig
from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.discrimination.thresholds import fit_thresholds, unfitted
from deepecg_jax.evaluation.metrics.table import values as metric_values
from deepecg_jax.evaluation.resampling.bootstrap import Resampled
from deepecg_jax.evaluation.resampling.tallies import Tallies, tally
from deepecg_jax.files import read_json, whole_folder, write_json
from deepecg_jax.labelling.bert import huggingface
from deepecg_jax.labelling.bert.config import SIZES, BertConfig
from deepecg_jax.labelling.bert.model import BertClassifier
from deepecg_jax.labelling.bert.scorer import BertScorer, bucket_lengths
from deepecg_jax.labelling.bert.tokenizer import ReportTokenizer, train_tokenizer
from deepecg_jax.labelling.training.batches import ReportBatches
from deepecg_jax.labelling.training.data import LabelledReports
from deepecg_jax.models.layers import as_dtype
from deepecg_jax.objectives.classification import classification_loss
from deepecg_jax.objectives.config import CompatConfig, LossConfig
from deepecg_jax.training.loop import Run, train
from deepecg_jax.training.mesh import batch_sharding, make_mesh, require_divisible
from deepecg_jax.training.optimizer import make_optimizer, make_schedule
from deepecg_jax.training.processes.host_memory import keep_freed_memory_on_cpu
from deepecg_jax.training.state import make_state, split_model
from deepecg_jax.training.step import Loss, make_step
from deepecg_jax.training.validation import BestByAuroc, auroc_by_label
from deepecg_jax.training.workdir import check_workdir, start_workdir

METRICS = "metrics.json"


@dataclass(frozen=True)
class Start:
    """What training starts from: the shape, weights that replace random ones, the tokenizer."""

    config: BertConfig
    params: dict[str, Any]
    tokenizer: ReportTokenizer
    about: str


class ReportValidation(BestByAuroc):
    """Scores the held-out reports."""

    def __init__(
        self,
        scorer: BertScorer,
        tokens: Sequence[np.ndarray],
        labels: np.ndarray,
        names: Sequence[str],
        patience: int,
    ):
        self._scorer, self._tokens = scorer, tokens
        super().__init__(labels, names, patience)

    def scores(self, params: Any) -> np.ndarray:
        """Probabilities of the held-out reports, (n, C) float32."""
        return self._scorer(params, self._tokens)


def train_labeller(
    config: LabellerConfig, data: LabelledReports, out: Path, console: Console
) -> dict[str, Any]:
    """Train (or resume) and write ``out``; returns what its ``metrics.json`` holds."""
    if out.exists():
        raise UserError(f"{out} exists already; name a new folder.")
    workdir = check_workdir(config)
    texts, labels = data.split("train")
    start = starting_point(config, texts, data.names)
    keep_freed_memory_on_cpu()
    encoded = {
        name: start.tokenizer.encode(data.split(name)[0])
        for name in ("train", "validation", "test")
    }
    console.print(
        f"{start.about}: {len(texts):,} reports to learn from, {len(encoded['validation']):,} to "
        f"validate, {len(encoded['test']):,} to test; {len(data.names)} labels"
    )

    # ---- mesh, optimizer, state -------------------------------------------------------------
    mesh = make_mesh(config.mesh)
    require_divisible(config.train.global_batch, config.train.accumulation, mesh)
    schedule = make_schedule(config.schedule, config.optimizer.learning_rate, config.train.steps)
    optimizer = make_optimizer(config.optimizer, schedule, config.train.clip_norm, CompatConfig())
    scorer = BertScorer(start.config, batch_sharding(mesh))
    validation = ReportValidation(
        scorer,
        encoded["validation"],
        data.split("validation")[1],
        data.names,
        config.stopping.patience,
    )
    batches = ReportBatches(
        encoded["train"],
        labels,
        config.train.global_batch,
        bucket_lengths(start.config.max_position_embeddings),
        config.seed,
    )

    def build(key: jax.Array) -> nnx.Module:
        return BertClassifier(start.config, key)

    with jax.set_mesh(mesh):
        _, state, shardings = make_state(
            build,
            optimizer,
            mesh,
            jax.random.key(config.seed),
            start_from=start.params,
            keep_best=True,
        )
        step = make_step(
            make_loss(start.config, config.train.compute_dtype),
            optimizer,
            schedule,
            shardings,
            mesh,
            config.seed + 1,
            config.train.accumulation,
        )
        start_workdir(config)
        state = train(
            Run(
                workdir,
                config.train,
                mesh,
                shardings,
                step,
                batches=batches,
                metadata={"task": config.task, "seed": config.seed},
                console=console,
                hook=validation.update,
                hook_every=min(config.stopping.evaluate_every, config.train.steps),
                done=validation.exhausted,
                items="reports",
            ),
            state,
        )
        best = state["best"]
        if not np.isfinite(float(best["score"])):
            raise UserError(f"no validation was finite in {workdir}; give more --epochs.")

        # ---- thresholds, metrics, folder ----------------------------------------------------
        scores = {name: scorer(best["params"], encoded[name]) for name in ("validation", "test")}
    known = data.split("validation")[1]
    thresholds = fit_thresholds(known, scores["validation"], data.names, config.threshold_method)
    metrics = {
        "init": start.about,
        "n_parameters": sum(leaf.size for leaf in jax.tree.leaves(best["params"])),
        "steps": int(state["step"]),
        "n_train": len(texts),
        "n_without_text": data.n_without_text,
        "n_unlabelled": data.n_unlabelled,
        "labels_left_out": list(data.left_out),
        "threshold_method": config.threshold_method,
        "labels_without_fitted_threshold": unfitted(known, data.names),
        "validation": measure(known, scores["validation"], thresholds),
    }
    if len(scores["test"]):
        metrics["test"] = _measure_test(data, scores["test"], thresholds)
    with whole_folder(out, METRICS) as part:
        huggingface.save(part, start.config, best["params"], start.tokenizer, thresholds)
        write_json(part / METRICS, metrics)
        shutil.copy(workdir / "config.yaml", part / "training.yaml")
        shutil.copy(workdir / "metrics.jsonl", part / "training.jsonl")
    shutil.rmtree(workdir)
    return read_json(out / METRICS, dict)


def starting_point(config: LabellerConfig, texts: Sequence[str], names: tuple[str, ...]) -> Start:
    """Weights and tokenizer of a folder, or a new vocabulary and random weights.

    Raises:
        UserError: ``init`` is neither a folder, a ``config.json`` nor a named size, or the folder
            is damaged.
    """
    path = Path(config.init)
    if config.init not in SIZES and path.is_dir():  # a folder called tiny is ./tiny
        own = huggingface.read_config(path)
        shape = own.model_copy(update={"labels": names})
        tokenizer = huggingface.read_folder_tokenizer(path, own).cut_to(config.max_length)
        if own.labels == names:
            return Start(shape, huggingface.load(path).params, tokenizer, f"classifier of {path}")
        params, fresh = huggingface.load_encoder(path, shape)
        return Start(shape, params, tokenizer, f"encoder of {path}, new {' and '.join(fresh)}")
    if config.init in SIZES:
        tokenizer = train_tokenizer(texts, config.vocab_size, config.max_length)
        shape = BertConfig.of_size(config.init, tokenizer.size, names)
        about = f"BERT {config.init} from scratch"
    elif path.is_file():
        values = read_json(path, dict)
        shape = BertConfig.parse(values, str(path))
        longest = min(config.max_length, shape.max_position_embeddings)
        tokenizer = train_tokenizer(texts, config.vocab_size, longest)
        shape = shape.model_copy(
            update={"labels": names, "vocab_size": tokenizer.size, "pad_token_id": tokenizer.pad_id}
        )
        about = f"BERT of {path} from scratch"
    else:
        raise UserError(
            f"there is no {config.init} for --init; give a Hugging Face folder, a config.json, or "
            f"a size: {', '.join(SIZES)}."
        )
    return Start(shape, {}, tokenizer, about)


def make_loss(config: BertConfig, compute_dtype: str) -> Loss:
    """Binary cross-entropy over the known labels, with dropout."""
    abstract = nnx.eval_shape(lambda: BertClassifier(config, jax.random.key(0)))
    graphdef = split_model(abstract)[0]
    dtype: Any = as_dtype(compute_dtype)

    def loss(params, batch, key, step, frozen):
        ids = batch["ids"]
        mask = jnp.arange(ids.shape[1])[None, :] < batch["lengths"][:, None]
        logits = nnx.merge(graphdef, params)(ids, mask, key=key, dtype=dtype)
        labels = batch["labels"].astype(jnp.float32)
        value = classification_loss(logits, labels, LossConfig())
        return value, {"loss": value}

    return loss


def measure(labels: np.ndarray, scores: np.ndarray, thresholds: dict[str, float]) -> dict[str, Any]:
    """How well N reports are labelled, over known labels.

    labels: (N, C) of 1, 0, -1; scores: (N, C); thresholds in the order of the columns.

    Returns:
        ``n_reports``, ``micro`` (over all labels of all reports) and ``macro`` (the mean over
        labels with both classes) with ``f1`` and more, and ``labels``.
    """
    counts = np.ones((len(labels), 1), np.uint8)
    sums = tally(counts, labels, scores, np.array(list(thresholds.values())))
    auroc = auroc_by_label(labels, scores, list(thresholds))
    by_label = _ratios(sums)
    both = sums.both_classes()[0]
    pooled = _ratios(sums.pooled(np.arange(labels.shape[1])))
    return {
        "n_reports": len(labels),
        "micro": {name: float(values[0]) for name, values in pooled.items()},
        "macro": {
            "auroc": float(np.mean([value for value in auroc.values() if value == value])),
            **{
                name: float(np.nanmean(np.where(both, values, np.nan)))
                for name, values in by_label.items()
            },
        },
        "labels": {
            name: {
                "n_positive": int(sums.positive[0, j]),
                "threshold": thresholds[name],
                "auroc": auroc[name],
                **{key: float(values[j]) for key, values in by_label.items()},
            }
            for j, name in enumerate(thresholds)
        },
    }


def _ratios(sums: Tallies) -> dict[str, np.ndarray]:
    found = metric_values(Resampled.of_sums(sums))
    names = {"f1": "f1", "precision": "ppv", "recall": "sensitivity"}
    return {name: found[key][0] for name, key in names.items()}


def _measure_test(
    data: LabelledReports, scores: np.ndarray, thresholds: dict[str, float]
) -> dict[str, Any]:
    """The test split, and apart from it the texts that no training report has word for word."""
    texts, labels = data.split("test")
    result = measure(labels, scores, thresholds)
    seen = set(data.split("train")[0])
    new = np.array([text not in seen for text in texts], bool)
    result["n_texts_not_in_training"] = int(new.sum())
    if new.any():
        own = measure(labels[new], scores[new], thresholds)
        result["texts_not_in_training"] = {key: own[key] for key in ("n_reports", "micro", "macro")}
    return result
