"""The WCR encoder: ECG signal to token vectors."""

import jax
import jax.numpy as jnp
from flax import nnx

from deepecg_jax.models.blocks.dropout import dropout
from deepecg_jax.models.blocks.layers import Linear, Norm, with_hidden
from deepecg_jax.models.blocks.transformer import Transformer
from deepecg_jax.models.encoder import Encoder, Features, Tokens, scale_gradient
from deepecg_jax.models.wcr.positional import PositionalConv
from deepecg_jax.models.wcr.shape import WCRShape
from deepecg_jax.models.wcr.stem import ConvStem

Array = jax.Array


class WCREncoder(Encoder):
    """Conv stem, convolutional position and transformer (wav2vec 2.0, Baevski et al. 2020)."""

    def __init__(self, config: WCRShape, key: Array):
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

    def features(
        self,
        signal: Array,
        *,
        valid_samples: Array | None = None,
        gradient: float = 1.0,
        key: Array | None = None,
    ) -> Features:
        """The stem's features, normalised, (B, T, L) -> (B, N, C).

        gradient: factor on the gradient that reaches the stem (0.1 in the published pretraining;
            it also scales the gradient of the penalty, as there).
        The penalty is the mean square of the features before normalisation. Nothing is random.
        """
        del key
        stem_features = scale_gradient(self.stem(signal), gradient)
        penalty = jnp.mean(jnp.square(stem_features.astype(jnp.float32)))
        padding = None
        if valid_samples is not None:
            # at least one: a row without any token would be NaN
            valid_tokens = jnp.maximum(self.config.n_tokens(valid_samples), 1)
            padding = jnp.arange(stem_features.shape[1])[None, :] >= valid_tokens[:, None]
        return Features(self.features_norm(stem_features), penalty, padding)

    def context(
        self, features: Features, *, hidden: Array | None = None, key: Array | None = None
    ) -> Tokens:
        """The transformer's tokens, (B, N, C) -> (B, N, D).

        hidden: (B, N) bool, tokens to be replaced by the mask embedding, or None.
        key: randomness for dropout; None evaluates.
        """
        values = features.values
        x = values if self.projection is None else self.projection(values)
        keys: list[Array | None] = [None] * 3
        if key is not None:
            # the second part was the encoder's when it also dropped features to be quantized
            keys = list(jax.random.split(key, 3))
        x = dropout(x, self.config.dropout_input, keys[0])
        x = with_hidden(x, hidden, self.mask_embedding[...])
        x = x + self.positional(x)
        tokens = self.transformer(x, features.padding, keys[2])
        return Tokens(tokens, features.padding)
