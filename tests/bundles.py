"""Bundles and signals for the interop tests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from interop_models import SMALL, random_weights

from deepecg_jax.bundle import bundle
from deepecg_jax.bundle.architecture import Architecture, HeadConfig
from deepecg_jax.models.wcr.config import WCRConfig
from deepecg_jax.signals.contract import SignalContract


@pytest.fixture(scope="session")
def save_bundle() -> Callable[..., Path]:
    """Save a small bundle with random weights: (folder, head kind or None, signal contract,
    **WCRConfig fields)."""

    def save(
        folder: Path,
        kind: str | None = "linear",
        signal: SignalContract = SignalContract(),  # noqa: B008
        **fields: Any,
    ) -> Path:
        model = WCRConfig(**{**SMALL, **fields})
        head = None if kind is None else HeadConfig.model_validate({"kind": kind})
        labels = None if kind is None else ["AF", "LBBB", "superclass:MI"]
        architecture = Architecture(model, head, len(labels or []))
        return bundle.save(
            folder,
            model=model,
            head=head,
            params=architecture.nested(random_weights(architecture)),
            labels=labels,
            thresholds={} if kind is None else {"AF": 0.25},
            signal=signal,
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
