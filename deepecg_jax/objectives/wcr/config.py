"""The WCR objective: which encoders it accepts, its heads, its loss."""

import jax
from flax import nnx
from jax.typing import DTypeLike

from deepecg_jax.errors import UserError
from deepecg_jax.models.encoder import Encoder, EncoderConfig
from deepecg_jax.models.families import FAMILIES
from deepecg_jax.objectives.objective import Batch, Draw, Metrics
from deepecg_jax.objectives.wcr.heads import WCRHeads
from deepecg_jax.objectives.wcr.loss import wcr_loss
from deepecg_jax.objectives.wcr.settings import WCRSettings

Array = jax.Array


class WCRObjectiveConfig(WCRSettings):
    """WCR: wav2vec 2.0 contrastive loss + CMSC + random lead masking (+ lead reconstruction)."""

    def check(self, encoder: EncoderConfig) -> None:
        """UserError for an encoder whose context cannot hide tokens."""
        if not (encoder.HIDES_TOKENS and encoder.FEATURES_BEFORE_CONTEXT):
            able = [k for k, c in FAMILIES.items() if c.HIDES_TOKENS and c.FEATURES_BEFORE_CONTEXT]
            raise UserError(
                "objective.kind=wcr hides tokens between the features and the context of an "
                f"encoder, which model.kind={encoder.kind} cannot do; choose model.kind="
                f"{' or '.join(able)}, or another objective."
            )

    def heads(self, encoder: EncoderConfig, key: Array) -> WCRHeads:
        """Quantizer, two projections, and a decoder if ``lead_decoder``."""
        return WCRHeads(self, encoder, key)

    def loss(
        self,
        encoder: Encoder,
        heads: nnx.Module,
        batch: Batch,
        draw: Draw[Encoder],
        dtype: DTypeLike,
    ) -> tuple[Array, Metrics]:
        """See `wcr_loss`."""
        assert isinstance(heads, WCRHeads)
        return wcr_loss(encoder, heads, batch, draw, self, dtype)
