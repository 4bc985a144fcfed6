"""Fixtures of the comparisons with stored numbers: the small WCR reference's folder and shape."""

import json
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

from deepecg_jax.models.wcr.config import WCRConfig
from deepecg_jax.objectives.wcr.config import WCRObjectiveConfig


@pytest.fixture(autouse=True)
def full_precision() -> Iterator[None]:
    with jax.default_matmul_precision("highest"):
        yield


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    return shared / "golden" / "wcr" / "small_a"


@pytest.fixture(scope="module")
def config(folder: Path) -> WCRConfig:
    values = json.loads((folder / "config.json").read_text())["model"]
    assert values["conv_feature_layers"] == "[(32, 2, 2)] * 4"
    return WCRConfig(
        leads=values["in_d"],
        conv_layers=((32, 2, 2),) * 4,
        conv_bias=values["conv_bias"],
        width=values["encoder_embed_dim"],
        layers=values["encoder_layers"],
        heads=values["encoder_attention_heads"],
        ffn_width=values["encoder_ffn_embed_dim"],
        layer_norm_first=values["layer_norm_first"],
        positional_kernel=values["conv_pos"],
        positional_groups=values["conv_pos_groups"],
        dropout=0.0,
        attention_dropout=0.0,
        dropout_input=0.0,
    )


@pytest.fixture(scope="module")
def objective(folder: Path) -> WCRObjectiveConfig:
    values = json.loads((folder / "config.json").read_text())["model"]
    return WCRObjectiveConfig(
        codebook_groups=values["latent_groups"],
        codewords=values["latent_vars"],
        latent_dim=values["latent_dim"],
        final_dim=values["final_dim"],
        dropout_features=0.0,
    )
