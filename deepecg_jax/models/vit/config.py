"""The ViT family: what it can do, and how it is built, counted and named."""

from typing import ClassVar

import jax
from jax.typing import DTypeLike

from deepecg_jax.models.blocks.transformer import attention_ways, transformer_flops
from deepecg_jax.models.blocks.transformer_options import SPEED_FIELDS
from deepecg_jax.models.vit.encoder import ViTEncoder
from deepecg_jax.models.vit.shape import ViTShape


class ViTConfig(ViTShape):
    """Patch transformer. ``size`` fills whatever is not given explicitly; the default is ``xs``."""

    HIDES_TOKENS: ClassVar[bool] = True
    DROPS_TOKENS: ClassVar[bool] = True
    SUMMARISES: ClassVar[bool] = True
    FEATURES_BEFORE_CONTEXT: ClassVar[bool] = True
    SPEED_FIELDS: ClassVar[tuple[str, ...]] = SPEED_FIELDS
    TRAINING_FIELDS: ClassVar[tuple[str, ...]] = (
        "dropout",
        "attention_dropout",
        "activation_dropout",
        *SPEED_FIELDS,
    )

    @property
    def title(self) -> str:
        """Family and named size."""
        return f"ViT, {self.size}"

    @property
    def summary(self) -> str:
        """One clause on the architecture, for a model card."""
        leads = "all leads" if self.patches == "all_leads" else "each lead by itself"
        pattern = ", attention within a lead and a time" if self.attention_pattern != "full" else ""
        return (
            f"patch transformer: {self.layers} pre-LN layers of width {self.width} with "
            f"{self.heads} heads{pattern}, {'with' if self.biases else 'without'} biases, one "
            f"token of {leads} every {self.samples_per_token} samples, and a register"
        )

    @property
    def attention_heads(self) -> int:
        """Heads of an attention head that does not name its own."""
        return self.heads

    def build(self, key: jax.Array) -> ViTEncoder:
        """A freshly initialised encoder."""
        return ViTEncoder(self, key)

    def flops(self, n_samples: int, batch: int = 1) -> dict[str, float]:
        """``stem``, ``attention`` (all pairs, whatever the pattern) and ``feed_forward``; see
        `EncoderConfig.flops`.
        """
        n = self.n_tokens(n_samples)
        channels = self.leads // self.token_groups
        parts = {"stem": 2.0 * n * self.patch_samples * channels * self.width}
        parts |= transformer_flops(self, n + 1)  # the register too
        return {part: batch * count for part, count in parts.items()}

    def ways(self, dtype: DTypeLike) -> str:
        """Which kernel computes attention, and why; see `EncoderConfig.ways`."""
        return attention_ways(self, dtype)

    def unrolled(self) -> "ViTConfig":
        """The same encoder with the loop over its layers written out."""
        return self.model_copy(update={"scan_unroll": self.layers})
