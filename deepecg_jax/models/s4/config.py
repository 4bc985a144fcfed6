"""The S4 family: what it can do, and how it is built, counted and named."""

from typing import ClassVar

import jax
from jax.typing import DTypeLike

from deepecg_jax.models.execution import execution
from deepecg_jax.models.s4.encoder import S4Encoder
from deepecg_jax.models.s4.flops import forward_flops
from deepecg_jax.models.s4.shape import S4Shape


class S4Config(S4Shape):
    """S4 encoder. ``size`` fills whatever is not given explicitly; the defaults are ``base``."""

    HIDES_TOKENS: ClassVar[bool] = True
    FEATURES_BEFORE_CONTEXT: ClassVar[bool] = True
    TRAINING_FIELDS: ClassVar[tuple[str, ...]] = ("dropout", "learn_state")

    @property
    def title(self) -> str:
        """Family and named size."""
        return f"S4, {self.size}"

    @property
    def summary(self) -> str:
        """One clause on the architecture, for a model card."""
        stem = " ".join(
            f"{layer.width}x{layer.kernel}/{layer.stride}" for layer in self.conv_layers
        )
        matrix = {"nplr": "a diagonal plus low-rank", "diagonal": "a diagonal"}[self.kernel]
        return (
            f"S4 encoder: {self.layers} {self.direction} layers of width {self.width} with "
            f"{self.state} states a channel and {matrix} state matrix, stem {stem} (width x kernel "
            f"/ stride), one token every {self.samples_per_token} samples"
        )

    def build(self, key: jax.Array) -> S4Encoder:
        """A freshly initialised encoder."""
        return S4Encoder(self, key)

    def flops(self, n_samples: int, batch: int = 1) -> dict[str, float]:
        """See `forward_flops`."""
        return forward_flops(self, n_samples, batch)

    def ways(self, dtype: DTypeLike) -> str:
        """How the state spaces are computed; see `EncoderConfig.ways`."""
        del dtype
        way = {"fft": "Fourier transforms", "products": "products over blocks of tokens"}
        return f"state spaces by {way[execution().long_convolution]}"
