"""Names and layouts of BERT's weights in `transformers`, both ways and bit-exact."""

import re
from collections.abc import Mapping

import numpy as np

from deepecg_jax.bundle.weights import Weights
from deepecg_jax.interop.links import MATRIX, Link, linear
from deepecg_jax.labelling.bert.config import BertConfig

# position_ids and token_type_ids are constants that older versions of `transformers` stored
_CONSTANT = re.compile(r"(^|\.)embeddings\.(position_ids|token_type_ids)$")
_OLD_NORM = {"gamma": "weight", "beta": "bias"}


def bert_links(config: BertConfig) -> list[Link]:
    """Links of a `BertClassifier` to the names of ``BertForSequenceClassification``."""
    place = "bert.embeddings"
    links = [
        Link("embeddings.word", f"{place}.word_embeddings.weight"),
        Link("embeddings.position", f"{place}.position_embeddings.weight"),
        Link("embeddings.token_type", f"{place}.token_type_embeddings.weight"),
        Link("embeddings.norm_scale", f"{place}.LayerNorm.weight"),
        Link("embeddings.norm_bias", f"{place}.LayerNorm.bias"),
    ]
    for i in range(config.num_hidden_layers):
        links += _layer(i)
    return [*links, *linear("pooler", "bert.pooler.dense"), *linear("classifier", "classifier")]


def _layer(i: int) -> list[Link]:
    """Slice ``i`` of the stacked arrays; query, key and value are one array in JAX."""
    jax, torch = "encoder", f"bert.encoder.layer.{i}"
    links = []
    for slot, name in enumerate(("query", "key", "value")):
        place = f"{torch}.attention.self.{name}"
        links.append(Link(f"{jax}.qkv_kernel", f"{place}.weight", (i, slice(None), slot), MATRIX))
        links.append(Link(f"{jax}.qkv_bias", f"{place}.bias", (i, slot)))
    places = {"out": "attention.output.dense", "up": "intermediate.dense", "down": "output.dense"}
    for part, place in places.items():
        links.append(Link(f"{jax}.{part}_kernel", f"{torch}.{place}.weight", (i,), MATRIX))
        links.append(Link(f"{jax}.{part}_bias", f"{torch}.{place}.bias", (i,)))
    norms = {"attention": "attention.output.LayerNorm", "ffn": "output.LayerNorm"}
    for part, place in norms.items():
        links.append(Link(f"{jax}.{part}_norm_scale", f"{torch}.{place}.weight", (i,)))
        links.append(Link(f"{jax}.{part}_norm_bias", f"{torch}.{place}.bias", (i,)))
    return links


def canonical(state: Mapping[str, np.ndarray]) -> Weights:
    """A state dict by today's names, float32, without stored constants.

    Old files call a norm's weight and bias ``gamma`` and ``beta``. Half-precision weights are
    widened, which loses nothing.
    """
    renamed = {}
    for name, value in state.items():
        if _CONSTANT.search(name):
            continue
        front, _, last = name.rpartition(".")
        if front.endswith("LayerNorm") and last in _OLD_NORM:
            name = f"{front}.{_OLD_NORM[last]}"
        if str(value.dtype) in ("float16", "bfloat16"):
            value = value.astype(np.float32)
        renamed[name] = value
    return renamed


def encoder_only(state: Mapping[str, np.ndarray]) -> Weights:
    """What fine-tuning starts from: the tensors under ``bert.``, without any head.

    Checkpoints of a bare ``BertModel`` have no ``bert.``, those of language models a ``cls.`` head.
    """
    if not any(name.startswith("bert.") for name in state):
        state = {f"bert.{name}": value for name, value in state.items()}
    return {name: value for name, value in state.items() if name.startswith("bert.")}
