"""The WCR encoder with everything that only pretraining needs."""

import jax
from flax import nnx

from deepecg_jax.models.layers import Linear
from deepecg_jax.models.wcr.config import WCRConfig
from deepecg_jax.models.wcr.encoder import WCREncoder
from deepecg_jax.objectives.wcr.quantizer import GumbelQuantizer

Array = jax.Array


class WCRPretrainer(nnx.Module):
    """Encoder, quantizer, the two projections into the contrastive space, and a lead decoder."""

    def __init__(self, config: WCRConfig, key: Array):
        keys = jax.random.split(key, 5)
        self.config = config
        self.encoder = WCREncoder(config, keys[0])
        self.quantizer = GumbelQuantizer(config, keys[1])
        self.project_target = Linear.torch_default(config.code_dim, config.final_dim, keys[2])
        self.project_context = Linear.torch_default(config.width, config.final_dim, keys[3])
        self.lead_decoder = (
            Linear.torch_default(config.width, config.samples_per_token * config.leads, keys[4])
            if config.lead_decoder
            else None
        )
