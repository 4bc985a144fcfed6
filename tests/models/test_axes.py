"""Logical axes: every large parameter has a rule, and a forgotten one is an error."""

from typing import ClassVar

import jax
import jax.numpy as jnp
import pytest
from flax import nnx
from toys import ToyConfig

from deepecg_jax.errors import UserError
from deepecg_jax.models.axes import Axes, logical_axes
from deepecg_jax.models.efficientnet.config import EfficientNetConfig
from deepecg_jax.models.heads import Classifier, HeadConfig, build_head
from deepecg_jax.models.s4.config import S4Config
from deepecg_jax.models.wcr.config import WCRConfig
from deepecg_jax.objectives.pretrainer import Pretrainer
from deepecg_jax.objectives.wcr.config import WCRObjectiveConfig


def build(name: str, key: jax.Array) -> nnx.Module:
    wcr = WCRConfig(size="tiny")
    if name == "pretrainer":
        return Pretrainer(wcr, WCRObjectiveConfig(lead_decoder=True), key)
    kind, model = name.split("-")
    families = {"wcr": wcr, "efficientnet": EfficientNetConfig(), "s4": S4Config()}
    config = {**families, "toy": ToyConfig()}[model]
    settings = HeadConfig.model_validate({"kind": kind, "heads": config.attention_heads})
    return Classifier(config.build(key), build_head(settings, config.width, 5, key))


@pytest.mark.parametrize(
    "name",
    [
        "pretrainer",
        "linear-wcr",
        "attention-wcr",
        "linear-efficientnet",
        "linear-s4",
        "attention-toy",
    ],
)
def test_every_variable_has_axes_that_fit(name: str) -> None:
    module = nnx.eval_shape(lambda: build(name, jax.random.key(0)))
    axes = logical_axes(module)
    leaves = jax.tree_util.tree_leaves_with_path(nnx.to_pure_dict(nnx.state(module)))
    ranks = {".".join(str(part.key) for part in path): leaf.ndim for path, leaf in leaves}
    assert ranks == {name: len(rule) for name, rule in axes.items()}
    split = {path.rpartition(".")[2] for path, rule in axes.items() if set(rule) - {None, "layers"}}
    if "toy" in name:
        assert split == {"kernel"}
    elif "s4" in name:
        assert split == {"mix_kernel"}
    elif "efficientnet" not in name:  # its kernels are small: a copy each
        kernels = {"qkv_kernel", "out_kernel", "up_kernel", "down_kernel"}
        assert split == kernels | {"direction"}


class Forgetful(nnx.Module):
    AXES: ClassVar[dict[str, Axes]] = {"right": (None, "width"), "short": (None,)}

    def __init__(self, name: str):
        setattr(self, name, nnx.Param(jnp.zeros((3, 4))))
        self.vector = nnx.Param(jnp.zeros(4))


class Outer(nnx.Module):
    AXES: ClassVar[dict[str, Axes]] = {"several": ("width", None)}

    def __init__(self, name: str = "right"):
        self.parts = nnx.List([Forgetful("right"), Forgetful(name)])
        self.several = nnx.List([nnx.Param(jnp.zeros((2, 2)))])


def test_a_forgotten_or_wrong_rule_is_an_error_that_names_the_parameter() -> None:
    assert logical_axes(Outer()) == {
        "parts.0.right": (None, "width"),
        "parts.0.vector": (None,),
        "parts.1.right": (None, "width"),
        "parts.1.vector": (None,),
        "several.0": ("width", None),
    }
    with pytest.raises(UserError, match=r"parts.1.left \(3, 4\) has no logical axes; add 'left'"):
        logical_axes(Outer("left"))
    with pytest.raises(UserError, match=r"parts.1.short \(3, 4\) has 2 axes, but Forgetful.AXES"):
        logical_axes(Outer("short"))
