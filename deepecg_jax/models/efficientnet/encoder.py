"""The EfficientNet encoder: ECG signal to token vectors."""

import jax
import jax.numpy as jnp
from flax import nnx

from deepecg_jax.models.blocks.batch_norm import BatchNorm
from deepecg_jax.models.efficientnet.blocks import BLOCKS, NormedConv, leaky_relu
from deepecg_jax.models.efficientnet.shape import EfficientNetShape
from deepecg_jax.models.encoder import Encoder, Features, Tokens, scale_gradient
from deepecg_jax.models.sharding import rows_split

Array = jax.Array
_STEM_TAPS = 3


class EfficientNetEncoder(Encoder):
    """One-dimensional EfficientNet (Tan and Le 2021) of DeepECG-SL.

    The tokens are the normalised features before the mean over time, so a linear head (mean, then
    linear) is the original classifier.
    """

    def __init__(self, config: EfficientNetShape, key: Array):
        keys = jax.random.split(key, 3)
        self.config = config
        self.stem = NormedConv(config, config.leads, config.stem_width, _STEM_TAPS, keys[0])
        blocks, n_in = [], config.stem_width
        for stage in config.stages:
            for i in range(stage.depth):
                block_key = jax.random.fold_in(keys[1], len(blocks))
                stride = stage.stride if i == 0 else 1
                blocks.append(BLOCKS[stage.block](config, stage, n_in, stride, block_key))
                n_in = stage.width
        self.blocks = nnx.List(blocks)
        # the original has this bias although the norm behind it subtracts it again
        self.tail = NormedConv(config, n_in, config.width, 1, keys[2], bias=True)
        # batches each norm has averaged, in the order of the forward pass; nothing here reads it,
        # but PyTorch keeps it (num_batches_tracked)
        n_norms = sum(isinstance(part, BatchNorm) for _, part in nnx.iter_graph(self))
        self.batches = nnx.BatchStat(jnp.zeros((n_norms,), jnp.int32))

    def features(
        self,
        signal: Array,
        *,
        valid_samples: Array | None = None,
        gradient: float = 1.0,
        key: Array | None = None,
    ) -> Features:
        """All of the network, (B, T, L) millivolts -> (B, N, D): its gates and its reach leave no
        half without context.

        valid_samples: not used: convolutions, gates and means see zero padding as signal, as in the
            original, so the padding is no token's.
        key: randomness for stochastic depth; it also normalises by the batch and updates the
            running statistics. None evaluates.
        """
        del valid_samples
        training = key is not None
        scale = self.config.input_scale
        x = signal if scale == 1.0 else (signal.astype(jnp.float32) * scale).astype(signal.dtype)
        x = scale_gradient(leaky_relu(self.stem(x, training)), gradient)
        for i, block in enumerate(self.blocks):
            x = block(rows_split(x), None if key is None else jax.random.fold_in(key, i))
        x = self.tail(x, training)
        if training:
            self.batches.set_value(self.batches[...] + 1)
        return Features(x, jnp.zeros((), jnp.float32), None)

    def context(
        self, features: Features, *, hidden: Array | None = None, key: Array | None = None
    ) -> Tokens:
        """The features as they are; ValueError for hidden tokens."""
        del key
        if hidden is not None:
            raise ValueError("an EfficientNet cannot hide tokens")
        return Tokens(features.values, features.padding)
