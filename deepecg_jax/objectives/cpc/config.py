"""The CPC objective: which encoders it accepts, its heads, its loss."""

import jax
from flax import nnx
from jax.typing import DTypeLike

from deepecg_jax.errors import UserError
from deepecg_jax.models.encoder import Encoder, EncoderConfig
from deepecg_jax.objectives.cpc.heads import CPCHeads
from deepecg_jax.objectives.cpc.loss import cpc_loss
from deepecg_jax.objectives.cpc.settings import CPCSettings
from deepecg_jax.objectives.objective import Batch, Draw, Metrics, head_keys
from deepecg_jax.signals.contract import SignalContract

Array = jax.Array


class CPCObjectiveConfig(CPCSettings):
    """CPC: a token of the context predicts the features some tokens later (InfoNCE)."""

    def check(self, encoder: EncoderConfig) -> None:
        """UserError for an encoder in which a token could look its target up."""
        if not encoder.FEATURES_BEFORE_CONTEXT:
            why = "whose features know of all tokens already"
        elif not encoder.causal:
            why = "whose context knows of later tokens too"
        elif encoder.token_groups != 1:
            why = f"which has {encoder.token_groups} tokens for each time"
        else:
            return
        raise UserError(
            "objective.kind=cpc predicts the features of later tokens, which means nothing for "
            f"model.kind={encoder.kind} as it is set, {why}; choose an encoder that is causal, or "
            "another objective."
        )

    def check_signals(self, encoder: EncoderConfig, contract: SignalContract, where: str) -> None:
        """UserError for ECGs of too few tokens."""
        del where
        self.check_tokens(encoder.n_tokens(contract.n_samples))

    def flops(self, encoder: EncoderConfig, n_samples: int, batch: int) -> dict[str, float]:
        """Products of predictions, InfoNCE (all pairs of tokens of an ECG) and CMSC."""
        n, features = encoder.n_tokens(n_samples), encoder.feature_width
        pairs = sum((n - horizon) * n for horizon in self.horizons)
        parts = {
            "prediction": 2.0 * batch * n * encoder.width * features * len(self.horizons),
            "contrastive": 2.0 * batch * pairs * features,
        }
        if self.cmsc_weight:
            parts["cmsc"] = 2.0 * batch * batch * encoder.width
        return parts

    def heads(self, encoder: EncoderConfig, key: Array) -> CPCHeads:
        """A linear map without bias for each horizon."""
        return CPCHeads(
            encoder.width, encoder.feature_width, len(self.horizons), head_keys(key, 1)[0]
        )

    def loss(
        self,
        encoder: Encoder,
        heads: nnx.Module,
        batch: Batch,
        draw: Draw[Encoder],
        dtype: DTypeLike,
    ) -> tuple[Array, Metrics]:
        """See `cpc_loss`."""
        assert isinstance(heads, CPCHeads)
        return cpc_loss(encoder, heads, batch, draw, self, dtype)
