"""Group learning rates: heads at the full rate, the encoder slower, its stem slowest."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deepecg_jax.config import OptimizerConfig
from deepecg_jax.objectives.config import CompatConfig
from deepecg_jax.training.optimizer import make_optimizer


@pytest.mark.parametrize("factor", [1.0, 0.1])
def test_each_group_moves_by_its_own_rate(factor: float) -> None:
    weights = {
        "encoder": {"stem": {"kernel": jnp.ones((2, 2))}, "layers": {"kernel": jnp.ones((2, 2))}},
        "heads": {"kernel": jnp.ones((2, 2))},
    }
    config = OptimizerConfig(learning_rate=0.5, weight_decay=0.25, group_factor=factor)
    optimizer = make_optimizer(config, lambda step: 0.5, None, CompatConfig(), ("stem",))
    slopes = jax.tree.map(jnp.ones_like, weights)
    updates, _ = optimizer.update(slopes, optimizer.init(weights), weights)
    # Adam's first step is 1 wherever the gradient is not 0; decay adds a quarter of the weight
    whole = -0.5 * (1 + 0.25)
    for path, share in ((("heads",), 1), (("encoder", "layers"), factor)):
        found = updates
        for name in path:
            found = found[name]
        np.testing.assert_allclose(found["kernel"], whole * share, rtol=1e-5)
    np.testing.assert_allclose(updates["encoder"]["stem"]["kernel"], whole * factor**2, rtol=1e-5)
