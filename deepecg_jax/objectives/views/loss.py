"""The loss of two views: a pure function of encoder, heads, batch and draw."""

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from deepecg_jax.errors import UserError
from deepecg_jax.models.encoder import Encoder
from deepecg_jax.models.pooling import mean_pool
from deepecg_jax.models.sharding import rows_split
from deepecg_jax.objectives.augmentation.view import named_key
from deepecg_jax.objectives.cmsc import cmsc_loss
from deepecg_jax.objectives.objective import Batch, Draw, Metrics
from deepecg_jax.objectives.segments import segments_of
from deepecg_jax.objectives.views.agreement import coding_rate, distance, nt_xent
from deepecg_jax.objectives.views.heads import ViewsHeads
from deepecg_jax.objectives.views.measures import measures
from deepecg_jax.objectives.views.pairs import Pairs, two_views
from deepecg_jax.objectives.views.settings import ViewsSettings

Array = jax.Array


def views_loss(
    encoder: Encoder,
    heads: ViewsHeads,
    batch: Batch,
    draw: Draw[Encoder],
    settings: ViewsSettings,
    dtype: DTypeLike = jnp.float32,
) -> tuple[Array, Metrics]:
    """Loss and what is watched for a batch.

    batch: ``signal`` (B, T, L) int16 microvolts or float millivolts, ``lead_mask`` (B, L) bool,
        ``valid_samples`` (B,) int where ECGs are padded, ``patient`` (B,) int32 for CMSC.
    draw: with the teacher and its heads for BYOL and SimDINO.

    Both views go through the encoder in one batch of 2 B rows; they are compared as the projections
    of their mean tokens.
    """
    pairs = two_views(
        batch, settings.pair, settings.view, draw.sampling_rate, named_key(draw.key, "views")
    )
    pooled = mean_tokens(encoder, pairs, dtype, named_key(draw.key, "dropout"))
    projected = rows_split(heads.projector(pooled))
    first, second = segments_of(projected)
    watched = measures(segments_of(pooled)[0], first, second)
    if settings.method == "cmsc":
        loss = cmsc_loss(first, second, batch["patient"], settings.temperature, detach_norm=False)
    elif settings.method == "simclr":
        loss = nt_xent(projected, settings.temperature)
    else:
        of_first, of_second = teacher_views(draw, pairs, dtype)
        if heads.predictor is not None:
            predicted = segments_of(rows_split(heads.predictor(projected)))
        else:
            predicted = (first, second)
        # each view of the student is held against the other view of the teacher
        loss = 0.5 * (distance(predicted[0], of_second) + distance(predicted[1], of_first))
        if settings.method == "simdino":
            check_rows(*first.shape)
            precision = settings.coding_rate_precision
            rate = 0.5 * (coding_rate(first, precision) + coding_rate(second, precision))
            watched["coding_rate"] = rate
            loss = loss - settings.coding_rate_weight * rate
    return loss, {"loss": loss, **watched}


def mean_tokens(encoder: Encoder, pairs: Pairs, dtype: DTypeLike, key: Array | None) -> Array:
    """The mean token of each view, float32, (2 B, D)."""
    output = encoder(pairs.signal.astype(dtype), valid_samples=pairs.valid_samples, key=key)
    return rows_split(mean_pool(output.tokens, output.padding))


def teacher_views(draw: Draw[Encoder], pairs: Pairs, dtype: DTypeLike) -> tuple[Array, ...]:
    """The teacher's projections of both views, without dropout and without a gradient."""
    assert draw.teacher is not None and isinstance(draw.teacher_heads, ViewsHeads)
    projected = draw.teacher_heads.projector(mean_tokens(draw.teacher, pairs, dtype, None))
    return segments_of(jax.lax.stop_gradient(rows_split(projected)))


def check_rows(rows: int, width: int) -> None:
    """UserError if a batch is too small for the coding rate of vectors of a width."""
    if 2 * rows < width:
        raise UserError(
            f"objective.method=simdino spreads vectors of width {width} over a batch, which needs "
            f"at least {-(-width // 2)} ECGs at once, not {rows}; choose a larger "
            "train.global_batch, or a narrower objective.projection."
        )
