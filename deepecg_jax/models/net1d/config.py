"""The net1d family: what it can do, and how it is built, counted and named."""

from typing import ClassVar

import jax

from deepecg_jax.models.blocks.batch_norm import check_groups
from deepecg_jax.models.net1d.encoder import Net1DEncoder
from deepecg_jax.models.net1d.flops import forward_flops
from deepecg_jax.models.net1d.shape import Net1DShape


class Net1DConfig(Net1DShape):
    """1-D convolutional network. ``size`` fills whatever of the shape is not given explicitly."""

    TRAINING_FIELDS: ClassVar[tuple[str, ...]] = ("dropout", "norm_momentum", "norm_groups")

    @property
    def title(self) -> str:
        """Family and named size."""
        return f"Net1D, {self.size}"

    @property
    def summary(self) -> str:
        """One clause on the architecture, for a model card."""
        counts: dict[str, int] = {}
        for stage in self.stages:
            counts[stage.block] = counts.get(stage.block, 0) + stage.depth
        blocks = " and ".join(f"{count} {block}" for block, count in counts.items())
        norm = "batch normalisation" if self.batch_norm else "no normalisation"
        return (
            f"one-dimensional residual network of {blocks} blocks with {norm}, {self.activation} "
            f"and {self.width} channels at the end, one token every {self.samples_per_token} "
            f"samples; it multiplies millivolts by {self.input_scale:g}"
        )

    def build(self, key: jax.Array) -> Net1DEncoder:
        """A freshly initialised encoder."""
        return Net1DEncoder(self, key)

    def flops(self, n_samples: int, batch: int = 1) -> dict[str, float]:
        """See `forward_flops`."""
        return forward_flops(self, n_samples, batch)

    def check_batch(self, size: int) -> None:
        """ValueError if the groups of the norms do not divide a batch."""
        check_groups(self.norm_groups, size)
