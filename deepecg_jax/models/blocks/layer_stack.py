"""The parameters of all layers of a transformer, stacked, and the loop over them."""

from collections.abc import Callable
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
from flax import nnx

from deepecg_jax.models.axes import Axes
from deepecg_jax.models.execution import Remat, execution
from deepecg_jax.models.sharding import rows_split

Array = jax.Array
# (x, parameters of one layer, key of one layer or None) -> x
Layer = Callable[[Array, dict[str, Array], Array | None], Array]


class LayerStack(nnx.Module):
    """One stacked array a parameter (first axis: layer), for layers of attention and feed-forward.

    Stacking keeps compile time independent of depth (``jax.lax.scan``), makes sharding rules short,
    and exports by slicing.

    Args:
        layers, width, hidden: number of layers, D, and the width between the two products.
        deviation: standard deviation of the initial kernels, normal around 0 (as in BERT).
        key: of these.
        biases: whether products and norms have any; a layer without has no such parameters.
        out_deviation: of the kernels whose products are added to the tokens; None: the same.
    """

    AXES: ClassVar[dict[str, Axes]] = {
        "qkv_kernel": ("layers", "width", None, "hidden"),
        "qkv_bias": ("layers", None, None),
        "out_kernel": ("layers", "hidden", "width"),
        "out_bias": ("layers", None),
        "attention_norm_scale": ("layers", None),
        "attention_norm_bias": ("layers", None),
        "up_kernel": ("layers", "width", "hidden"),
        "up_bias": ("layers", None),
        "down_kernel": ("layers", "hidden", "width"),
        "down_bias": ("layers", None),
        "ffn_norm_scale": ("layers", None),
        "ffn_norm_bias": ("layers", None),
    }

    def __init__(
        self,
        layers: int,
        width: int,
        hidden: int,
        deviation: float,
        key: Array,
        biases: bool = True,
        out_deviation: float | None = None,
    ):
        keys = jax.random.split(key, 4)
        out_deviation = deviation if out_deviation is None else out_deviation

        def normal(key: Array, deviation: float, *shape: int) -> nnx.Param:
            noise = jax.random.normal(key, (layers, *shape), jnp.float32)
            return nnx.Param(deviation * noise)

        def constant(value: float, *shape: int) -> nnx.Param:
            return nnx.Param(jnp.full((layers, *shape), value, jnp.float32))

        def bias(*shape: int) -> nnx.Param | None:
            return constant(0.0, *shape) if biases else None

        self.qkv_kernel = normal(keys[0], deviation, width, 3, width)
        self.qkv_bias = bias(3, width)
        self.out_kernel = normal(keys[1], out_deviation, width, width)
        self.out_bias = bias(width)
        self.attention_norm_scale = constant(1.0, width)
        self.attention_norm_bias = bias(width)
        self.up_kernel = normal(keys[2], deviation, width, hidden)
        self.up_bias = bias(hidden)
        self.down_kernel = normal(keys[3], out_deviation, hidden, width)
        self.down_bias = bias(width)
        self.ffn_norm_scale = constant(1.0, width)
        self.ffn_norm_bias = bias(width)

    def run(
        self,
        layer: Layer,
        x: Array,
        keys: Array | None,
        remat: Remat | Literal["auto"] = "auto",
        unroll: int = 0,
    ) -> Array:
        """All layers one after another, (B, N, D) -> (B, N, D), rows split over the mesh in each.

        keys: one a layer, or None. remat: what the backward pass computes again: ``none``,
        ``full`` (everything) or ``dots`` (everything but matrix products). unroll: layers an
        iteration of the compiled loop. ``auto`` and 0: what suits the platform.
        """
        suits = execution()
        remat = suits.remat if remat == "auto" else remat
        unroll = unroll or (len(self.up_kernel[...]) if suits.unrolled else 1)
        stacked = {
            name: value[...] for name, value in vars(self).items() if isinstance(value, nnx.Param)
        }

        def body(x: Array, inputs: tuple[dict[str, Array], Array | None]) -> tuple[Array, None]:
            return rows_split(layer(rows_split(x), *inputs)), None

        if remat == "full":
            body = jax.checkpoint(body)
        elif remat == "dots":
            policy = jax.checkpoint_policies.dots_with_no_batch_dims_saveable
            body = jax.checkpoint(body, policy=policy)
        return jax.lax.scan(body, x, (stacked, keys), unroll=unroll)[0]
