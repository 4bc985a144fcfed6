"""Masked autoencoding: which encoders it accepts, its heads, its loss."""

import jax
from flax import nnx
from jax.typing import DTypeLike

from deepecg_jax.errors import UserError
from deepecg_jax.models.encoder import Encoder, EncoderConfig
from deepecg_jax.objectives.hiding import require_hiding, saved_flops
from deepecg_jax.objectives.masked.heads import MaskedHeads
from deepecg_jax.objectives.masked.loss import masked_loss
from deepecg_jax.objectives.masked.mask import shown_count
from deepecg_jax.objectives.masked.settings import LEAST_PATCH, MaskedSettings
from deepecg_jax.objectives.objective import Batch, Draw, Metrics
from deepecg_jax.objectives.token_decoder import decoder_flops

Array = jax.Array


class MaskedObjectiveConfig(MaskedSettings):
    """Masked autoencoding: reconstructs the signal of hidden times, leads or patches."""

    def check(self, encoder: EncoderConfig) -> None:
        """UserError if such an encoder cannot do without what is to be hidden, or if the decoder
        does not fit it.
        """
        kind = f"model.kind={encoder.kind}"
        if self.hides_times:
            require_hiding(encoder, self.kind, "objective.hide=leads, which every encoder can do")
        if self.hide == "tokens" and encoder.token_groups == 1:
            raise UserError(
                f"objective.hide=tokens hides other times of each lead, but a token of {kind} is "
                "of all leads; choose objective.hide=time."
            )
        if self.hides_leads and max(encoder.leads, encoder.token_groups) < 2:
            raise UserError(
                f"objective.hide={self.hide} hides leads of several, but model.leads="
                f"{encoder.leads}; choose objective.hide=time."
            )
        if self.target == "patch" and encoder.samples_per_token < LEAST_PATCH:
            raise UserError(
                f"objective.target=patch normalises what a token has of a lead, but {kind} has "
                f"tokens of {encoder.samples_per_token} samples; choose objective.target=lead or "
                "millivolts."
            )
        nothing_there = self.hides_tokens(encoder) and not encoder.HIDES_TOKENS
        if nothing_there and not self.decoder_layers:
            raise UserError(
                f"objective.decoder_layers=0 decodes the tokens of the encoder, but {kind} makes "
                "none of what is hidden; choose 1 or more."
            )
        width, layers, heads = self.decoder_shape(encoder)
        if layers and width % heads:
            raise UserError(
                f"objective.decoder_heads={heads} must divide the decoder's width, {width} "
                "(objective.decoder_width; 0: half of model.width)."
            )

    def flops(self, encoder: EncoderConfig, n_samples: int, batch: int) -> dict[str, float]:
        """Products of the decoder, less those of tokens that the encoder is spared."""
        n_tokens, groups = encoder.n_tokens(n_samples), encoder.token_groups
        parts: dict[str, float] = {}
        given = n_tokens
        if self.drops(encoder):
            given = shown_count(n_tokens // groups, groups, self)
            parts |= saved_flops(encoder, n_samples, given, batch)
        values = self.values_per_token(encoder)
        if self.decoder_layers:
            shape = self.decoder_shape(encoder)
            one = decoder_flops(shape, encoder.width, values, given, n_tokens, groups, alone=True)
        else:
            one = 2.0 * n_tokens * encoder.width * values
        return {**parts, "decoder": batch * one}

    def heads(self, encoder: EncoderConfig, key: Array) -> MaskedHeads:
        """The decoder."""
        return MaskedHeads(self, encoder, key)

    def loss(
        self,
        encoder: Encoder,
        heads: nnx.Module,
        batch: Batch,
        draw: Draw[Encoder],
        dtype: DTypeLike,
    ) -> tuple[Array, Metrics]:
        """See `masked_loss`."""
        assert isinstance(heads, MaskedHeads)
        return masked_loss(encoder, heads, batch, draw, self, dtype)
