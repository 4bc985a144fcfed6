"""JEPA against the same put together row by row; nothing leaks; what it refuses; it learns."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from learning import learned, mean_of
from patch_toy import OnlyDrops, OnlyHides, PatchConfig
from pydantic import ValidationError

from deepecg_jax.errors import UserError
from deepecg_jax.models.efficientnet.config import EfficientNetConfig
from deepecg_jax.models.encoder import EncoderConfig
from deepecg_jax.models.families import FAMILIES
from deepecg_jax.objectives.augmentation.view import named_key
from deepecg_jax.objectives.jepa.collapse import normalised, spread, spread_between_ecgs
from deepecg_jax.objectives.jepa.config import JEPAObjectiveConfig
from deepecg_jax.objectives.jepa.mask import most_times, time_mask
from deepecg_jax.objectives.objective import Draw, Seen, TeacherDecay
from deepecg_jax.objectives.pretrainer import Pretrainer

KEY = jax.random.key(7)
SMALL = {"shortest_block": 3, "predictor_layers": 1}


def made(config: EncoderConfig, **settings: Any) -> tuple[Pretrainer, nnx.Module, Any]:
    """Student, another encoder as its teacher, and the objective."""
    objective = JEPAObjectiveConfig(**{**SMALL, **settings})
    student = Pretrainer(config, objective, jax.random.key(0))
    return student, config.build(jax.random.key(9)), objective


def batch_of(rows: int = 3, leads: int = 4, samples: int = 200) -> dict[str, jax.Array]:
    signal = 0.5 * jax.random.normal(jax.random.key(1), (rows, samples, leads))
    return {"signal": signal, "lead_mask": jnp.ones((rows, leads), bool)}


def loss_of(student, teacher, objective, batch, dtype: Any = jnp.float32):
    draw = Draw(KEY, jnp.int32(0), teacher)
    return objective.loss(student.encoder, student.heads, batch, draw, dtype)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "by_lead", "mask"),
    [(OnlyDrops, True, "multiblock"), (OnlyHides, False, "weimann")],
    ids=["drops", "hides"],
)
def test_the_loss_is_that_of_each_row_put_together_by_hand(family, by_lead, mask):
    """And what is hidden has no influence on what is predicted: targets are constants, so the loss
    has a slope by the signal by way of the context alone.
    """
    config = family(leads=4, by_lead=by_lead)
    student, teacher, objective = made(config, mask=mask, error="smooth_l1")
    batch = batch_of()
    batch["lead_mask"] = batch["lead_mask"].at[1, 2].set(False)
    batch["valid_samples"] = jnp.array([200, 200, 130])

    def run(signal: jax.Array) -> tuple[jax.Array, Any]:
        return loss_of(student, teacher, objective, {**batch, "signal": signal})

    (loss, metrics), slope = jax.jit(jax.value_and_grad(run, has_aux=True))(batch["signal"])

    times, groups = 20, config.token_groups
    drawn = time_mask(named_key(KEY, "mask"), 3, times, objective)
    shown, by_time = np.asarray(drawn.shown), np.abs(slope).reshape(3, times, -1).max(-1)
    there = np.arange(times) < np.array([[20], [20], [13]])
    assert (by_time[~shown] == 0).all() and (by_time[shown & there] > 0).all()
    predict = jax.jit(student.heads.predictor.__call__)
    errors, targets, predictions = [], [], []
    for row in range(3):
        recorded = np.asarray(batch["lead_mask"][row])
        valid = batch["valid_samples"][row : row + 1]
        signal = jnp.where(recorded, batch["signal"][row : row + 1], 0.0)
        shown = np.tile(np.asarray(drawn.shown[row]), groups)
        predicted = np.tile(np.asarray(drawn.predicted[row]), groups)
        real = np.tile(np.arange(times) < int(valid[0]) // 10, groups)
        features = student.encoder.features(signal, valid_samples=valid)
        if family is OnlyDrops:
            # only what is there and shown goes in, with nothing to fill up
            kept = np.flatnonzero(shown & real)
            tokens = student.encoder.context_of(features, jnp.asarray(kept)[None]).tokens
            # at the places of padding the predictor's tokens are not attended to
            tokens = jnp.zeros((1, shown.sum(), 8)).at[:, np.flatnonzero(real[shown])].set(tokens)
        else:
            tokens = student.encoder.context(features, hidden=jnp.asarray(~shown)[None]).tokens
        found = predict(tokens, jnp.asarray(~shown)[None], ~jnp.asarray(real)[None])
        taught = np.asarray(teacher(signal, valid_samples=valid).tokens[0])
        target = (taught - taught.mean(-1, keepdims=True)) / np.sqrt(
            taught.var(-1, keepdims=True) + 1e-5
        )
        counts = predicted & real
        if by_lead:
            counts &= np.repeat(recorded, times)
        size = np.abs(np.asarray(found[0]) - target)
        errors.append(np.where(size < 1, size**2 / 2, size - 0.5).mean(-1)[counts])
        targets.append(target[counts])
        predictions.append(np.asarray(found[0])[counts])
    np.testing.assert_allclose(loss, np.concatenate(errors).mean(), rtol=1e-4)
    for name, values in (("target_spread", targets), ("prediction_spread", predictions)):
        expected = np.concatenate(values).std(0).mean()
        np.testing.assert_allclose(metrics[name], expected, rtol=1e-3)


@pytest.mark.slow
def test_gradients_are_finite_in_bfloat16_and_none_is_the_teachers():
    student, teacher, objective = made(PatchConfig(by_lead=True))
    batch = batch_of(leads=12)
    batch["signal"] = batch["signal"].at[0].set(0.0)  # a flat ECG
    graph, weights = nnx.split((student, teacher))

    def value(weights: Any) -> jax.Array:
        return loss_of(*nnx.merge(graph, weights), objective, batch, jnp.bfloat16)[0]

    loss, slope = jax.jit(jax.value_and_grad(value))(weights)
    assert np.isfinite(loss) and loss.dtype == jnp.float32
    own, teachers = (nnx.to_pure_dict(slope)[part] for part in (0, 1))
    sizes = [float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(own)]
    assert np.isfinite(sizes).all()
    assert sizes.count(0.0) == 1, "of the two ways to do without tokens the encoder uses one"
    assert all((np.asarray(leaf) == 0).all() for leaf in jax.tree.leaves(teachers))


@pytest.mark.slow
def test_targets_are_constants_also_where_the_teacher_is_the_encoder():
    student, _, objective = made(PatchConfig(leads=4))
    graph, weights = nnx.split(student)
    copy = nnx.merge(*nnx.split(student.encoder))

    def slope(shared: bool) -> Any:
        def own(weights: Any) -> jax.Array:
            merged = nnx.merge(graph, weights)
            teacher = merged.encoder if shared else copy
            return loss_of(merged, teacher, objective, batch_of())[0]

        return jax.jit(jax.grad(own))(weights)

    jax.tree.map(np.testing.assert_array_equal, slope(True), slope(False))


@pytest.mark.parametrize("mask", ["weimann", "multiblock", "random"])
def test_masks_show_no_more_than_is_said(mask):
    settings = JEPAObjectiveConfig(mask=mask)
    drawn = time_mask(jax.random.key(0), 64, 100, settings)
    shown, predicted = np.asarray(drawn.shown), np.asarray(drawn.predicted)
    assert not (shown & predicted).any() and predicted.any(1).all()
    assert 1 <= shown.sum(1).min() <= shown.sum(1).max() <= most_times(100, settings)
    if mask != "multiblock":
        assert len(set(shown.sum(1))) == 1 and (shown | predicted).all()
        assert 15 <= shown[0].sum() <= 25


def test_too_few_tokens_are_a_sentence():
    for mask, times in [("weimann", 1), ("multiblock", 3)]:
        with pytest.raises(UserError, match=f"objective.mask={mask} needs more than the {times}"):
            time_mask(jax.random.key(0), 2, times, JEPAObjectiveConfig(mask=mask))


def test_what_it_refuses():
    with pytest.raises(UserError, match="objective.kind=jepa hides .* model.kind=efficientnet"):
        JEPAObjectiveConfig().check(EfficientNetConfig())
    with pytest.raises(UserError, match="predictor_heads=3 must divide the predictor's width, 4"):
        JEPAObjectiveConfig(predictor_heads=3).check(PatchConfig())
    JEPAObjectiveConfig(predictor_heads=3, predictor_width=9).check(OnlyDrops())
    for wrong, message in [
        ({"keep": (0.5, 1.0)}, "keep=1 hides nothing"),
        ({"blocks": 5}, "5 blocks of 0.2 may leave nothing of a context of 0.85"),
        ({"block": (0.2, 0.1)}, "the smaller first"),
    ]:
        with pytest.raises(ValidationError, match=message):
            JEPAObjectiveConfig(**wrong)


def test_its_teacher_and_its_products():
    assert JEPAObjectiveConfig().teacher == TeacherDecay(0.998, 0.9995, "linear")
    config = PatchConfig(leads=12, width=8)
    objective = JEPAObjectiveConfig(keep=(0.2, 0.2), predictor_layers=2)
    parts = objective.flops(config, 1000, 3)
    encoder = 3 * 100 * 2 * 120 * 8  # 100 tokens
    assert objective.seen(1000, 250.0) == (Seen(1, 1000), Seen(1, 1000, trained=False))
    assert parts["tokens_left_out"] == pytest.approx(-0.8 * encoder)
    a_layer = 2 * 100 * 4 * 4 * 4 + 2 * 2 * 100 * 100 * 4 + 2 * 2 * 100 * 4 * 16
    assert parts["predictor"] == 3 * (2 * 20 * 8 * 4 + 2 * a_layer + 2 * 100 * 4 * 8)
    assert "tokens_left_out" not in objective.flops(OnlyHides(), 1000, 3)


def test_spreads_tell_a_collapse():
    tokens = jax.random.normal(jax.random.key(0), (64, 20, 32))
    everything = jnp.ones((64, 20), bool)
    for measure in (spread, spread_between_ecgs):
        assert float(measure(normalised(tokens), everything)) == pytest.approx(1.0, abs=0.03)
        assert float(measure(normalised(jnp.ones_like(tokens)), everything)) < 1e-3
    # tokens that tell their place alone
    placed = jnp.broadcast_to(tokens[:1], tokens.shape)
    assert float(spread(placed, everything)) > 0.8
    assert float(spread_between_ecgs(placed, everything)) < 1e-5
    # what does not count does not
    half = everything.at[32:].set(False)
    wild = tokens.at[32:].add(100.0)
    np.testing.assert_allclose(
        spread(wild, half), np.asarray(tokens[:32]).std((0, 1)).mean(), rtol=1e-4
    )
    one = jnp.zeros((64, 20), bool).at[0].set(True)
    assert float(spread_between_ecgs(tokens, one)) == 0.0


@pytest.mark.slow
def test_it_learns_and_its_teacher_follows(monkeypatch):
    """The error falls below what is known of a place without the ECG; nothing collapses."""
    monkeypatch.setitem(FAMILIES, "patches", OnlyDrops)
    objective = {
        "kind": "jepa",
        "keep": [0.25, 0.25],
        "shortest_block": 4,
        "predictor_layers": 1,
        "predictor_width": 32,
        "teacher_start": 0.98,
    }
    model = {"kind": "patches", "width": 32}
    run = learned(model, objective, steps=60, batch=32, seconds=2.5, learning_rate=1e-2)
    last = run.metrics[-10:]
    between_ecgs = mean_of(last, "teacher_spread_between_ecgs")
    # the best guess without the ECG is off by 0.8 deviations where features are normal
    assert mean_of(last, "loss") < 0.95 * 0.8 * between_ecgs < mean_of(run.metrics[:5], "loss")
    assert between_ecgs > 0.4 and mean_of(last, "prediction_spread") > 0.4
    # the teacher was the encoder, has moved, and is behind it
    begun, copy, weights = (
        jax.tree.leaves(x)
        for x in (run.first["teacher"], run.last["teacher"], run.last["params"]["encoder"])
    )
    jax.tree.map(
        np.testing.assert_array_equal, begun, jax.tree.leaves(run.first["params"]["encoder"])
    )
    for at_first, follows, leads in zip(begun, copy, weights, strict=True):
        way = np.abs(leads - at_first).sum()
        if way > 0:  # the mask embedding is not used
            assert 0.1 < np.abs(follows - at_first).sum() / way < 1
