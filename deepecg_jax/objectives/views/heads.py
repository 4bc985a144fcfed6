"""What is trained beside the encoder to compare views."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from deepecg_jax.models.blocks.batch_norm import normalise
from deepecg_jax.models.blocks.layers import Linear

Array = jax.Array


class StandardisedBatch(nnx.Module):
    """Batch normalisation that keeps no running statistics, since a head is never evaluated.

    The teacher's too takes the statistics of the batch, as BYOL's. With rows spread over devices
    they are those of all rows.
    """

    def __init__(self, width: int):
        self.scale = nnx.Param(jnp.ones((width,), jnp.float32))
        self.bias = nnx.Param(jnp.zeros((width,), jnp.float32))

    def __call__(self, x: Array) -> Array:
        """(B, D) -> (B, D)."""
        normed = normalise(x[None, :, None], self.scale[...], self.bias[...])[0]
        return normed[0, :, 0]


class Projection(nnx.Module):
    """A multilayer perceptron with batch normalisation and ReLU behind all layers but the last, as
    BYOL and SimCLR have it.

    Args:
        n_in: width of what is projected.
        widths: of the layers; none for the identity.
        key: initial weights.
    """

    def __init__(self, n_in: int, widths: Sequence[int], key: Array):
        sizes = [n_in, *widths]
        self.layers = nnx.List(
            [
                Linear.torch_default(sizes[place], width, jax.random.fold_in(key, place))
                for place, width in enumerate(widths)
            ]
        )
        self.norms = nnx.List([StandardisedBatch(width) for width in widths[:-1]])

    def __call__(self, x: Array) -> Array:
        """(B, n_in) -> (B, last width)."""
        for place, layer in enumerate(self.layers):
            x = layer(x)
            if place < len(self.norms):
                x = jax.nn.relu(self.norms[place](x))
        return x


class ViewsHeads(nnx.Module):
    """The projection of both views and, for BYOL, the predictor of the student's."""

    def __init__(self, projector: Projection, predictor: Projection | None):
        self.projector = projector
        self.predictor = predictor
