"""The fine-tuned WCR classifier and its five losses against the reference's stored numbers."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import load_file
from wcr_small import GRADIENT, assert_close, assert_gradients, module_of

from deepecg_jax.bundle.architecture import Architecture, HeadConfig
from deepecg_jax.bundle.weights import flatten
from deepecg_jax.interop import torch_names
from deepecg_jax.models.heads import Classifier
from deepecg_jax.models.pooling import mean_pool
from deepecg_jax.models.wcr.config import WCRConfig
from deepecg_jax.objectives.classification import classification_loss, elementwise_loss
from deepecg_jax.objectives.config import LossConfig

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def finetune(folder: Path, config: WCRConfig) -> tuple[Classifier, Architecture, Any]:
    architecture = Architecture(config, HeadConfig(kind="linear"), 77)
    pretrained = load_file(folder / "params.safetensors")
    links = torch_names.links_of(architecture)
    wanted = {link.torch for link in links}
    state = {f"encoder.{name}": value for name, value in pretrained.items()}
    state = {name: value for name, value in state.items() if name in wanted}
    state |= load_file(folder / "finetune_head.safetensors")
    weights = torch_names.to_jax(state, links, architecture.shapes())
    module = architecture.module(weights)
    assert isinstance(module, Classifier)
    return module, architecture, np.load(folder / "finetune.npz")


@pytest.mark.slow
def test_classifier(finetune: Any, folder: Path) -> None:
    module, _, arrays = finetune
    ecg = jnp.asarray(np.load(folder.parent / "inputs.npz")["ecg"].transpose(0, 2, 1))
    output = module.encoder(ecg)
    assert_close(output.tokens, arrays["encoder_out"], "encoder_out")
    assert_close(mean_pool(output.tokens, None), arrays["pooled"], "pooled")
    assert_close(module(ecg), arrays["logits"], "logits")


def test_classifier_gradient_of_bce(finetune: Any, folder: Path) -> None:
    module, architecture, arrays = finetune
    ecg = jnp.asarray(np.load(folder.parent / "inputs.npz")["ecg"].transpose(0, 2, 1))
    labels = jnp.asarray(arrays["labels"], jnp.float32)
    graph = nnx.split(module)

    def loss(pure: Any) -> jax.Array:
        logits = module_of(graph, pure)(ecg)
        return jnp.sum(jax.nn.softplus(logits) - labels * logits)

    value, gradient = jax.jit(jax.value_and_grad(loss))(nnx.to_pure_dict(graph[1]))
    assert_close(value, arrays["loss_bce"], "loss_bce")
    links = torch_names.links_of(architecture)
    found = torch_names.to_torch(flatten(jax.tree.map(np.asarray, gradient)), links)
    assert_gradients(found, load_file(folder / "finetune_grads_bce.safetensors"))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("bce", "bce"),
        ("binary_focal", "focal"),
        ("asymmetric", "asymmetric"),
        ("mlsml", "soft_margin"),
        ("mse2", "squared_error"),
    ],
)
def test_all_five_losses(finetune: Any, name: str, kind: Any) -> None:
    """Values, elementwise values, and the gradient of the head, from the stored pooled vectors."""
    module, _, arrays = finetune
    config = LossConfig(kind=kind)
    labels = jnp.asarray(arrays["labels"], jnp.float32)
    size = float(arrays[f"sample_size_{name}"])
    pooled = jnp.asarray(arrays["pooled"])
    each = elementwise_loss(jnp.asarray(arrays["logits"]), labels, config)
    stored = arrays[f"loss_elementwise_{name}"]
    assert_close(each.mean(-1) if stored.ndim == 1 else each, stored, name)

    def loss(kernel: jax.Array) -> jax.Array:
        logits = pooled @ kernel + module.head.projection.bias[...]
        return classification_loss(logits, labels, config, "positives") * size

    value, slope = jax.value_and_grad(loss)(module.head.projection.kernel[...])
    assert_close(value, arrays[f"loss_{name}"], f"loss_{name}")
    assert_close(slope.T, arrays[f"grad_proj_weight_{name}"], f"gradient of {name}", GRADIENT)
