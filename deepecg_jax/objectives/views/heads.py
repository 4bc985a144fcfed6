"""What is trained beside the encoder to compare views."""

from collections.abc import Sequence

import jax
from flax import nnx

from deepecg_jax.models.layers import Linear, Norm

Array = jax.Array


class Projection(nnx.Module):
    """A multilayer perceptron with layer normalisation and ReLU behind all layers but the last.

    The papers have batch normalisation there. Layer normalisation gives an evaluated teacher the
    same function as its student, whatever the batch; BYOL learns without statistics of a batch
    (Richemond et al. 2020).

    Args:
        n_in: width of what is projected.
        widths: of the layers; none for the identity.
        key: initial weights.
    """

    def __init__(self, n_in: int, widths: Sequence[int], key: Array):
        inputs = [n_in, *widths][: len(widths)]
        keys = jax.random.split(key, max(len(widths), 1))
        self.layers = nnx.List(
            [Linear.torch_default(*sizes) for sizes in zip(inputs, widths, keys, strict=False)]
        )
        self.norms = nnx.List([Norm(width) for width in widths[:-1]])

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
