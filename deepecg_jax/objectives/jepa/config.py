"""The JEPA objective: which encoders it accepts, its heads, its loss."""

import jax
from flax import nnx
from jax.typing import DTypeLike

from deepecg_jax.errors import UserError
from deepecg_jax.models.encoder import Encoder, EncoderConfig
from deepecg_jax.objectives.hiding import require_hiding, saved_flops
from deepecg_jax.objectives.jepa.heads import JEPAHeads
from deepecg_jax.objectives.jepa.loss import jepa_loss
from deepecg_jax.objectives.jepa.mask import most_times
from deepecg_jax.objectives.jepa.settings import JEPASettings
from deepecg_jax.objectives.objective import Batch, Draw, Metrics, Seen
from deepecg_jax.objectives.token_decoder import decoder_flops

Array = jax.Array


class JEPAObjectiveConfig(JEPASettings):
    """JEPA: predicts the teacher's features of hidden tokens."""

    def check(self, encoder: EncoderConfig) -> None:
        """UserError for an encoder whose context needs all tokens, or a predictor without whole
        heads.

        A causal encoder is accepted: the predictor sees both sides of what is hidden.
        """
        require_hiding(encoder, self.kind, "another objective")
        width, _, heads = self.predictor_shape(encoder)
        if width % heads:
            raise UserError(
                f"objective.predictor_heads={heads} must divide the predictor's width, {width} "
                "(objective.predictor_width; 0: half of model.width)."
            )

    def seen(self, n_samples: int, sampling_rate: float) -> tuple[Seen, ...]:
        """The encoder's pass, and the teacher's."""
        del sampling_rate
        return Seen(1, n_samples), Seen(1, n_samples, trained=False)

    def flops(self, encoder: EncoderConfig, n_samples: int, batch: int) -> dict[str, float]:
        """Products of the predictor, less those of the encoder's tokens that are left out."""
        n_tokens, groups = encoder.n_tokens(n_samples), encoder.token_groups
        parts: dict[str, float] = {}
        given = n_tokens
        if encoder.DROPS_TOKENS:
            given = groups * most_times(n_tokens // groups, self)
            parts |= saved_flops(encoder, n_samples, given, batch)
        one = decoder_flops(
            self.predictor_shape(encoder),
            encoder.width,
            encoder.width,
            given,
            n_tokens,
            groups,
            alone=False,
        )
        return parts | {"predictor": batch * one}

    def heads(self, encoder: EncoderConfig, key: Array) -> JEPAHeads:
        """The predictor."""
        return JEPAHeads(self, encoder, key)

    def loss(
        self,
        encoder: Encoder,
        heads: nnx.Module,
        batch: Batch,
        draw: Draw[Encoder],
        dtype: DTypeLike,
    ) -> tuple[Array, Metrics]:
        """See `jepa_loss`."""
        assert isinstance(heads, JEPAHeads)
        return jepa_loss(encoder, heads, batch, draw, self, dtype)
