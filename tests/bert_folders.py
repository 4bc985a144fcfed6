"""Small random BERT classifiers as Hugging Face folders."""

import warnings
from types import ModuleType

import jax
import numpy as np
import pytest

from deepecg_jax.labelling.bert import huggingface
from deepecg_jax.labelling.bert.config import BertConfig
from deepecg_jax.labelling.bert.model import BertClassifier
from deepecg_jax.labelling.bert.tokenizer import ReportTokenizer, read_tokenizer
from deepecg_jax.training.state import split_model

WORDS = ["sinus", "##rhythm", "afib", "vorhof", "##flimmern", "no", "st", "bloc", "de"]
LETTERS = "abcdefghijklmnopqrstuvwxyzäöüéßø0123456789"
VOCABULARY = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    *WORDS,
    *LETTERS,
    *(f"##{x}" for x in LETTERS),
    *".,:;-()/",
]
TEXTS = [
    "Sinusrhythmus, kein Vorhofflimmern; Überleitungsstörung (AV-Block I°)",
    "Élévation du segment ST à l'étage antérieur, bloc de branche",
    "sinusrytm\tmed förmaksflimmer\n og grø\u0000t \u00a0 naïve",
    "no afib " * 400,  # longer than 512 tokens
    "",
    "  ",
    "[SEP] x [MASK]",
    "心電図 normal 🫀",
    "a" * 150,
    "I\u0307 Äquator A\u0308",
]


def config(**changes) -> BertConfig:
    values = {
        "vocab_size": len(VOCABULARY),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "labels": ("Afib", "Sinusal", "PVC"),
    }
    return BertConfig(**(values | changes))


def tokenizer(folder, size=10**6, **settings) -> ReportTokenizer:
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    if settings:
        huggingface.write_json(folder / "tokenizer_config.json", settings)
    return read_tokenizer(folder, size)


def random_params(own: BertConfig, seed: int = 0, spread: float = 0.2) -> dict:
    """Every parameter drawn anew, biases and norms too, so that none is 0 or 1 by luck."""
    params = split_model(BertClassifier(own, jax.random.key(seed)))[1]
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda x: np.asarray(x) + rng.normal(0, spread, x.shape).astype(np.float32), params
    )


def write_folder(folder, own: BertConfig | None = None, thresholds=None, seed: int = 0):
    """A complete folder; returns its path."""
    own = config() if own is None else own
    folder.mkdir(parents=True, exist_ok=True)
    thresholds = {name: 0.5 for name in own.labels} if thresholds is None else thresholds
    huggingface.save(folder, own, random_params(own, seed), tokenizer(folder), thresholds)
    return folder


def need_transformers() -> ModuleType:
    """The oracle, or a skipped test; it is no requirement of the tests."""
    pytest.importorskip("torch", reason="the oracle computes with torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # whatever its import says is not ours
        return pytest.importorskip("transformers", reason="pip install transformers")
