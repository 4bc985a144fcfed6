"""Every parameter has a rule of how it is spread; one without is an error, not a copy."""

import jax
import jax.numpy as jnp
import pytest
from deepecg_jax.models.build import build_encoder
from deepecg_jax.models.head_config import HeadConfig
from jax.sharding import PartitionSpec as P

from deepecg_jax.errors import UserError
from deepecg_jax.labelling.bert.config import BertConfig
from deepecg_jax.labelling.bert.model import BertClassifier
from deepecg_jax.models.efficientnet.config import EfficientNetConfig
from deepecg_jax.models.heads import build_head
from deepecg_jax.models.wcr.config import WCRConfig
from deepecg_jax.objectives.wcr.heads import WCRPretrainer
from deepecg_jax.training.mesh import parameter_shardings
from deepecg_jax.training.state import parts_of, shapes_of

BUILDS = {
    "wcr": lambda key: WCRPretrainer(WCRConfig(size="tiny", lead_decoder=True), key),
    "efficientnet": lambda key: build_encoder(EfficientNetConfig(), key),
    "linear head": lambda key: build_head(HeadConfig(kind="linear"), 16, 3, key),
    "attention head": lambda key: build_head(HeadConfig(kind="attention", heads=2), 16, 3, key),
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
    shapes = parts_of(shapes_of(build))[0]
    shardings = parameter_shardings(shapes, mesh_of(8, data=2, fsdp=2, tensor=2))
    leaves = jax.tree_util.tree_leaves_with_path(shardings)
    assert len(leaves) == len(jax.tree.leaves(shapes))
    for path, sharding in leaves:
        name = str(path[-1].key)
        assert sharding.is_fully_replicated if name not in SPREAD else sharding.spec == SPREAD[name]


def test_a_parameter_without_a_rule_is_an_error(mesh_of):
    mesh = mesh_of(2)
    leaf = jax.ShapeDtypeStruct((3, 4), jnp.float32)
    with pytest.raises(UserError, match=r"encoder.novel of shape \(3, 4\) has no rule"):
        parameter_shardings({"encoder": {"novel": leaf, "bias": jnp.zeros(3)}}, mesh)
    with pytest.raises(UserError, match="up_kernel of shape .* has a rule for 3 axes"):
        parameter_shardings({"up_kernel": leaf}, mesh)


def test_rules_come_from_whoever_knows_them(mesh_of):
    """The lookup is an argument; what does not divide is a copy, and numbers are any layer."""
    mesh = mesh_of(8, fsdp=4, data=2)
    axes = {"blocks.0.novel": ("width", None), "blocks.1.novel": (None, "width")}
    leaf = jax.ShapeDtypeStruct((8, 6), jnp.float32)
    tree = {"blocks": {0: {"novel": leaf}, 1: {"novel": leaf}}}
    found = parameter_shardings(tree, mesh, axes.get)
    assert found["blocks"][0]["novel"].spec == P("fsdp", None)
    assert found["blocks"][1]["novel"].spec == P(None, None)
