"""The convolutional encoder: ECG signal to token vectors."""

import jax
import jax.numpy as jnp
from flax import nnx

from deepecg_jax.models.blocks.batch_norm import BatchNorm
from deepecg_jax.models.encoder import Encoder, Features, Tokens, scale_gradient
from deepecg_jax.models.net1d.basic import BasicBlock
from deepecg_jax.models.net1d.bottleneck import BottleneckBlock
from deepecg_jax.models.net1d.convolution import Convolution
from deepecg_jax.models.net1d.parts import ACTIVATIONS, norm_of, normed
from deepecg_jax.models.net1d.shape import Net1DShape
from deepecg_jax.models.sharding import rows_split

Array = jax.Array


class Stem(nnx.Module):
    """Convolution, norm, activation: (B, T, L) -> (B, T', O)."""

    def __init__(self, config: Net1DShape, key: Array):
        self.convolution = Convolution(
            config.leads,
            config.stem_width,
            config.stem_kernel,
            key,
            stride=config.stem_stride,
            bias=not config.batch_norm,
        )
        self.norm = norm_of(config, config.stem_width)
        self.activation = ACTIVATIONS[config.activation]

    def __call__(self, x: Array, training: bool) -> Array:
        """In the dtype of ``x``."""
        return self.activation(normed(self.norm, self.convolution(x), training))


class Net1DEncoder(Encoder):
    """A stem and stages of residual blocks.

    The tokens are the last block's outputs, so a linear head (mean, then linear) makes the whole
    the classifier of the originals.
    """

    def __init__(self, config: Net1DShape, key: Array):
        stem_key, blocks_key = jax.random.split(key)
        self.config = config
        self.stem = Stem(config, stem_key)
        blocks: list[BasicBlock | BottleneckBlock] = []
        n_in = config.stem_width
        for stage in config.stages:
            for i in range(stage.depth):
                block_key = jax.random.fold_in(blocks_key, len(blocks))
                stride = stage.stride if i == 0 else 1
                if stage.block == "basic":
                    blocks.append(BasicBlock(config, stage, n_in, stride, block_key))
                else:
                    first = not blocks
                    blocks.append(BottleneckBlock(config, stage, n_in, stride, block_key, first))
                n_in = stage.width
        self.blocks = nnx.List(blocks)
        # batches each norm has averaged, in the order of the module; nothing here reads it, but
        # PyTorch keeps it (num_batches_tracked)
        n_norms = sum(isinstance(part, BatchNorm) for _, part in nnx.iter_graph(self))
        self.batches = nnx.BatchStat(jnp.zeros((n_norms,), jnp.int32)) if n_norms else None

    def features(
        self,
        signal: Array,
        *,
        valid_samples: Array | None = None,
        gradient: float = 1.0,
        key: Array | None = None,
    ) -> Features:
        """All of the network, (B, T, L) millivolts -> (B, N, D): the reach of its convolutions
        leaves no half without context.

        valid_samples: not used: convolutions, gates and means see zero padding as signal, as in the
            originals, so the padding is no token's.
        key: randomness for dropout; it also normalises by the batch and updates the running
            statistics. None evaluates.
        """
        del valid_samples
        training = key is not None
        scale = self.config.input_scale
        x = signal if scale == 1.0 else (signal.astype(jnp.float32) * scale).astype(signal.dtype)
        x = scale_gradient(self.stem(x, training), gradient)
        for i, block in enumerate(self.blocks):
            x = block(rows_split(x), None if key is None else jax.random.fold_in(key, i))
        if training and self.batches is not None:
            self.batches.set_value(self.batches[...] + 1)
        return Features(x, jnp.zeros((), jnp.float32), None)

    def context(
        self, features: Features, *, hidden: Array | None = None, key: Array | None = None
    ) -> Tokens:
        """The features as they are; ValueError for hidden tokens."""
        del key
        if hidden is not None:
            raise ValueError("a convolutional network cannot hide tokens")
        return Tokens(features.values, features.padding)
