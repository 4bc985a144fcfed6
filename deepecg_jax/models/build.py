"""From the configuration of an encoder to the encoder."""

import jax

from deepecg_jax.models.efficientnet.config import EfficientNetConfig
from deepecg_jax.models.efficientnet.encoder import EfficientNetEncoder
from deepecg_jax.models.encoder import Encoder
from deepecg_jax.models.model_config import ModelConfig
from deepecg_jax.models.wcr.config import WCRConfig
from deepecg_jax.models.wcr.encoder import WCREncoder


def build_encoder(config: ModelConfig, key: jax.Array) -> Encoder:
    """A freshly initialised encoder of the family that ``config`` belongs to."""
    match config:
        case WCRConfig():
            return WCREncoder(config, key)
        case EfficientNetConfig():
            return EfficientNetEncoder(config, key)
