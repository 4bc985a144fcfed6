"""A toy encoder of patches that can hide tokens, leave them out, and have tokens of each lead."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from pydantic import Field

from deepecg_jax.models.axes import Axes
from deepecg_jax.models.encoder import Encoder, EncoderConfig, Features, Tokens
from deepecg_jax.models.pooling import mean_pool

SAMPLES = 10


class PatchEncoder(Encoder):
    """Each token is its patch, its place, and the mean of all tokens that are there."""

    AXES: ClassVar[dict[str, Axes]] = {"kernel": (None, None), "mixing": (None, None)}

    def __init__(self, config: "PatchConfig", key: jax.Array):
        keys = jax.random.split(key, 3)
        values = SAMPLES * config.leads // config.token_groups
        self.kernel = nnx.Param(0.3 * jax.random.normal(keys[0], (values, config.width)))
        self.mixing = nnx.Param(0.5 * jax.random.normal(keys[1], (config.width, config.width)))
        self.mask_embedding = nnx.Param(jax.random.normal(keys[2], (config.width,)))
        self.groups = config.token_groups

    def features(self, signal, *, valid_samples=None, gradient=1.0, key=None) -> Features:
        rows, time, leads = signal.shape
        n, per_group = time // SAMPLES, leads // self.groups
        x = signal[:, : n * SAMPLES].reshape(rows, n, SAMPLES, self.groups, per_group)
        x = x.transpose(0, 3, 1, 2, 4).reshape(rows, self.groups * n, SAMPLES * per_group)
        padding = None
        if valid_samples is not None:
            there = jnp.arange(n) < jnp.maximum(valid_samples // SAMPLES, 1)[:, None]
            padding = jnp.tile(~there, (1, self.groups))
        values = x @ self.kernel[...].astype(x.dtype)
        return Features(values, jnp.zeros((), jnp.float32), padding)

    def context(self, features, *, hidden=None, key=None) -> Tokens:
        x = features.values
        if hidden is not None:
            x = jnp.where(hidden[..., None], self.mask_embedding[...].astype(x.dtype), x)
        rows, n, _ = x.shape
        kept = jnp.broadcast_to(jnp.arange(n), (rows, n))
        return self._mixed(x, kept, n, features.padding)

    def context_of(self, features, kept, *, padding=None, key=None) -> Tokens:
        x = jnp.take_along_axis(features.values, kept[..., None], axis=1)
        return self._mixed(x, kept, features.values.shape[1], padding)

    def _mixed(self, x, kept, n, padding) -> Tokens:
        place = (kept % (n // self.groups))[..., None] / n
        x = x + jnp.sin(10.0 * place).astype(x.dtype)
        mean = mean_pool(x, padding).astype(x.dtype)[:, None]
        return Tokens(jnp.tanh((x + mean) @ self.mixing[...].astype(x.dtype)), padding)


class PatchConfig(EncoderConfig):
    HIDES_TOKENS: ClassVar[bool] = True
    DROPS_TOKENS: ClassVar[bool] = True
    FEATURES_BEFORE_CONTEXT: ClassVar[bool] = True

    kind: str = "patches"
    width: int = Field(default=8, ge=1)
    by_lead: bool = False

    @property
    def token_groups(self) -> int:
        return self.leads if self.by_lead else 1

    @property
    def samples_per_token(self) -> int:
        return SAMPLES

    def n_tokens(self, n_samples):
        return self.token_groups * (n_samples // SAMPLES)

    def flops(self, n_samples, batch=1):
        n = self.n_tokens(n_samples)
        values = SAMPLES * self.leads // self.token_groups
        return {"patches": 2.0 * batch * n * values * self.width}

    def build(self, key: jax.Array) -> PatchEncoder:
        return PatchEncoder(self, key)


class OnlyDrops(PatchConfig):
    """The same without a mask embedding."""

    HIDES_TOKENS: ClassVar[bool] = False


class OnlyHides(PatchConfig):
    """The same that needs a token at every place."""

    DROPS_TOKENS: ClassVar[bool] = False
