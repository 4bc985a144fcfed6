"""The EfficientNet family: what it can do, and how it is built and named."""

from typing import ClassVar

import jax

from deepecg_jax.models.blocks.batch_norm import check_groups
from deepecg_jax.models.efficientnet.encoder import EfficientNetEncoder
from deepecg_jax.models.efficientnet.shape import EfficientNetShape


class EfficientNetConfig(EfficientNetShape):
    """1-D EfficientNet. ``variant`` fills whatever of the shape is not given explicitly."""

    TRAINING_FIELDS: ClassVar[tuple[str, ...]] = (
        "stochastic_depth",
        "norm_momentum",
        "norm_groups",
    )

    @property
    def title(self) -> str:
        """Family and named shape."""
        return f"EfficientNet, {self.variant}"

    @property
    def summary(self) -> str:
        """One clause on the architecture, for a model card."""
        blocks = sum(stage.depth for stage in self.stages)
        return (
            f"one-dimensional EfficientNet of {blocks} blocks with {self.width} channels at the "
            f"end, one token every {self.samples_per_token} samples; it multiplies millivolts by "
            f"{self.input_scale:g}"
        )

    def build(self, key: jax.Array) -> EfficientNetEncoder:
        """A freshly initialised encoder."""
        return EfficientNetEncoder(self, key)

    def check_batch(self, size: int) -> None:
        """ValueError if the groups of the norms do not divide a batch."""
        check_groups(self.norm_groups, size)
