"""One link says which slice of which JAX array is which PyTorch tensor.

Values are only sliced, transposed and reshaped, never computed, so both directions are exact.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from deepecg_jax.models.heads import HeadConfig

MATRIX = (1, 0)  # (in, out) -> (out, in)
CONVOLUTION = (2, 1, 0)  # (taps, in, out) -> (out, in, taps)
LARGEST_COUNT = 2**24


@dataclass(frozen=True)
class Link:
    """``torch = jax[index].transpose(axes).reshape(shape)``; None leaves a step out.

    dtype: of the PyTorch tensor; in JAX everything is stored as float32, which holds counts up to
        `LARGEST_COUNT` exactly.
    """

    jax: str
    torch: str
    index: tuple[Any, ...] = ()
    axes: tuple[int, ...] | None = None
    shape: tuple[int, ...] | None = None
    dtype: str = "float32"

    def to_torch(self, array: np.ndarray) -> np.ndarray:
        """The PyTorch tensor of this link, contiguous."""
        value = array[self.index]
        if self.axes is not None:
            value = value.transpose(self.axes)
        value = np.array(value, dtype=self.dtype, copy=True, order="C")
        return value if self.shape is None else value.reshape(self.shape)

    def torch_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the PyTorch tensor where the JAX array has ``shape``."""
        view = np.broadcast_to(np.float32(0), shape)[self.index]
        if self.axes is not None:
            view = view.transpose(self.axes)
        return view.shape if self.shape is None else self.shape

    def fill(self, array: np.ndarray, value: np.ndarray) -> None:
        """Write the PyTorch tensor ``value`` into its place in the JAX array."""
        view = array[(*self.index, ...)]  # a view even where the index leaves no axis
        if self.axes is not None:
            view = view.transpose(self.axes)
        view[...] = value.reshape(view.shape)

    def prefixed(self, jax: str, torch: str) -> "Link":
        """The same link of a module that stands deeper."""
        return replace(self, jax=jax + self.jax, torch=torch + self.torch)


def linear(jax: str, torch: str) -> list[Link]:
    """Links of a `Linear`."""
    return [
        Link(f"{jax}.kernel", f"{torch}.weight", axes=MATRIX),
        Link(f"{jax}.bias", f"{torch}.bias"),
    ]


def norm(jax: str, torch: str) -> list[Link]:
    """Links of a norm's scale and bias."""
    return [Link(f"{jax}.scale", f"{torch}.weight"), Link(f"{jax}.bias", f"{torch}.bias")]


def head_links(head: HeadConfig, width: int, linear_name: str, attention_name: str) -> list[Link]:
    """Links of a classifier's head; its linear layer, or its attention, have these names."""
    if head.kind == "linear":
        return linear("head.projection", linear_name)
    if head.kind == "attention_pool":
        return attention_pool_head(attention_name)
    return attention_head(attention_name, width)


def attention_pool_head(torch: str) -> list[Link]:
    """Links of an `AttentionPoolHead`."""
    names = {"to_query": "q", "to_key": "k", "to_value": "v", "projection": "proj"}
    return [
        Link("head.query", f"{torch}.query"),
        *(
            Link(f"head.{ours}", f"{torch}.{name}.weight", axes=MATRIX)
            for ours, name in names.items()
        ),
    ]


def attention_head(torch: str, width: int) -> list[Link]:
    """Links of an `AttentionHead`, with the names of V-JEPA's attentive classifier."""
    block = f"{torch}.pooler.cross_attention_block"
    return [
        Link("head.query", f"{torch}.pooler.query_tokens", shape=(1, 1, width)),
        *norm("head.token_norm", f"{block}.norm1"),
        *linear("head.to_query", f"{block}.xattn.q"),
        *linear("head.to_key_value", f"{block}.xattn.kv"),
        *linear("head.to_out", f"{block}.xattn.proj"),
        *norm("head.mlp_norm", f"{block}.norm2"),
        *linear("head.up", f"{block}.mlp.fc1"),
        *linear("head.down", f"{block}.mlp.fc2"),
        *linear("head.projection", f"{torch}.linear"),
    ]
