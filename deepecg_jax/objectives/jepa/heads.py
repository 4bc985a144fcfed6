"""What JEPA trains beside the encoder."""

import jax
from flax import nnx

from deepecg_jax.models.encoder import EncoderConfig
from deepecg_jax.objectives.jepa.settings import JEPASettings
from deepecg_jax.objectives.objective import head_keys
from deepecg_jax.objectives.token_decoder import TokenDecoder

Array = jax.Array


class JEPAHeads(nnx.Module):
    """The predictor, from the encoder's visible tokens to the teacher's at every place.

    key: of the whole pretrainer (`head_keys`).
    """

    def __init__(self, settings: JEPASettings, encoder: EncoderConfig, key: Array):
        self.predictor = TokenDecoder(
            encoder.width,
            encoder.width,
            settings.predictor_shape(encoder),
            encoder.token_groups,
            head_keys(key, 1)[0],
            alone=False,
            drops=encoder.DROPS_TOKENS,
        )
        self.drops, self.groups = encoder.DROPS_TOKENS, encoder.token_groups
