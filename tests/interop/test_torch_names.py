"""Names and layouts of PyTorch: complete, and exact in both directions."""

import numpy as np
import pytest
from flax import nnx
from interop_models import SMALL, SMALL_HEADS, random_weights

from deepecg_jax.bundle.architecture import Architecture, HeadConfig
from deepecg_jax.bundle.weights import flatten
from deepecg_jax.errors import UserError
from deepecg_jax.interop import torch_names
from deepecg_jax.models.wcr.config import WCRConfig
from deepecg_jax.objectives.pretrainer import Pretrainer
from deepecg_jax.objectives.wcr.config import WCRObjectiveConfig

ARCHITECTURES = {
    "encoder": Architecture(WCRConfig(**SMALL)),
    "linear": Architecture(WCRConfig(**SMALL), HeadConfig(kind="linear"), 3),
    "attention": Architecture(WCRConfig(**SMALL), HeadConfig(kind="attention"), 1),
    "no projection, biases": Architecture(
        WCRConfig(**{**SMALL, "conv_layers": [(8, 3, 2), (16, 5, 4)], "conv_bias": True})
    ),
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_round_trip_is_exact(name: str) -> None:
    architecture = ARCHITECTURES[name]
    weights = random_weights(architecture)
    links = torch_names.links_of(architecture)
    assert {link.jax for link in links} == weights.keys()
    state = torch_names.to_torch(weights, links)
    assert len(state) == len(links)
    assert sum(v.size for v in state.values()) == sum(v.size for v in weights.values())
    back = torch_names.to_jax(state, links, architecture.shapes())
    again = torch_names.to_torch(back, links)
    for key, value in weights.items():
        assert value.tobytes() == back[key].tobytes(), key
    for key, value in state.items():
        assert value.tobytes() == again[key].tobytes(), key


def test_layouts_of_fairseq() -> None:
    state = torch_names.to_torch(
        random_weights(ARCHITECTURES["linear"]), torch_names.links_of(ARCHITECTURES["linear"])
    )
    shapes = {
        "encoder.conv_pos.pos_conv.0.weight_g": (1, 1, 8),
        "encoder.conv_pos.pos_conv.0.weight_v": (16, 4, 8),
        "encoder.feature_extractor.conv_layers.0.0.weight": (8, 12, 2),
        "encoder.feature_extractor.conv_layers.0.2.bias": (8,),
        "encoder.post_extract_proj.weight": (16, 8),
        "encoder.encoder.layers.1.fc1.weight": (24, 16),
        "encoder.mask_emb": (16,),
        "proj.weight": (3, 16),
    }
    assert {name: state[name].shape for name in shapes} == shapes


def test_queries_keys_and_values_are_the_right_slices() -> None:
    architecture = ARCHITECTURES["encoder"]
    weights = random_weights(architecture)
    state = torch_names.to_torch(weights, torch_names.links_of(architecture))
    x = np.random.default_rng(3).standard_normal(16).astype(np.float32)
    kernel, bias = weights["transformer.qkv_kernel"][1], weights["transformer.qkv_bias"][1]
    for slot, name in enumerate("qkv"):
        place = f"encoder.layers.1.self_attn.{name}_proj"
        ours = x @ kernel[:, slot] + bias[slot]
        np.testing.assert_allclose(
            state[f"{place}.weight"] @ x + state[f"{place}.bias"], ours, rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("decoder", [False, True])
def test_pretrainer_names(decoder: bool) -> None:
    import jax

    config = WCRConfig(**SMALL)
    objective = WCRObjectiveConfig(**SMALL_HEADS, latent_dim=12, lead_decoder=decoder)
    abstract = nnx.eval_shape(lambda: Pretrainer(config, objective, jax.random.key(0)))
    shapes = {
        name: leaf.shape for name, leaf in flatten(nnx.to_pure_dict(nnx.split(abstract)[1])).items()
    }
    links = torch_names.pretrainer_links(config, objective)
    assert {link.jax for link in links} == shapes.keys()
    rng = np.random.default_rng(0)
    weights = {n: rng.standard_normal(s).astype(np.float32) for n, s in shapes.items()}
    state = torch_names.to_torch(weights, links)
    assert state["quantizer.vars"].shape == (1, 12, 6)
    assert state["quantizer.weight_proj.weight"].shape == (12, 8)
    assert state["project_q.weight"].shape == (8, 12)
    # group g of the quantizer is rows g * V to (g + 1) * V
    codebook = weights["heads.quantizer.codebook"]
    np.testing.assert_array_equal(state["quantizer.vars"][0, 6:], codebook[1])
    back = torch_names.to_jax(state, links, shapes)
    assert all((back[name] == value).all() for name, value in weights.items())


def test_misfits_are_listed() -> None:
    architecture = ARCHITECTURES["linear"]
    links, shapes = torch_names.links_of(architecture), architecture.shapes()
    state = torch_names.to_torch(random_weights(architecture), links)
    state["proj.weight"] = state["proj.weight"].T.copy()
    state["quantizer.vars"] = np.zeros((1, 2, 3), np.float32)
    state["proj.bias"] = state["proj.bias"].astype(np.float16)
    del state["encoder.mask_emb"]
    with pytest.raises(UserError) as error:
        torch_names.to_jax(state, links, shapes, "x.pt")
    for text in (
        "x.pt does not fit",
        "missing encoder.mask_emb (16,)",
        "extra quantizer.vars (1, 2, 3)",
        "proj.weight is (16, 3), expected (3, 16)",
        "proj.bias is float16, expected float32",
    ):
        assert text in str(error.value)


def test_a_finetuned_checkpoint_may_lack_the_mask_embedding() -> None:
    architecture = ARCHITECTURES["linear"]
    links, shapes = torch_names.links_of(architecture), architecture.shapes()
    state = torch_names.to_torch(random_weights(architecture), links)
    del state["encoder.mask_emb"]
    back = torch_names.to_jax(state, links, shapes, absent={"encoder.mask_emb"})
    assert (back["encoder.mask_embedding"] == 0).all()
