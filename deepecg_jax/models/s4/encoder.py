"""The S4 encoder: ECG signal to token vectors."""

import jax
import jax.numpy as jnp
from flax import nnx

from deepecg_jax.models.encoder import Encoder, Features, Tokens, scale_gradient
from deepecg_jax.models.products import linear
from deepecg_jax.models.s4.layer import S4Layer
from deepecg_jax.models.s4.shape import S4Shape
from deepecg_jax.models.s4.stem import ConvStem
from deepecg_jax.models.sharding import rows_split

Array = jax.Array


class S4Encoder(Encoder):
    """Conv stem and S4 layers: the encoder of ECG-CPC (Al-Masud et al. 2025)."""

    def __init__(self, config: S4Shape, key: Array):
        stem_key, mask_key, layers_key = jax.random.split(key, 3)
        self.config = config
        self.stem = ConvStem(config, stem_key)
        self.mask_embedding = nnx.Param(jax.random.normal(mask_key, (config.width,)))
        keys = jax.random.split(layers_key, config.layers)
        self.layers = nnx.List([S4Layer(config, key) for key in keys])

    def features(
        self,
        signal: Array,
        *,
        valid_samples: Array | None = None,
        gradient: float = 1.0,
        key: Array | None = None,
    ) -> Features:
        """The stem's features after its last ReLU, (B, T, L) millivolts -> (B, N, D).

        key: only whether there is one matters: with a key the stem normalises by the batch, padding
            included, and updates the running statistics. Nothing is random.
        The penalty is 0.
        """
        values = scale_gradient(self.stem(signal, key is not None, valid_samples), gradient)
        padding = None
        if valid_samples is not None:
            # at least one: a row without any token would be NaN
            valid_tokens = jnp.maximum(self.config.n_tokens(valid_samples), 1)
            padding = jnp.arange(values.shape[1])[None, :] >= valid_tokens[:, None]
        return Features(values, jnp.zeros((), jnp.float32), padding)

    def context(
        self, features: Features, *, hidden: Array | None = None, key: Array | None = None
    ) -> Tokens:
        """The tokens of the last S4 layer, (B, N, D) -> (B, N, D).

        hidden: (B, N) bool, tokens to be replaced by the mask embedding, or None.
        key: randomness for dropout; None evaluates.
        """
        x = features.values
        if hidden is not None:
            # as a product, so that its gradient is summed as those of other parameters are
            chosen = hidden[..., None].astype(x.dtype)
            embedded = linear(chosen, self.mask_embedding[...][None])
            x = jnp.where(hidden[..., None], embedded, x)
        for i, layer in enumerate(self.layers):
            own = None if key is None else jax.random.fold_in(key, i)
            x = rows_split(layer(rows_split(x), features.padding, own))
        return Tokens(x, features.padding)
