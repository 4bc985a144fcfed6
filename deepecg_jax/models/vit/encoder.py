"""The patch transformer: ECG signal to token vectors."""

import math
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from deepecg_jax.models.axes import Axes
from deepecg_jax.models.blocks.layers import with_hidden
from deepecg_jax.models.blocks.positions import sine_cosine
from deepecg_jax.models.blocks.transformer import Transformer
from deepecg_jax.models.encoder import Encoder, Features, Tokens, scale_gradient
from deepecg_jax.models.products import shifted
from deepecg_jax.models.sharding import rows_split
from deepecg_jax.models.vit.positions import crossing
from deepecg_jax.models.vit.shape import NORM_EPSILON, ViTShape
from deepecg_jax.models.vit.stem import PatchStem

Array = jax.Array
_DEVIATION = 0.02  # PyTorch's trunc_normal_ cuts at 2, a hundred deviations: a normal one


class ViTEncoder(Encoder):
    """Patches and a pre-norm transformer with a register (Weimann and Conrad 2024).

    The features are the patches' vectors without positions, so an objective may replace them; the
    context adds where each one stands.
    """

    AXES: ClassVar[dict[str, Axes]] = {"lead_embedding": (None, None)}

    def __init__(self, config: ViTShape, key: Array):
        keys = jax.random.split(key, 5)

        def normal(key: Array, *shape: int) -> nnx.Param:
            return nnx.Param(_DEVIATION * jax.random.normal(key, shape))

        self.config = config
        self.stem = PatchStem(config, _DEVIATION, keys[0])
        self.mask_embedding = normal(keys[1], config.width)
        self.register_token = normal(keys[2], config.width)
        per_lead = config.patches == "per_lead"
        self.lead_embedding = normal(keys[3], config.leads, config.width) if per_lead else None
        self.transformer = Transformer(
            config,
            keys[4],
            biases=config.biases,
            epsilon=NORM_EPSILON,
            out_deviation=_DEVIATION / math.sqrt(2 * config.layers),
        )

    def features(
        self,
        signal: Array,
        *,
        valid_samples: Array | None = None,
        gradient: float = 1.0,
        key: Array | None = None,
    ) -> Features:
        """The vectors of the patches, (B, T, L) -> (B, N, D); see `PatchStem` for their order.

        valid_samples: a token is padding if its patch starts there or later; the first never is.
        gradient: factor on the gradient that reaches the stem.
        A patch of a missing lead is a token like others. Nothing is random.
        """
        del key
        values = rows_split(scale_gradient(self.stem(signal), gradient))
        padding = None
        if valid_samples is not None:
            groups = self.config.token_groups
            starts = jnp.arange(values.shape[1] // groups) * self.config.patch_samples
            # at least one: a row without any token would be NaN
            late = starts[None, :] >= jnp.maximum(valid_samples, 1)[:, None]
            padding = jnp.tile(late, (1, groups))
        return Features(values, jnp.zeros((), jnp.float32), padding)

    def context(
        self, features: Features, *, hidden: Array | None = None, key: Array | None = None
    ) -> Tokens:
        """The transformer's tokens, (B, N, D) -> (B, N, D), and the register as their summary.

        hidden: (B, N) bool, tokens to be replaced by the mask embedding, or None.
        key: randomness for dropout; None evaluates.
        """
        x = self._placed(with_hidden(features.values, hidden, self.mask_embedding[...]))
        places = jnp.arange(x.shape[1])[None]
        return self._attended(x, places, x.shape[1], features.padding, key)

    def context_of(
        self,
        features: Features,
        kept: Array,
        *,
        padding: Array | None = None,
        key: Array | None = None,
    ) -> Tokens:
        """The transformer over the register and K tokens alone, (B, N, D) -> (B, K, D).

        kept: (B, K) int32, which of the N tokens, each at its own place in time and among the
            leads.
        padding: (B, K) bool, true where an entry of ``kept`` only fills up a row, or None; a token
            that is padding among the features is padding here too.
        key: randomness for dropout; None evaluates.
        """
        x = self._placed(features.values)
        x = rows_split(jnp.take_along_axis(x, kept[..., None], axis=1))
        if features.padding is not None:
            absent = jnp.take_along_axis(features.padding, kept, axis=1)
            padding = absent if padding is None else padding | absent
        return self._attended(x, kept, features.values.shape[1], padding, key)

    def _placed(self, x: Array) -> Array:
        """Features and where they stand, (B, N, D) -> (B, N, D)."""
        rows, n, width = x.shape
        groups = self.config.token_groups
        by_lead = x.reshape(rows, groups, n // groups, width)
        by_lead = by_lead + jnp.asarray(sine_cosine(n // groups, width), x.dtype)
        if self.lead_embedding is not None:
            by_lead = shifted(by_lead, self.lead_embedding[...][:, None])
        return rows_split(by_lead.reshape(rows, n, width))

    def _attended(
        self, x: Array, places: Array, n: int, padding: Array | None, key: Array | None
    ) -> Tokens:
        """The transformer with the register first, (B, K, D) -> (B, K, D).

        places: (B, K) or (1, K) int, which of all ``n`` tokens these are.
        """
        register = jnp.zeros((x.shape[0], 1, x.shape[-1]), x.dtype)
        register = shifted(register, self.register_token[...])
        pairs = None
        if self.config.attention_pattern == "cross":
            pairs = crossing(places, n // self.config.token_groups)
        absent = None if padding is None else jnp.pad(padding, ((0, 0), (1, 0)))
        x = rows_split(jnp.concatenate([register, x], 1))
        y = self.transformer(x, absent, key, pairs)
        return Tokens(y[:, 1:], padding, y[:, 0])
