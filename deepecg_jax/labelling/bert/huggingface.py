"""A BERT classifier in a Hugging Face folder: ``config.json``, weights, tokenizer, thresholds."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

from deepecg_jax.bundle import weights
from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.discrimination.thresholds import read_thresholds
from deepecg_jax.files import read_json, write_json
from deepecg_jax.interop import torch_names
from deepecg_jax.interop.checkpoint_files import read_checkpoint
from deepecg_jax.labelling.bert.config import BertConfig
from deepecg_jax.labelling.bert.model import BertClassifier
from deepecg_jax.labelling.bert.names import bert_links, canonical, encoder_only
from deepecg_jax.labelling.bert.tokenizer import MAX_LENGTH, ReportTokenizer, read_tokenizer

CONFIG, WEIGHTS, OLD_WEIGHTS = "config.json", "model.safetensors", "pytorch_model.bin"
THRESHOLDS = "thresholds.json"


@dataclass(frozen=True)
class BertFolder:
    """What a folder holds.

    Attributes:
        config: the shape, with the labels.
        params: of a `BertClassifier`, a nested dict of float32 arrays.
        tokenizer: texts to token ids.
        thresholds: label -> number, or None if the folder has no ``thresholds.json``.
    """

    config: BertConfig
    params: dict[str, Any]
    tokenizer: ReportTokenizer
    thresholds: dict[str, float] | None


def load(folder: str | Path) -> BertFolder:
    """Read a classifier.

    Raises:
        UserError: a file is absent or damaged, the model is not a plain BERT, or tensors are
            missing, left over or of another shape; all of them are named.
    """
    folder = Path(folder)
    config = read_config(folder)
    state = _read_state(folder)
    shapes = _shapes(config)
    flat = torch_names.to_jax(state, bert_links(config), shapes, where=str(folder))
    weights.check_finite(flat, str(folder))
    tokenizer = read_folder_tokenizer(folder, config)
    path = folder / THRESHOLDS
    thresholds = read_thresholds(path) if path.is_file() else None
    return BertFolder(config, weights.nest(flat, _abstract(config)), tokenizer, thresholds)


def load_encoder(folder: Path, config: BertConfig) -> tuple[dict[str, Any], list[str]]:
    """Weights to fine-tune from: everything but the classifier.

    Folders of `BertModel`, of masked language models and of other classifiers will do.

    Returns:
        A nested dict without ``classifier`` (and without ``pooler`` if the folder has none), and
        the parts that are left to chance.

    Raises:
        UserError: as `load`.
    """
    state = encoder_only(_read_state(folder))
    fresh = ["classifier"]
    if not any(name.startswith("bert.pooler.") for name in state):
        fresh.append("pooler")  # masked language models do without
    links = [link for link in bert_links(config) if link.jax.split(".")[0] not in fresh]
    kept = {link.jax for link in links}
    shapes = {name: shape for name, shape in _shapes(config).items() if name in kept}
    flat = torch_names.to_jax(state, links, shapes, where=str(folder))
    weights.check_finite(flat, str(folder))
    like = {name: value for name, value in _abstract(config).items() if name not in fresh}
    return weights.nest(flat, like), fresh


def save(
    folder: Path,
    config: BertConfig,
    params: Mapping[str, Any],
    tokenizer: ReportTokenizer,
    thresholds: Mapping[str, float],
) -> None:
    """Write the files that `load` and `transformers` read into an existing folder."""
    write_json(folder / CONFIG, config.to_json())
    flat = weights.as_numpy(weights.flatten(params))
    state = torch_names.to_torch(flat, bert_links(config))
    weights.write(folder / WEIGHTS, state, {"format": "pt"})
    tokenizer.save(folder)
    write_json(folder / THRESHOLDS, dict(thresholds))


def read_config(folder: Path) -> BertConfig:
    """The folder's ``config.json``.

    Raises:
        UserError: no such folder or file, or a model that is not a plain BERT.
    """
    if not folder.is_dir():
        raise UserError(
            f"there is no folder {folder}; give a local Hugging Face folder with {CONFIG}, "
            f"{WEIGHTS} and a tokenizer."
        )
    return BertConfig.parse(read_json(folder / CONFIG, dict), str(folder / CONFIG))


def read_folder_tokenizer(folder: Path, config: BertConfig) -> ReportTokenizer:
    """The folder's tokenizer, for texts of up to 512 tokens or as many as the model has places."""
    longest = min(MAX_LENGTH, config.max_position_embeddings)
    return read_tokenizer(folder, config.vocab_size, longest)


def _read_state(folder: Path) -> weights.Weights:
    if (folder / WEIGHTS).is_file():
        return canonical(weights.read(folder / WEIGHTS))
    if (folder / OLD_WEIGHTS).is_file():
        return canonical(read_checkpoint(folder / OLD_WEIGHTS).state)
    raise UserError(
        f"{folder} has neither {WEIGHTS} nor {OLD_WEIGHTS}; copy the weights there (in one file: "
        "save_pretrained(folder, max_shard_size='100GB'))."
    )


def _abstract(config: BertConfig) -> dict[str, Any]:
    """The parameters of a classifier as shapes."""
    module = nnx.eval_shape(lambda: BertClassifier(config, jax.random.key(0)))
    return nnx.to_pure_dict(nnx.state(module, nnx.Param))


def _shapes(config: BertConfig) -> dict[str, tuple[int, ...]]:
    return {
        name: tuple(np.shape(leaf)) for name, leaf in weights.flatten(_abstract(config)).items()
    }
