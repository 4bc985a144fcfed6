"""The objective of two views: its heads, its cost, its loss; it accepts every encoder."""

from dataclasses import replace
from itertools import pairwise

import jax
from flax import nnx
from jax.typing import DTypeLike

from deepecg_jax.models.encoder import Encoder, EncoderConfig
from deepecg_jax.objectives.augmentation.config import check_views
from deepecg_jax.objectives.objective import Batch, Draw, Metrics, Seen, head_keys
from deepecg_jax.objectives.views.heads import Projection, ViewsHeads
from deepecg_jax.objectives.views.loss import views_loss
from deepecg_jax.objectives.views.settings import ViewsSettings
from deepecg_jax.signals.contract import SignalContract

Array = jax.Array
VIEWS = 2  # of an ECG


class ViewsObjectiveConfig(ViewsSettings):
    """The mean tokens of two views of an ECG agree (CMSC, SimCLR, BYOL or SimDINO)."""

    def check_signals(self, encoder: EncoderConfig, contract: SignalContract, where: str) -> None:
        """UserError if ``view`` does not suit the ECGs, or their halves."""
        if self.pair == "halves":
            seconds = contract.n_samples // VIEWS / contract.sampling_rate
            contract, where = replace(contract, seconds=seconds), f"{where}, in halves,"
        check_views(self.view, contract, encoder, where, "objective.view")

    def seen(self, n_samples: int, sampling_rate: float) -> tuple[Seen, ...]:
        """Two views of each ECG, and again by the teacher."""
        samples = n_samples // VIEWS if self.pair == "halves" else n_samples
        samples = self.view.length(sampling_rate) or samples
        student = Seen(VIEWS, samples)
        return (student, student._replace(trained=False)) if self.teacher else (student,)

    def flops(self, encoder: EncoderConfig, n_samples: int, batch: int) -> dict[str, float]:
        """Products of projection, predictor, and the comparison of all views with all.

        Left out is the teacher's projection, and the coding rate but for its covariances.
        """
        del n_samples
        widths = [encoder.width, *self.projection]
        rows, last = VIEWS * batch, widths[-1]
        parts = {"projection": 2.0 * rows * sum(a * b for a, b in pairwise(widths))}
        if self.method == "byol":
            parts["predictor"] = 2.0 * rows * 2 * last * self.predictor_width
        if self.method == "cmsc":
            parts["contrastive"] = 2.0 * batch * batch * last
        if self.method == "simclr":
            parts["contrastive"] = 2.0 * rows * rows * last
        if self.method == "simdino":
            parts["coding_rate"] = 2.0 * rows * last * last
        return parts

    def heads(self, encoder: EncoderConfig, key: Array) -> ViewsHeads:
        """The projection, and the predictor of BYOL."""
        keys = head_keys(key, 2)
        projector = Projection(encoder.width, self.projection, keys[0])
        last = (encoder.width, *self.projection)[-1]
        predictor = None
        if self.method == "byol":
            predictor = Projection(last, (self.predictor_width, last), keys[1])
        return ViewsHeads(projector, predictor)

    def loss(
        self,
        encoder: Encoder,
        heads: nnx.Module,
        batch: Batch,
        draw: Draw[Encoder],
        dtype: DTypeLike,
    ) -> tuple[Array, Metrics]:
        """See `views_loss`."""
        assert isinstance(heads, ViewsHeads)
        return views_loss(encoder, heads, batch, draw, self, dtype)
