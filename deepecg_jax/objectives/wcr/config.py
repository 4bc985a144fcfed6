"""The WCR objective: which encoders it accepts, its heads, its loss."""

import jax
from flax import nnx
from jax.typing import DTypeLike

from deepecg_jax.errors import UserError
from deepecg_jax.models.encoder import Encoder, EncoderConfig
from deepecg_jax.models.families import FAMILIES
from deepecg_jax.objectives.masking.spans import masked_token_count
from deepecg_jax.objectives.objective import Batch, Draw, Metrics, Seen
from deepecg_jax.objectives.wcr.heads import WCRHeads
from deepecg_jax.objectives.wcr.loss import wcr_loss
from deepecg_jax.objectives.wcr.settings import WCRSettings

Array = jax.Array
SEGMENTS = 2  # of an ECG


class WCRObjectiveConfig(WCRSettings):
    """WCR: wav2vec 2.0 contrastive loss + CMSC + random lead masking (+ lead reconstruction)."""

    def check(self, encoder: EncoderConfig) -> None:
        """UserError for an encoder whose context cannot hide tokens, or whose tokens are not of all
        leads.
        """
        if not (encoder.HIDES_TOKENS and encoder.FEATURES_BEFORE_CONTEXT):
            able = [k for k, c in FAMILIES.items() if c.HIDES_TOKENS and c.FEATURES_BEFORE_CONTEXT]
            raise UserError(
                "objective.kind=wcr hides tokens between the features and the context of an "
                f"encoder, which model.kind={encoder.kind} cannot do; choose model.kind="
                f"{' or '.join(able)}, or another objective."
            )
        if encoder.token_groups > 1:
            raise UserError(
                "objective.kind=wcr hides spans of time in all leads together, but "
                f"model.kind={encoder.kind} is configured to {encoder.token_groups} tokens for "
                "each time, of some leads each; choose an encoder whose tokens are of all leads, "
                "or another objective."
            )

    def seen(self, n_samples: int, sampling_rate: float) -> tuple[Seen, ...]:
        """Two segments of each ECG."""
        del sampling_rate
        return (Seen(SEGMENTS, n_samples // SEGMENTS),)

    def flops(self, encoder: EncoderConfig, n_samples: int, batch: int) -> dict[str, float]:
        """Products of quantizer, projections, InfoNCE, CMSC and lead decoder.

        The codewords are looked up, which is no product; that their gradient is computed as one is
        left out.
        """
        rows, n_tokens = SEGMENTS * batch, encoder.n_tokens(n_samples // SEGMENTS)
        masked = rows * masked_token_count(n_tokens, self.mask_share)
        words, code, final = self.codebook_groups * self.codewords, self.code_dim, self.final_dim
        parts = {
            "quantizer": 2.0 * masked * encoder.feature_width * words,
            "projections": 2.0 * masked * (code + encoder.width) * final,
            "contrastive": 2.0 * masked * (masked // rows) * final,
            "cmsc": 2.0 * batch * batch * encoder.width,
        }
        if self.reconstruction_weight:
            signal = encoder.samples_per_token * encoder.leads
            parts["lead_decoder"] = 2.0 * rows * n_tokens * encoder.width * signal
        return parts

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
