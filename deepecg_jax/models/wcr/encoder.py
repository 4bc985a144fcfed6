"""The WCR encoder: ECG signal to token vectors."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from deepecg_jax.models.encoder import Encoder, scale_gradient
from deepecg_jax.models.layers import Linear, Norm, dropout
from deepecg_jax.models.wcr.config import WCRConfig
from deepecg_jax.models.wcr.positional import PositionalConv
from deepecg_jax.models.wcr.stem import ConvStem
from deepecg_jax.models.wcr.transformer import Transformer

Array = jax.Array


class EncoderOutput(NamedTuple):
    """What the objectives need of one pass."""

    tokens: Array  # (B, N, D)
    features: Array  # (B, N, C) normalised, unmasked stem features: what is quantized
    features_penalty: Array  # scalar, mean square of the stem features before normalisation
    padding: Array | None  # (B, N) bool, true where a token is padding


class WCREncoder(Encoder):
    """Conv stem, convolutional position and transformer (wav2vec 2.0, Baevski et al. 2020)."""

    def __init__(self, config: WCRConfig, key: Array):
        keys = jax.random.split(key, 5)
        features = config.conv_layers[-1].width
        self.config = config
        self.stem = ConvStem(config, keys[0])
        self.features_norm = Norm(features)
        self.projection = (
            Linear.torch_default(features, config.width, keys[1])
            if features != config.width
            else None
        )
        self.mask_embedding = nnx.Param(jax.random.uniform(keys[2], (config.width,)))
        self.positional = PositionalConv(
            config.width, config.positional_kernel, config.positional_groups, keys[3]
        )
        self.transformer = Transformer(config, keys[4])

    def __call__(
        self,
        signal: Array,
        *,
        masked: Array | None = None,
        valid_samples: Array | None = None,
        feature_gradient: float = 1.0,
        key: Array | None = None,
    ) -> EncoderOutput:
        """Encode a batch.

        signal: (B, T, L) millivolts; masked leads are zero.
        masked: (B, N) bool, tokens to be replaced by the mask embedding, or None.
        valid_samples: (B,) int, samples before zero padding begins, or None if none is padded.
        feature_gradient: factor on the gradient that reaches the stem (0.1 in the published
            pretraining; it also scales the gradient of the feature penalty, as there).
        key: randomness for dropout; None evaluates.
        """
        config = self.config
        stem_features = scale_gradient(self.stem(signal), feature_gradient)
        penalty = jnp.mean(jnp.square(stem_features.astype(jnp.float32)))
        features = self.features_norm(stem_features)
        x = features if self.projection is None else self.projection(features)
        keys: list[Array | None] = [None] * 3
        if key is not None:
            keys = list(jax.random.split(key, 3))
        x = dropout(x, config.dropout_input, keys[0])
        features = dropout(features, config.dropout_features, keys[1])
        if masked is not None:
            x = jnp.where(masked[..., None], self.mask_embedding[...].astype(x.dtype), x)
        padding = None
        if valid_samples is not None:
            # at least one: a row without any token would be NaN
            valid_tokens = jnp.maximum(config.n_tokens(valid_samples), 1)
            padding = jnp.arange(x.shape[1])[None, :] >= valid_tokens[:, None]
        x = x + self.positional(x)
        tokens = self.transformer(x, padding, keys[2])
        return EncoderOutput(tokens, features, penalty, padding)
