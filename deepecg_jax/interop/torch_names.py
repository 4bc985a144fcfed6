"""Names and layouts of the weights in PyTorch (fairseq-signals), both ways and bit-exact.

One table of links says which slice of which JAX array is which PyTorch tensor. Values are only
sliced, transposed and reshaped, never computed, so both directions are exact. The names are those
of fairseq-signals' ``Wav2Vec2CMSCModel`` and ``ECGTransformerClassificationModel``; the attention
head carries the names of V-JEPA's attentive classifier under ``proj.``.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from deepecg_jax.errors import UserError
from deepecg_jax.interop.architecture import Architecture
from deepecg_jax.interop.weights import Weights
from deepecg_jax.models.wcr.config import WCRConfig

_MATRIX = (1, 0)  # (in, out) -> (out, in)
_CONVOLUTION = (2, 1, 0)  # (taps, in, out) -> (out, in, taps)


@dataclass(frozen=True)
class Link:
    """``torch = jax[index].transpose(axes).reshape(shape)``; None leaves a step out."""

    jax: str
    torch: str
    index: tuple[Any, ...] = ()
    axes: tuple[int, ...] | None = None
    shape: tuple[int, ...] | None = None

    def to_torch(self, array: np.ndarray) -> np.ndarray:
        """The PyTorch tensor of this link, contiguous."""
        value = array[self.index]
        if self.axes is not None:
            value = value.transpose(self.axes)
        value = np.array(value, copy=True, order="C")
        return value if self.shape is None else value.reshape(self.shape)

    def torch_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the PyTorch tensor where the JAX array has ``shape``."""
        view = np.broadcast_to(np.float32(0), shape)[self.index]
        if self.axes is not None:
            view = view.transpose(self.axes)
        return view.shape if self.shape is None else self.shape

    def fill(self, array: np.ndarray, value: np.ndarray) -> None:
        """Write the PyTorch tensor ``value`` into its place in the JAX array."""
        view = array[self.index]
        if self.axes is not None:
            view = view.transpose(self.axes)
        view[...] = value.reshape(view.shape)


def encoder_links(config: WCRConfig, jax: str = "", torch: str = "") -> list[Link]:
    """Links of a `WCREncoder`; ``jax`` and ``torch`` are prefixes of the names."""
    stem = "feature_extractor.conv_layers"
    links = []
    for i in range(len(config.conv_layers)):
        links.append(Link(f"stem.kernels.{i}", f"{stem}.{i}.0.weight", axes=_CONVOLUTION))
        if config.conv_bias:
            links.append(Link(f"stem.biases.{i}", f"{stem}.{i}.0.bias"))
    links += [
        Link("stem.norm_scale", f"{stem}.0.2.weight"),
        Link("stem.norm_bias", f"{stem}.0.2.bias"),
        *_norm("features_norm", "layer_norm"),
        Link("mask_embedding", "mask_emb"),
    ]
    if config.conv_layers[-1].width != config.width:
        links += _linear("projection", "post_extract_proj")
    taps = config.positional_kernel
    conv = "conv_pos.pos_conv.0"
    links += [
        Link("positional.direction", f"{conv}.weight_v", axes=_CONVOLUTION),
        Link("positional.gain", f"{conv}.weight_g", shape=(1, 1, taps)),
        Link("positional.bias", f"{conv}.bias"),
        *_norm("transformer.norm", "encoder.layer_norm"),
    ]
    for i in range(config.layers):
        links += _layer(i)
    return [
        Link(jax + link.jax, torch + link.torch, link.index, link.axes, link.shape)
        for link in links
    ]


def links_of(architecture: Architecture) -> list[Link]:
    """Links of an encoder (names without prefix) or a classifier (``encoder.``, ``proj.``)."""
    if architecture.head is None:
        return encoder_links(architecture.model)
    links = encoder_links(architecture.model, "encoder.", "encoder.")
    if architecture.head.kind == "linear":
        return links + _linear("head.projection", "proj")
    block = "proj.pooler.cross_attention_block"
    return [
        *links,
        Link("head.query", "proj.pooler.query_tokens", shape=(1, 1, architecture.model.width)),
        *_norm("head.token_norm", f"{block}.norm1"),
        *_linear("head.to_query", f"{block}.xattn.q"),
        *_linear("head.to_key_value", f"{block}.xattn.kv"),
        *_linear("head.to_out", f"{block}.xattn.proj"),
        *_norm("head.mlp_norm", f"{block}.norm2"),
        *_linear("head.up", f"{block}.mlp.fc1"),
        *_linear("head.down", f"{block}.mlp.fc2"),
        *_linear("head.projection", "proj.linear"),
    ]


def pretrainer_links(config: WCRConfig) -> list[Link]:
    """Links of a `WCRPretrainer`; the lead decoder exists only here and keeps its own name."""
    words = config.codebook_groups * config.codewords
    size = config.code_dim // config.codebook_groups
    links = [
        *encoder_links(config, "encoder."),
        Link("quantizer.codebook", "quantizer.vars", shape=(1, words, size)),
        *_linear("quantizer.logits", "quantizer.weight_proj"),
        *_linear("project_target", "project_q"),
        *_linear("project_context", "final_proj"),
    ]
    if config.lead_decoder:
        links += _linear("lead_decoder", "lead_decoder")
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
    UserError listing every missing, extra, mis-shaped or not-float32 tensor.
    """
    expected = {link.torch: link.torch_shape(shapes[link.jax]) for link in links}
    problems = [
        f"missing {name} {shape}"
        for name, shape in expected.items()
        if name not in state and name not in absent
    ]
    problems += [f"extra {name} {state[name].shape}" for name in state if name not in expected]
    for name, shape in expected.items():
        if name in state and tuple(state[name].shape) != shape:
            problems.append(f"{name} is {tuple(state[name].shape)}, expected {shape}")
        elif name in state and state[name].dtype != np.float32:
            problems.append(f"{name} is {state[name].dtype}, expected float32")
    if problems:
        raise UserError(
            f"{where} does not fit the architecture, nothing was loaded: {'; '.join(problems)}."
        )
    weights = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    for link in links:
        if link.torch in state:
            link.fill(weights[link.jax], state[link.torch])
    return weights


def _linear(jax: str, torch: str) -> list[Link]:
    return [
        Link(f"{jax}.kernel", f"{torch}.weight", axes=_MATRIX),
        Link(f"{jax}.bias", f"{torch}.bias"),
    ]


def _norm(jax: str, torch: str) -> list[Link]:
    return [Link(f"{jax}.scale", f"{torch}.weight"), Link(f"{jax}.bias", f"{torch}.bias")]


def _layer(i: int) -> list[Link]:
    """One transformer layer: slice ``i`` of the stacked arrays; q, k, v are one array in JAX."""
    jax, torch = "transformer", f"encoder.layers.{i}"
    links = []
    for slot, name in enumerate(("q", "k", "v")):
        place = f"{torch}.self_attn.{name}_proj"
        kernel = (i, slice(None), slot)
        links.append(Link(f"{jax}.qkv_kernel", f"{place}.weight", kernel, _MATRIX))
        links.append(Link(f"{jax}.qkv_bias", f"{place}.bias", (i, slot)))
    for part, place in (("out", "self_attn.out_proj"), ("up", "fc1"), ("down", "fc2")):
        links.append(Link(f"{jax}.{part}_kernel", f"{torch}.{place}.weight", (i,), _MATRIX))
        links.append(Link(f"{jax}.{part}_bias", f"{torch}.{place}.bias", (i,)))
    for part, place in (("attention", "self_attn_layer_norm"), ("ffn", "final_layer_norm")):
        links.append(Link(f"{jax}.{part}_norm_scale", f"{torch}.{place}.weight", (i,)))
        links.append(Link(f"{jax}.{part}_norm_bias", f"{torch}.{place}.bias", (i,)))
    return links
