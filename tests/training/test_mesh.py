"""Every parameter has a rule of how it is spread; one without is an error, not a copy."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec as P

from deepecg_jax.labelling.bert.config import BertConfig
from deepecg_jax.labelling.bert.model import BertClassifier
from deepecg_jax.models.axes import logical_axes
from deepecg_jax.models.efficientnet.config import EfficientNetConfig
from deepecg_jax.models.heads import HeadConfig, build_head
from deepecg_jax.models.net1d.config import Net1DConfig
from deepecg_jax.models.vit.config import ViTConfig
from deepecg_jax.models.wcr.config import WCRConfig
from deepecg_jax.objectives.pretrainer import Pretrainer
from deepecg_jax.objectives.wcr.config import WCRObjectiveConfig
from deepecg_jax.training.mesh import parameter_shardings
from deepecg_jax.training.state import parts_of, shapes_of

TINY = WCRConfig(size="tiny")
BUILDS = {
    "wcr": lambda key: Pretrainer(TINY, WCRObjectiveConfig(lead_decoder=True), key),
    "efficientnet": lambda key: EfficientNetConfig().build(key),
    "vit": lambda key: ViTConfig(size="tiny", patches="per_lead").build(key),
    "linear head": lambda key: build_head(HeadConfig(readout="mean_max_local"), TINY, 3, key),
    "attention head": lambda key: build_head(HeadConfig(kind="attention"), TINY, 3, key),
    "attention pool": lambda key: build_head(HeadConfig(kind="attention_pool"), TINY, 3, key),
    "net1d": lambda key: Net1DConfig(size="ecgfounder").build(key),
    "bert": lambda key: BertClassifier(BertConfig.of_size("tiny", 99, ("a",)), key),
}
SPREAD = {
    "direction": P(None, None, "fsdp"),
    "qkv_kernel": P(None, "fsdp", None, "tensor"),
    "out_kernel": P(None, "tensor", "fsdp"),
    "up_kernel": P(None, "fsdp", "tensor"),
    "down_kernel": P(None, "tensor", "fsdp"),
}


@pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS)
def test_what_is_spread_and_what_is_copied(build, mesh_of):
    model = shapes_of(build)
    shapes = parts_of(model)[0]
    mesh = mesh_of(8, data=2, fsdp=2, tensor=2)
    shardings = parameter_shardings(shapes, mesh, logical_axes(model))
    leaves = jax.tree_util.tree_leaves_with_path(shardings)
    assert len(leaves) == len(jax.tree.leaves(shapes))
    for path, sharding in leaves:
        name = str(path[-1].key)
        assert sharding.is_fully_replicated if name not in SPREAD else sharding.spec == SPREAD[name]


def test_what_does_not_divide_is_a_copy(mesh_of):
    mesh = mesh_of(8, fsdp=4, data=2)
    axes = {"blocks.0.novel": ("width", None), "blocks.1.novel": (None, "width")}
    leaf = jax.ShapeDtypeStruct((8, 6), jnp.float32)
    tree = {"blocks": {0: {"novel": leaf}, 1: {"novel": leaf}}}
    found = parameter_shardings(tree, mesh, axes)
    assert found["blocks"][0]["novel"].spec == P("fsdp", None)
    assert found["blocks"][1]["novel"].spec == P(None, None)
