"""Small architectures with random weights, for the interop tests."""

from typing import Any

import numpy as np

from deepecg_jax.bundle.architecture import Architecture
from deepecg_jax.bundle.weights import Weights

SMALL: dict[str, Any] = {
    "conv_layers": [(8, 2, 2)] * 4,
    "width": 16,
    "layers": 2,
    "heads": 2,
    "ffn_width": 24,
    "positional_kernel": 8,
    "positional_groups": 4,
}
SMALL_HEADS: dict[str, Any] = {"codewords": 6, "final_dim": 8}  # of the WCR objective


def random_weights(architecture: Architecture, seed: int = 0) -> Weights:
    """Every tensor random, biases, norms and gains included, so that none is trivial."""
    rng = np.random.default_rng(seed)
    values = {}
    for name, shape in architecture.shapes().items():
        scale = 0.3 if len(shape) > 1 else 0.1
        value = scale * rng.standard_normal(shape)
        if name.endswith(("scale", "gain")):
            value = value + 1.0
        elif name.endswith("variance"):
            value = 1.0 + np.abs(value)
        elif name.endswith("batches"):
            value = rng.integers(0, 1000, shape)
        values[name] = value.astype(np.float32)
    return values
