"""The patch transformer's sizes, initial weights, places and operations, by hand."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from pydantic import ValidationError

from deepecg_jax.models.vit.config import ViTConfig
from deepecg_jax.models.vit.positions import crossing


@pytest.mark.parametrize(
    ("size", "published"), [("xs", 3_600_000), ("small", 14_277_888), ("base", 85_185_024)]
)
def test_published_numbers_of_parameters(size: str, published: int) -> None:
    """3.6, 14.3 and 85.2 M without the mask embedding, which is the predictor's there."""
    config = ViTConfig.model_validate({"size": size})
    state = nnx.state(nnx.eval_shape(lambda: config.build(jax.random.key(0))))
    assert sum(leaf.size for leaf in jax.tree.leaves(state)) - config.width == published


def test_what_is_not_given_is_filled() -> None:
    assert (ViTConfig().layers, ViTConfig().width, ViTConfig().ffn_width) == (8, 192, 768)
    narrow = ViTConfig(size="base", width=48)
    assert (narrow.layers, narrow.heads, narrow.ffn_width) == (12, 12, 192)
    assert ViTConfig().n_tokens(2500) == 100 and ViTConfig().token_groups == 1
    per_lead = ViTConfig(patches="per_lead")
    assert (per_lead.patch_samples, per_lead.n_tokens(2500), per_lead.token_groups) == (50, 600, 12)
    assert ViTConfig(patches="per_lead", patch_samples=75).n_tokens(2500) == 12 * 33


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"width": 15, "heads": 3}, "width=15 must be even"),
        ({"heads": 5}, "heads=5 must divide width=192"),
        ({"attention_pattern": "cross"}, "attention_pattern=cross needs patches=per_lead"),
        ({"attention_pattern": "cross", "patches": "per_lead", "attention": "splash"}, "splash"),
        ({"size": "huge"}, "'tiny', 'xs', 'small' or 'base'"),
        ({"patches": "rows"}, "'all_leads' or 'per_lead'"),
    ],
)
def test_refused_configurations(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ViTConfig.model_validate(fields)


@pytest.mark.slow
def test_initial_weights_are_of_the_published_deviations() -> None:
    config = ViTConfig(size="tiny", width=128, layers=2, patches="per_lead", biases=True)
    state = nnx.to_pure_dict(
        nnx.state(jax.jit(lambda k: nnx.split(config.build(k))[1])(jax.random.key(0)))
    )
    layers = state["transformer"]
    assert all(not np.asarray(value).any() for name, value in layers.items() if "_bias" in name)
    for name in ("out_kernel", "down_kernel"):
        np.testing.assert_allclose(np.std(layers[name]), 0.02 / np.sqrt(4), rtol=0.03)
    for value in (layers["qkv_kernel"], layers["up_kernel"], state["stem"]["kernel"]):
        np.testing.assert_allclose(np.std(value), 0.02, rtol=0.03)
    for name in ("register_token", "mask_embedding", "lead_embedding"):
        np.testing.assert_allclose(np.std(state[name]), 0.02, rtol=0.3)


def test_crossing_by_hand() -> None:
    """Of two times: lead 0 at 0 and 1, lead 2 at 0; the register before them."""
    expected = [[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 0, 1]]
    np.testing.assert_array_equal(crossing(jnp.array([[0, 1, 4]]), 2)[0], np.array(expected, bool))


def test_operations_by_hand() -> None:
    """Four patches of three leads and the register, twice."""
    shape = {"width": 8, "layers": 2, "heads": 2, "ffn_width": 12, "patch_samples": 5}
    per_lead = ViTConfig.model_validate(shape | {"leads": 3, "patches": "per_lead"})
    m, d = 13, 8
    expected = {
        "stem": 2 * 2 * 12 * 5 * d,
        "attention": 2 * 2 * (4 * 2 * m * d * d + 2 * 2 * m * m * d),
        "feed_forward": 2 * 2 * 2 * 2 * m * d * 12,
    }
    assert per_lead.flops(23, 2) == expected
    assert ViTConfig.model_validate(shape).flops(23)["stem"] == 2 * 4 * 5 * 12 * d
