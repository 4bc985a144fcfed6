"""DeepECG-SL state dicts: what they are is read off the tensors, completely or not at all."""

from typing import Any

import numpy as np
import pytest
from interop_models import random_weights

from deepecg_jax.bundle import bundle
from deepecg_jax.bundle.architecture import Architecture, HeadConfig
from deepecg_jax.bundle.weights import flatten
from deepecg_jax.errors import UserError
from deepecg_jax.interop import torch_names
from deepecg_jax.interop.efficientnet_import import import_state
from deepecg_jax.models.efficientnet.config import EfficientNetConfig
from deepecg_jax.models.efficientnet.shape import Stage
from deepecg_jax.signals.contract import SignalContract

STAGES = (
    Stage("fused", 6, 1, 3, 1, 1),
    Stage("fused", 8, 2, 3, 1, 1),
    Stage("fused", 10, 1, 5, 2, 1),
    Stage("mbconv", 10, 1, 3, 2, 1),
    Stage("mbconv", 12, 2, 5, 2, 3),
    Stage("mbconv", 16, 1, 3, 2, 6, 2),
)


def make_state(linear: bool = True, **fields: Any) -> tuple[Architecture, dict[str, np.ndarray]]:
    model = EfficientNetConfig.model_validate(
        {"variant": "custom", "stem_width": 6, "stages": STAGES, "width": 12, **fields}
    )
    head = HeadConfig(kind="linear") if linear else None
    architecture = Architecture(model, head, 3 if linear else 0)
    links = torch_names.links_of(architecture)
    return architecture, torch_names.to_torch(random_weights(architecture), links)


@pytest.mark.parametrize("linear", [True, False])
def test_the_architecture_is_inferred(linear: bool) -> None:
    architecture, state = make_state(linear)
    found = import_state(state, input_scale=2.0)
    assert found.model == architecture.model.model_copy(update={"input_scale": 2.0})
    assert (found.head is not None, found.n_labels) == (linear, architecture.n_labels)
    weights, expected = flatten(found.params), random_weights(architecture)
    assert all(weights[name].tobytes() == value.tobytes() for name, value in expected.items())


def test_prefixes_counts_and_strides(tmp_path: Any) -> None:
    architecture, state = make_state()
    bare = {f"model.{n}": v for n, v in state.items() if not n.endswith("num_batches_tracked")}
    found = import_state(bare, input_scale=1.0, strides=(1, 2, 2, 2, 1, 1))
    assert [stage.stride for stage in found.model.stages] == [1, 2, 2, 2, 1, 1]
    saved = bundle.save(
        tmp_path / "b",
        model=found.model,
        head=found.head,
        params=found.params,
        labels=["a", "b", "c"],
        signal=SignalContract(),
    )
    signals = np.random.default_rng(0).standard_normal((2, 200, 12)).astype(np.float32)
    assert bundle.load(saved).logits(signals).shape == (2, 3)


def test_a_named_variant_is_recognised_and_listed_completely() -> None:
    model = EfficientNetConfig.model_validate({"variant": "b0_v2"})
    architecture = Architecture(model, HeadConfig(kind="linear"), 2)
    links = torch_names.links_of(architecture)
    state = torch_names.to_torch(random_weights(architecture), links)
    assert import_state(state, input_scale=1.0).model == model
    del state["features.3.fused_conv.0.weight"], state["features.9.se.se.3.bias"]
    state["final_norm.norm.weight"] = state["final_norm.norm.weight"][:5]
    state["another"] = np.zeros(2, np.float32)
    with pytest.raises(UserError) as error:
        import_state(state, input_scale=1.0, where="x.pt")
    for text in (
        "x.pt does not fit",
        "missing features.3.fused_conv.0.weight (32, 24, 5)",
        "missing features.9.se.se.3.bias (480,)",
        "extra another (2,)",
        "final_norm.norm.weight is (5,), expected (640,)",
    ):
        assert text in str(error.value)


def _without(state: dict[str, Any], text: str) -> dict[str, Any]:
    return {name: value for name, value in state.items() if text not in name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: {}, "no DeepECG-SL EfficientNet: it has no tensors"),
        (lambda s: _without(s, "features.3."), "missing features.3.se.se.1.weight"),
        (lambda s: _without(s, "final_conv"), "missing final_conv.weight"),
        (lambda s: _without(s, "features.7."), "form 5 runs .* one a run must be given"),
        (lambda s: _without(s, "features.2.fused_conv.1"), "missing features.2.fused_conv.1.norm"),
        (
            lambda s: s | {"features.0.fused_conv.0.weight": np.zeros((6, 6, 4), np.float32)},
            "features.0 has an even kernel",
        ),
        (
            lambda s: s | {"features.1.fused_conv.0.weight": np.zeros((8, 5, 3), np.float32)},
            "features.1 takes 5 channels where 6 arrive",
        ),
        (
            lambda s: s | {"final_norm.norm.num_batches_tracked": np.float32(3.0)},
            "num_batches_tracked is float32, expected int64",
        ),
        (
            lambda s: _without(s, "final_norm.norm.num_batches_tracked"),
            "missing final_norm.norm.num_batches_tracked",
        ),
    ],
)
def test_refused(change: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        import_state(change(make_state()[1]), input_scale=1.0)
