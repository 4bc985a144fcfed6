"""What WCR trains beside the encoder."""

import jax
from flax import nnx

from deepecg_jax.models.blocks.layers import Linear
from deepecg_jax.models.encoder import EncoderConfig
from deepecg_jax.objectives.objective import head_keys
from deepecg_jax.objectives.wcr.quantizer import GumbelQuantizer
from deepecg_jax.objectives.wcr.settings import WCRSettings

Array = jax.Array


class WCRHeads(nnx.Module):
    """Quantizer, the two projections into the contrastive space, and a lead decoder.

    key: of the whole pretrainer (`head_keys`).
    """

    def __init__(self, settings: WCRSettings, encoder: EncoderConfig, key: Array):
        keys = head_keys(key, 4)
        self.quantizer = GumbelQuantizer(
            encoder.feature_width,
            settings.codebook_groups,
            settings.codewords,
            settings.code_dim,
            keys[0],
        )
        self.project_target = Linear.torch_default(settings.code_dim, settings.final_dim, keys[1])
        self.project_context = Linear.torch_default(encoder.width, settings.final_dim, keys[2])
        samples = encoder.samples_per_token * encoder.leads
        self.lead_decoder = (
            Linear.torch_default(encoder.width, samples, keys[3]) if settings.lead_decoder else None
        )
