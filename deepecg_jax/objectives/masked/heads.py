"""What masked autoencoding trains beside the encoder."""

import jax
from flax import nnx

from deepecg_jax.models.blocks.layers import Linear
from deepecg_jax.models.encoder import EncoderConfig
from deepecg_jax.objectives.masked.settings import MaskedSettings
from deepecg_jax.objectives.objective import head_keys
from deepecg_jax.objectives.token_decoder import TokenDecoder

Array = jax.Array


class MaskedHeads(nnx.Module):
    """The decoder, from the encoder's tokens to the samples of every token.

    key: of the whole pretrainer (`head_keys`).
    """

    def __init__(self, settings: MaskedSettings, encoder: EncoderConfig, key: Array):
        (own,) = head_keys(key, 1)
        values = settings.values_per_token(encoder)
        self.decoder: TokenDecoder | Linear
        if settings.decoder_layers:
            self.decoder = TokenDecoder(
                encoder.width,
                values,
                settings.decoder_shape(encoder),
                encoder.token_groups,
                own,
                alone=True,
                drops=settings.drops(encoder),
            )
        else:
            self.decoder = Linear.torch_default(encoder.width, values, own)
        self.hides, self.drops = settings.hides_tokens(encoder), settings.drops(encoder)
        self.groups, self.samples = encoder.token_groups, encoder.samples_per_token

    def decoded(self, tokens: Array, hidden: Array, padding: Array | None) -> Array:
        """The encoder's tokens -> samples of all of them, (B, N, S * leads of a token)."""
        if isinstance(self.decoder, Linear):
            return self.decoder(tokens)
        return self.decoder(tokens, hidden, padding)
