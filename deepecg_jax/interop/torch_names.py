"""Names and layouts of the weights in PyTorch, both ways and bit-exact.

One table of links a family says which slice of which JAX array is which PyTorch tensor. The names
of the WCR family, here, are those of fairseq-signals' ``Wav2Vec2CMSCModel`` and
``ECGTransformerClassificationModel``; its attention head is under ``proj.``.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from deepecg_jax.bundle.architecture import Architecture
from deepecg_jax.bundle.weights import Weights
from deepecg_jax.errors import UserError
from deepecg_jax.interop.layouts.efficientnet_names import efficientnet_links
from deepecg_jax.interop.layouts.net1d_names import net1d_links
from deepecg_jax.interop.layouts.s4_names import s4_links
from deepecg_jax.interop.layouts.vit_names import vit_links
from deepecg_jax.interop.links import (
    CONVOLUTION,
    LARGEST_COUNT,
    MATRIX,
    Link,
    head_links,
    linear,
    norm,
)
from deepecg_jax.models.encoder import EncoderConfig
from deepecg_jax.models.heads import HeadConfig
from deepecg_jax.models.wcr.shape import WCRShape
from deepecg_jax.objectives.wcr.settings import WCRSettings


def encoder_links(config: WCRShape, jax: str = "", torch: str = "") -> list[Link]:
    """Links of a `WCREncoder`; ``jax`` and ``torch`` are prefixes of the names."""
    stem = "feature_extractor.conv_layers"
    links = []
    for i in range(len(config.conv_layers)):
        links.append(Link(f"stem.kernels.{i}", f"{stem}.{i}.0.weight", axes=CONVOLUTION))
        if config.conv_bias:
            links.append(Link(f"stem.biases.{i}", f"{stem}.{i}.0.bias"))
    links += [
        Link("stem.norm_scale", f"{stem}.0.2.weight"),
        Link("stem.norm_bias", f"{stem}.0.2.bias"),
        *norm("features_norm", "layer_norm"),
        Link("mask_embedding", "mask_emb"),
    ]
    if config.conv_layers[-1].width != config.width:
        links += linear("projection", "post_extract_proj")
    taps = config.positional_kernel
    conv = "conv_pos.pos_conv.0"
    links += [
        Link("positional.direction", f"{conv}.weight_v", axes=CONVOLUTION),
        Link("positional.gain", f"{conv}.weight_g", shape=(1, 1, taps)),
        Link("positional.bias", f"{conv}.bias"),
        *norm("transformer.norm", "encoder.layer_norm"),
    ]
    for i in range(config.layers):
        links += _layer(i)
    return [link.prefixed(jax, torch) for link in links]


def wcr_links(config: WCRShape, head: HeadConfig | None) -> list[Link]:
    """Links of a `WCREncoder` (``head=None``) or of its classifier."""
    if head is None:
        return encoder_links(config)
    links = encoder_links(config, "encoder.", "encoder.")
    return links + head_links(head, config.width, "proj", "proj")


def links_of(architecture: Architecture) -> list[Link]:
    """Links of an encoder or a classifier; UserError for a family, or a head of it, that has no
    form in PyTorch.
    """
    port, head = port_of(architecture.model), architecture.head
    if head is not None:
        what = head.readout if head.kind == "linear" else head.kind
        if what not in port.heads:
            name = f"readout {what}" if head.kind == "linear" else f"{what} head"
            raise UserError(
                f"the {name} on an encoder of kind {architecture.model.kind} has no form in "
                f"PyTorch, only {', '.join(port.heads)} have; export to StableHLO instead."
            )
    return port.links(architecture.model, head)


class Port(NamedTuple):
    """The form of a family in PyTorch."""

    layout: str  # whose names its state dict has
    template: Path  # self-contained; it is written as torch_model.py
    links: Callable[[Any, HeadConfig | None], list[Link]]  # of the family's config and a head
    heads: tuple[str, ...] = ("mean", "attention")  # readouts and heads that the template has


_TEMPLATES = Path(__file__).parent / "templates"
PORTS: dict[str, Port] = {
    "wcr": Port(
        "fairseq",
        _TEMPLATES / "torch_model.py",
        wcr_links,
        ("mean", "mean_max", "mean_local", "mean_max_local", "attention", "attention_pool"),
    ),
    "efficientnet": Port(
        "deepecg-sl",
        _TEMPLATES / "torch_efficientnet.py",
        efficientnet_links,
        ("mean", "mean_max", "attention", "attention_pool"),
    ),
    "vit": Port("timm", _TEMPLATES / "torch_vit.py", vit_links),
    "net1d": Port("net1d", _TEMPLATES / "torch_net1d.py", net1d_links),
    "s4": Port("deepecg_jax", _TEMPLATES / "torch_s4.py", s4_links),
}
"""The families that have one, by kind."""


def port_of(model: EncoderConfig) -> Port:
    """The form of an encoder's family in PyTorch; UserError if it has none."""
    if model.kind not in PORTS:
        raise UserError(
            f"encoders of kind {model.kind} have no form in PyTorch, only {', '.join(PORTS)} "
            "have; export to StableHLO instead."
        )
    return PORTS[model.kind]


def pretrainer_links(config: WCRShape, objective: WCRSettings) -> list[Link]:
    """Links of a WCR encoder with WCR's heads; the decoder exists only here, under its own name."""
    words = objective.codebook_groups * objective.codewords
    size = objective.code_dim // objective.codebook_groups
    links = [
        *encoder_links(config, "encoder."),
        Link("heads.quantizer.codebook", "quantizer.vars", shape=(1, words, size)),
        *linear("heads.quantizer.logits", "quantizer.weight_proj"),
        *linear("heads.project_target", "project_q"),
        *linear("heads.project_context", "final_proj"),
    ]
    if objective.lead_decoder:
        links += linear("heads.lead_decoder", "lead_decoder")
    return links


def to_torch(weights: Mapping[str, np.ndarray], links: Sequence[Link]) -> Weights:
    """JAX arrays by dotted name -> PyTorch tensors by state-dict name."""
    return {link.torch: link.to_torch(weights[link.jax]) for link in links}


def to_jax(
    state: Mapping[str, np.ndarray],
    links: Sequence[Link],
    shapes: Mapping[str, tuple[int, ...]],
    where: str = "the state dict",
    absent: Collection[str] = (),
) -> Weights:
    """PyTorch tensors -> JAX arrays of ``shapes``, by dotted name.

    absent: PyTorch names that may be missing; they become zeros. Fine-tuned fairseq checkpoints
        drop ``encoder.mask_emb``, which only pretraining uses.
    UserError listing every missing, extra or mis-shaped tensor, and those of another dtype.
    """
    expected = {link.torch: link.torch_shape(shapes[link.jax]) for link in links}
    dtypes = {link.torch: link.dtype for link in links}
    problems = [
        f"missing {name} {shape}"
        for name, shape in expected.items()
        if name not in state and name not in absent
    ]
    problems += [f"extra {name} {state[name].shape}" for name in state if name not in expected]
    for name, shape in expected.items():
        if name in state and tuple(state[name].shape) != shape:
            problems.append(f"{name} is {tuple(state[name].shape)}, expected {shape}")
        elif name in state and state[name].dtype != dtypes[name]:
            problems.append(f"{name} is {state[name].dtype}, expected {dtypes[name]}")
        elif name in state and dtypes[name] == "int64" and state[name].max() > LARGEST_COUNT:
            problems.append(f"{name} is {state[name].max()}, more than {LARGEST_COUNT}")
    if problems:
        raise UserError(
            f"{where} does not fit the architecture, nothing was loaded: {'; '.join(problems)}."
        )
    weights = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    for link in links:
        if link.torch in state:
            link.fill(weights[link.jax], state[link.torch])
    return weights


def _layer(i: int) -> list[Link]:
    """One transformer layer: slice ``i`` of the stacked arrays; q, k, v are one array in JAX."""
    jax, torch = "transformer", f"encoder.layers.{i}"
    links = []
    for slot, name in enumerate(("q", "k", "v")):
        place = f"{torch}.self_attn.{name}_proj"
        kernel = (i, slice(None), slot)
        links.append(Link(f"{jax}.qkv_kernel", f"{place}.weight", kernel, MATRIX))
        links.append(Link(f"{jax}.qkv_bias", f"{place}.bias", (i, slot)))
    for part, place in (("out", "self_attn.out_proj"), ("up", "fc1"), ("down", "fc2")):
        links.append(Link(f"{jax}.{part}_kernel", f"{torch}.{place}.weight", (i,), MATRIX))
        links.append(Link(f"{jax}.{part}_bias", f"{torch}.{place}.bias", (i,)))
    for part, place in (("attention", "self_attn_layer_norm"), ("ffn", "final_layer_norm")):
        links.append(Link(f"{jax}.{part}_norm_scale", f"{torch}.{place}.weight", (i,)))
        links.append(Link(f"{jax}.{part}_norm_bias", f"{torch}.{place}.bias", (i,)))
    return links
