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

from deepecg_jax.config import LabellerConfig, StoppingConfig
from deepecg_jax.data.records import SPLITS
from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.discrimination.thresholds import fit_thresholds, unfitted
from deepecg_jax.files import read_json, whole_folder, write_json
from deepecg_jax.labelling.bert import huggingface
from deepecg_jax.labelling.bert.config import SIZES, BertConfig
from deepecg_jax.labelling.bert.model import BertClassifier
from deepecg_jax.labelling.bert.scorer import BertScorer, bucket_lengths
from deepecg_jax.labelling.bert.tokenizer import ReportTokenizer, train_tokenizer
from deepecg_jax.labelling.training.batches import ReportBatches
from deepecg_jax.labelling.training.data import LabelledReports
from deepecg_jax.labelling.training.measure import measure, measure_test
from deepecg_jax.models.blocks.layers import as_dtype
from deepecg_jax.objectives.classification import classification_loss
from deepecg_jax.objectives.config import LossConfig
from deepecg_jax.objectives.objective import Draw
from deepecg_jax.training.fit import fit
from deepecg_jax.training.mesh import batch_sharding, run_mesh
from deepecg_jax.training.processes.host_memory import keep_freed_memory_on_cpu
from deepecg_jax.training.state import shapes_of, split_model
from deepecg_jax.training.types import Array, Batch, Loss, Metrics, Weights
from deepecg_jax.training.validation import BestByAuroc
from deepecg_jax.training.workdir import check_workdir

METRICS = "metrics.json"


@dataclass(frozen=True)
class Start:
    """What training starts from: the shape, weights that replace random ones, the tokenizer."""

    config: BertConfig
    params: Weights
    tokenizer: ReportTokenizer
    about: str


class ReportValidation(BestByAuroc):
    """Scores the held-out reports."""

    ADVICE = "give more --epochs."

    def __init__(
        self,
        scorer: BertScorer,
        tokens: Sequence[np.ndarray],
        labels: np.ndarray,
        names: Sequence[str],
        stopping: StoppingConfig,
    ):
        self._scorer, self._tokens = scorer, tokens
        super().__init__(labels, names, stopping)

    def scores(self, params: Weights) -> np.ndarray:
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
    encoded = {name: start.tokenizer.encode(data.split(name)[0]) for name in SPLITS}
    console.print(
        f"{start.about}: {len(texts):,} reports to learn from, {len(encoded['validation']):,} to "
        f"validate, {len(encoded['test']):,} to test; {len(data.names)} labels"
    )

    # ---- training ---------------------------------------------------------------------------
    mesh = run_mesh(config)
    scorer = BertScorer(start.config, batch_sharding(mesh))
    known = data.split("validation")[1]
    lengths = bucket_lengths(start.config.max_position_embeddings)
    fitted = fit(
        config,
        mesh,
        lambda key: BertClassifier(start.config, key),
        make_loss(start.config, config.train.compute_dtype),
        ReportBatches(encoded["train"], labels, config.train.global_batch, lengths, config.seed),
        metadata={"task": config.task, "seed": config.seed},
        console=console,
        start_from=start.params,
        validation=ReportValidation(
            scorer, encoded["validation"], known, data.names, config.stopping
        ),
        items="reports",
    )

    # ---- thresholds, metrics, folder --------------------------------------------------------
    with jax.set_mesh(mesh):
        scores = {name: scorer(fitted.weights, encoded[name]) for name in ("validation", "test")}
    thresholds = fit_thresholds(known, scores["validation"], data.names, config.threshold_method)
    metrics = {
        "init": start.about,
        "n_parameters": sum(leaf.size for leaf in jax.tree.leaves(fitted.weights)),
        "steps": int(fitted.state["step"]),
        "n_train": len(texts),
        "n_without_text": data.n_without_text,
        "n_unlabelled": data.n_unlabelled,
        "labels_left_out": list(data.left_out),
        "threshold_method": config.threshold_method,
        "labels_without_fitted_threshold": unfitted(known, data.names),
        "validation": measure(known, scores["validation"], thresholds),
    }
    if len(scores["test"]):
        metrics["test"] = measure_test(data, scores["test"], thresholds)
    with whole_folder(out, METRICS) as part:
        huggingface.save(part, start.config, fitted.weights, start.tokenizer, thresholds)
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
    graphdef = split_model(shapes_of(lambda key: BertClassifier(config, key)))[0]
    dtype = jnp.dtype(as_dtype(compute_dtype))

    def loss(
        weights: Weights, batch: Batch, draw: Draw[Weights], frozen: Weights
    ) -> tuple[Array, Metrics]:
        ids = batch["ids"]
        mask = jnp.arange(ids.shape[1])[None, :] < batch["lengths"][:, None]
        logits = nnx.merge(graphdef, weights)(ids, mask, key=draw.key, dtype=dtype)
        labels = batch["labels"].astype(jnp.float32)
        value = classification_loss(logits, labels, LossConfig())
        return value, {"loss": value}

    return loss
