"""The WCR family: what it can do, and how it is built, counted and named."""

from typing import ClassVar

import jax
from jax.typing import DTypeLike

from deepecg_jax.models.blocks.transformer import attention_ways
from deepecg_jax.models.blocks.transformer_options import SPEED_FIELDS
from deepecg_jax.models.wcr.encoder import WCREncoder
from deepecg_jax.models.wcr.flops import forward_flops
from deepecg_jax.models.wcr.shape import WCRShape


class WCRConfig(WCRShape):
    """WCR encoder. ``size`` fills whatever is not given explicitly; the defaults are ``base``."""

    HIDES_TOKENS: ClassVar[bool] = True
    FEATURES_BEFORE_CONTEXT: ClassVar[bool] = True
    STEM: ClassVar[tuple[str, ...]] = ("stem", "features_norm")
    SPEED_FIELDS: ClassVar[tuple[str, ...]] = SPEED_FIELDS
    TRAINING_FIELDS: ClassVar[tuple[str, ...]] = (
        "dropout",
        "attention_dropout",
        "activation_dropout",
        "dropout_input",
        *SPEED_FIELDS,
    )
    # they are the objective's
    OLDER_FIELDS: ClassVar[tuple[str, ...]] = (
        "codebook_groups",
        "codewords",
        "latent_dim",
        "final_dim",
        "lead_decoder",
        "dropout_features",
    )

    @property
    def title(self) -> str:
        """Family and named size."""
        return f"WCR, {self.size}"

    @property
    def summary(self) -> str:
        """One clause on the architecture, for a model card."""
        norm = "pre-LN" if self.layer_norm_first else "post-LN"
        stem = " ".join(
            f"{layer.width}x{layer.kernel}/{layer.stride}" for layer in self.conv_layers
        )
        return (
            f"wav2vec 2.0-style encoder: {self.layers} {norm} transformer layers of width "
            f"{self.width} with {self.heads} heads, stem {stem} (width x kernel / stride), one "
            f"token every {self.samples_per_token} samples"
        )

    @property
    def attention_heads(self) -> int:
        """Heads of an attention head that does not name its own."""
        return self.heads

    def build(self, key: jax.Array) -> WCREncoder:
        """A freshly initialised encoder."""
        return WCREncoder(self, key)

    def flops(self, n_samples: int, batch: int = 1) -> dict[str, float]:
        """See `forward_flops`."""
        return forward_flops(self, n_samples, batch)

    def ways(self, dtype: DTypeLike) -> str:
        """Which kernel computes attention, and why; see `EncoderConfig.ways`."""
        return attention_ways(self, dtype)

    def unrolled(self) -> "WCRConfig":
        """The same encoder with the loop over its layers written out."""
        return self.model_copy(update={"scan_unroll": self.layers})
