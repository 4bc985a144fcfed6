"""A toy encoder and a toy objective, as someone would write them outside the package."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from pydantic import Field

from deepecg_jax.errors import UserError
from deepecg_jax.models.axes import Axes
from deepecg_jax.models.blocks.layers import Linear
from deepecg_jax.models.encoder import Encoder, EncoderConfig, Features, Tokens
from deepecg_jax.objectives.objective import ObjectiveConfig, head_keys
from deepecg_jax.objectives.segments import to_millivolts


class ToyEncoder(Encoder):
    AXES: ClassVar[dict[str, Axes]] = {"kernel": ("width", "hidden")}

    def __init__(self, config: "ToyConfig", key: jax.Array):
        shape = (config.samples_per_token * config.leads, config.width)
        self.kernel = nnx.Param(0.1 * jax.random.normal(key, shape))
        self.samples = config.samples_per_token

    def features(self, signal, *, valid_samples=None, gradient=1.0, key=None) -> Features:
        rows, time, leads = signal.shape
        n = time // self.samples
        patches = signal[:, : n * self.samples].reshape(rows, n, self.samples * leads)
        values = patches @ self.kernel[...].astype(signal.dtype)
        return Features(values, jnp.zeros((), jnp.float32), None)

    def context(self, features, *, hidden=None, key=None) -> Tokens:
        values = features.values
        if hidden is not None:
            values = jnp.where(hidden[..., None], 0.0, values)
        return Tokens(values + values.mean(1, keepdims=True), features.padding)


class ToyConfig(EncoderConfig):
    HIDES_TOKENS: ClassVar[bool] = True
    FEATURES_BEFORE_CONTEXT: ClassVar[bool] = True

    kind: str = "toy"
    width: int = Field(default=8, ge=1)

    @property
    def samples_per_token(self) -> int:
        return 10

    def build(self, key: jax.Array) -> ToyEncoder:
        return ToyEncoder(self, key)


class ToyObjective(ObjectiveConfig):
    """Says the mean of the ECG from a token."""

    kind: str = "mean"
    strength: float = 1.0

    def check(self, encoder: EncoderConfig) -> None:
        if encoder.width < 4:
            raise UserError(f"objective.kind=mean needs model.width of 4, not {encoder.width}.")

    def heads(self, encoder: EncoderConfig, key: jax.Array) -> Linear:
        return Linear.xavier(encoder.width, encoder.leads, head_keys(key, 1)[0])

    def loss(self, encoder, heads, batch, draw, dtype):
        signal = to_millivolts(batch["signal"])
        tokens = encoder(signal.astype(dtype), key=draw.key).tokens
        error = heads(tokens.astype(jnp.float32)) - signal.mean(1, keepdims=True)
        loss = self.strength * jnp.mean(error**2)
        return loss, {"loss": loss}


class CausalToyEncoder(Encoder):
    """A token of the context knows of the 8 latest features."""

    AXES: ClassVar[dict[str, Axes]] = {"stem": (None, None), "kernel": (None, "width", None)}

    def __init__(self, config: "CausalToyConfig", key: jax.Array):
        stem_key, context_key = jax.random.split(key)
        n_in = config.samples_per_token * config.leads
        self.samples = config.samples_per_token
        self.stem = nnx.Param(jax.random.normal(stem_key, (n_in, config.width)) * n_in**-0.5)
        shape = (8, config.width, config.width)
        self.kernel = nnx.Param(jax.random.normal(context_key, shape) * (8 * config.width) ** -0.5)

    def features(self, signal, *, valid_samples=None, gradient=1.0, key=None) -> Features:
        rows, time, leads = signal.shape
        n = time // self.samples
        patches = signal[:, : n * self.samples].reshape(rows, n, self.samples * leads)
        padding = None
        if valid_samples is not None:
            padding = jnp.arange(n) >= jnp.maximum(valid_samples // self.samples, 1)[:, None]
        values = jax.nn.relu(patches @ self.stem[...].astype(signal.dtype))
        return Features(values, jnp.zeros((), jnp.float32), padding)

    def context(self, features, *, hidden=None, key=None) -> Tokens:
        return Tokens(convolution_of_the_past(features.values, self.kernel[...]), features.padding)


def convolution_of_the_past(values: jax.Array, kernel: jax.Array) -> jax.Array:
    """(B, N, C), (K, C, D) -> (B, N, D)."""
    count, n = kernel.shape[0], values.shape[1]
    before = jnp.pad(values, [(0, 0), (count - 1, 0), (0, 0)])
    window = jnp.concatenate([before[:, k : k + n] for k in range(count)], -1)
    return window @ kernel.reshape(-1, kernel.shape[-1]).astype(values.dtype)


class CausalToyConfig(EncoderConfig):
    FEATURES_BEFORE_CONTEXT: ClassVar[bool] = True

    kind: str = "causal"
    width: int = Field(default=8, ge=1)

    @property
    def causal(self) -> bool:
        return True

    @property
    def samples_per_token(self) -> int:
        return 10

    def build(self, key: jax.Array) -> CausalToyEncoder:
        return CausalToyEncoder(self, key)
