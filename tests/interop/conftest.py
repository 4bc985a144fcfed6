"""Small architectures and bundles for the interop tests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from deepecg_jax.interop import bundle
from deepecg_jax.interop.architecture import Architecture, HeadConfig
from deepecg_jax.interop.weights import Weights, nest
from deepecg_jax.models.wcr.config import WCRConfig
from deepecg_jax.signals.contract import SignalContract

SMALL: dict[str, Any] = {
    "conv_layers": [(8, 2, 2)] * 4,
    "width": 16,
    "layers": 2,
    "heads": 2,
    "ffn_width": 24,
    "positional_kernel": 8,
    "positional_groups": 4,
    "codewords": 6,
    "final_dim": 8,
}


def random_weights(architecture: Architecture, seed: int = 0) -> Weights:
    """Every tensor random, biases, norms and gains included, so that none is trivial."""
    rng = np.random.default_rng(seed)
    values = {}
    for name, shape in architecture.shapes().items():
        scale = 0.3 if len(shape) > 1 else 0.1
        value = scale * rng.standard_normal(shape)
        if name.endswith(("scale", "gain")):
            value = value + 1.0
        values[name] = value.astype(np.float32)
    return values


def nested(weights: Weights, architecture: Architecture) -> Any:
    """Flat weights as the nested dict that training hands over."""
    return nest(weights, architecture._abstract()[2])


@pytest.fixture(scope="session")
def save_bundle() -> Callable[..., Path]:
    """Save a small bundle with random weights: (folder, head kind or None, **WCRConfig fields)."""

    def save(folder: Path, kind: str | None = "linear", **fields: Any) -> Path:
        model = WCRConfig(**{**SMALL, **fields})
        head = None if kind is None else HeadConfig.model_validate({"kind": kind})
        labels = [] if kind is None else ["AF", "LBBB", "superclass:MI"]
        architecture = Architecture(model, head, len(labels))
        return bundle.save(
            folder,
            model=model,
            head=head,
            params=nested(random_weights(architecture), architecture),
            labels=labels,
            thresholds={} if kind is None else {"AF": 0.25},
            signal=SignalContract(),
            metrics={"validation": {"auroc": 0.9, "empty": float("nan")}},
            provenance={"dataset": "synthetic", "steps": np.int64(7)},
        )

    return save


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory, save_bundle: Any) -> bundle.Bundle:
    """A loaded bundle with a linear head."""
    return bundle.load(save_bundle(tmp_path_factory.mktemp("bundles") / "classifier"))


@pytest.fixture(scope="session")
def signals() -> np.ndarray:
    """Smooth random signals, (5, 320, 12) float32 mV."""
    noise = jax.random.normal(jax.random.key(1), (5, 320, 12))
    return np.asarray(np.cumsum(np.asarray(noise), 1) * 0.05, np.float32)
