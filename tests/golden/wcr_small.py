"""How arrays are compared with those of the small WCR reference.

The reference ran in float32 with random weights; `golden/wcr/small_a` holds its parameters,
inputs, activations, losses and gradients. Tolerances, relative to the largest entry of an array:
2e-5 forward, 1e-3 gradients.
"""

from typing import Any

import numpy as np
from flax import nnx

FORWARD, GRADIENT = 2e-5, 1e-3
# mathematically zero, so the stored values are rounding noise: a constant added to all keys
# changes no softmax
ZERO_GRADIENT = "self_attn.k_proj.bias"


def module_of(graph: Any, pure: Any) -> Any:
    state = nnx.split(nnx.eval_shape(lambda: nnx.merge(*graph)))[1]
    nnx.replace_by_pure_dict(state, pure)
    return nnx.merge(graph[0], state)


def assert_close(found: Any, expected: Any, name: str, tolerance: float = FORWARD) -> None:
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape, name
    error = np.abs(found - expected).max() / np.abs(expected).max()
    assert error <= tolerance, f"{name}: {error:.2e} of the largest entry"


def assert_gradients(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    """Every stored gradient; ours that is not stored must be zero (unused there)."""
    for name, value in found.items():
        if name.endswith(ZERO_GRADIENT):
            assert np.abs(value).max() < 1e-2, name
        elif name in expected and np.abs(expected[name]).max() > 0:
            assert_close(value, expected[name], f"gradient of {name}", GRADIENT)
        else:
            assert np.abs(value).max() == 0, f"{name} has a gradient only here"
    assert not expected.keys() - found.keys()
