"""CPC equals its formula, takes its negatives from where it says, and learns."""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from short_training import learned
from toys import CausalToyConfig, CausalToyEncoder, ToyConfig

from deepecg_jax.errors import UserError
from deepecg_jax.models.encoder import Encoder
from deepecg_jax.objectives.cmsc import cmsc_loss
from deepecg_jax.objectives.cpc.config import CPCObjectiveConfig
from deepecg_jax.objectives.cpc.loss import halves, predict
from deepecg_jax.objectives.cpc.negatives import draw_negatives
from deepecg_jax.objectives.objective import Draw
from deepecg_jax.signals.contract import SignalContract

WITH_CMSC = CPCObjectiveConfig(horizons=(3,), negatives=8, cmsc_weight=0.25, reduction="mean")
DRAW: Draw[Encoder] = Draw(jax.random.key(1), jnp.int32(0))


def batch_of(rows: int = 3, samples: int = 200) -> dict[str, Any]:
    signal = np.random.default_rng(0).normal(0, 300, (rows, samples, 12))
    return {
        "signal": jnp.asarray(signal, jnp.int16),
        "lead_mask": jnp.ones((rows, 12), bool),
        "patient": jnp.arange(rows),
    }


@functools.cache
def program(objective: CPCObjectiveConfig) -> Callable[[dict[str, Any]], Any]:
    """From a batch to loss and metrics of an encoder and heads that are always the same."""
    model = CausalToyConfig()
    heads = objective.heads(model, jax.random.key(2))
    encoder = model.build(jax.random.key(3))
    return jax.jit(lambda batch: objective.loss(encoder, heads, batch, DRAW, jnp.float32))


def loss_of(objective: CPCObjectiveConfig, batch: dict[str, Any]) -> Any:
    return program(objective)(batch)


def test_negatives_are_all_others_of_the_ecg_alike() -> None:
    targets = jnp.array([0, 3, 5, 8])
    drawn, possible = draw_negatives(
        jax.random.key(0), targets, jnp.array([9, 6]), count=60_000, distance=1
    )
    assert possible.tolist() == [[True] * 4, [True, True, True, False]]
    for row, valid in enumerate((9, 6)):
        for place, target in enumerate(targets.tolist()):
            if target >= valid:
                continue
            share = np.bincount(np.asarray(drawn[row, place]), minlength=9) / 60_000
            allowed = [i for i in range(valid) if abs(i - target) > 1]
            expected = np.isin(np.arange(9), allowed) / len(allowed)
            np.testing.assert_allclose(share, expected, atol=0.008)


def test_a_target_without_others_has_no_negative() -> None:
    drawn, possible = draw_negatives(jax.random.key(0), jnp.arange(3), jnp.array([3, 1]), 5, 1)
    assert possible.tolist() == [[True, False, True], [False, False, False]]
    assert int(drawn.min()) >= 0 and int(drawn.max()) < 3


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
def test_it_equals_the_table_of_negatives(similarity: Any) -> None:
    """The formula over the very negatives that are drawn, one prediction after another."""
    rng = np.random.default_rng(0)
    settings = CPCObjectiveConfig(negatives=7, similarity=similarity, temperature=0.5)
    horizon, rows, n, width = 2, 2, 9, 5
    z, p = (rng.normal(size=(rows, m, width)).astype(np.float32) for m in (n, n - horizon))
    valid, key = jnp.array([9, 6]), jax.random.key(4)
    found = jax.jit(lambda p, z: predict(p, z, valid, horizon, settings, key))(p, z)
    drawn = np.asarray(draw_negatives(key, horizon + jnp.arange(n - horizon), valid, 7)[0])

    def score(a: np.ndarray, b: np.ndarray) -> float:
        norms = np.linalg.norm(a) * np.linalg.norm(b) if similarity == "cosine" else 1.0
        return float(a @ b / norms / 0.5)

    assert found.counts.tolist() == [[True] * 7, [True] * 4 + [False] * 3]
    for b, i in zip(*np.nonzero(np.asarray(found.counts)), strict=True):
        own = score(p[b, i], z[b, i + horizon])
        others = [score(p[b, i], z[b, j]) for j in drawn[b, i]]
        expected = -math.log(math.exp(own) / (math.exp(own) + sum(map(math.exp, others))))
        assert float(found.loss[b, i]) == pytest.approx(expected, rel=1e-4, abs=1e-5)
        assert bool(found.right[b, i]) == (own > max(others))


def test_the_sum_over_the_predictions_of_an_ecg() -> None:
    """20 tokens: 18 and 15 predictions an ECG."""
    objective = CPCObjectiveConfig(horizons=(2, 5), negatives=6)
    batch = batch_of()
    loss, metrics = loss_of(objective, batch)
    assert float(loss) == pytest.approx(float(metrics["contrastive"]) * (18 + 15) / 2, rel=1e-5)
    assert 0 <= float(metrics["contrastive_accuracy"]) <= 1
    # all features alike: every choice is as good, so a prediction is at chance
    batch["signal"] = jnp.zeros_like(batch["signal"])
    chance = loss_of(objective, batch)[1]["contrastive"]
    assert float(chance) == pytest.approx(math.log(7), rel=1e-5)


def test_each_horizon_has_a_matrix_of_its_own() -> None:
    heads = CPCObjectiveConfig(horizons=(1, 4)).heads(CausalToyConfig(width=3), jax.random.key(0))
    tokens = jax.random.normal(jax.random.key(1), (2, 5, 3))
    predicted = heads(tokens)
    kernel = np.asarray(heads.kernel[...])
    assert predicted.shape == (2, 5, 2, 3)
    for place in range(2):
        expected = np.asarray(tokens) @ kernel[:, 3 * place : 3 * place + 3]
        np.testing.assert_allclose(predicted[:, :, place], expected, rtol=1e-5, atol=1e-6)


def test_padding_and_missing_leads_have_no_part() -> None:
    batch = {**batch_of(), "valid_samples": jnp.array([200, 120, 90])}
    batch["lead_mask"] = batch["lead_mask"].at[:, 4].set(False)
    before = loss_of(WITH_CMSC, batch)[1]
    noise = batch["signal"].at[1, 120:].set(999).at[2, 90:].set(-999).at[:, :, 4].set(500)
    after = loss_of(WITH_CMSC, {**batch, "signal": noise})[1]
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value, err_msg=name)
    shorter = loss_of(WITH_CMSC, {**batch, "valid_samples": jnp.array([200, 120, 100])})[1]
    assert float(shorter["loss"]) != float(before["loss"])


def test_cmsc_is_between_the_halves_of_what_is_no_padding() -> None:
    assert WITH_CMSC.columns == {"patient"} and not CPCObjectiveConfig().columns
    assert not WITH_CMSC.whole
    batch = {**batch_of(), "valid_samples": jnp.array([200, 120, 90])}
    loss, metrics = loss_of(WITH_CMSC, batch)
    expected = metrics["contrastive"] + 0.25 * metrics["cmsc"]
    assert float(loss) == pytest.approx(float(expected), rel=1e-6)
    tokens = np.random.default_rng(1).normal(size=(2, 9, 4)).astype(np.float32)
    first, second = halves(jnp.asarray(tokens), jnp.array([9, 5]))
    np.testing.assert_allclose(first, [tokens[0, :4].mean(0), tokens[1, :2].mean(0)], rtol=1e-5)
    np.testing.assert_allclose(second, [tokens[0, 4:].mean(0), tokens[1, 2:5].mean(0)], rtol=1e-5)
    assert np.isfinite(cmsc_loss(first, second, jnp.arange(2), 0.1))


@pytest.mark.slow
def test_gradients_are_finite_in_bfloat16() -> None:
    model = CausalToyConfig()
    objective = CPCObjectiveConfig(horizons=(2,), similarity="cosine", cmsc_weight=0.1)
    heads = objective.heads(model, jax.random.key(2))
    graph, weights = nnx.split((model.build(jax.random.key(3)), heads))

    def loss(weights: Any, dtype: Any) -> jax.Array:
        encoder, heads = nnx.merge(graph, weights)
        assert isinstance(encoder, CausalToyEncoder)
        return objective.loss(encoder, heads, batch_of(), DRAW, dtype)[0]

    value, slope = jax.jit(jax.value_and_grad(loss), static_argnums=1)(weights, jnp.bfloat16)
    exact = jax.jit(loss, static_argnums=1)(weights, jnp.float32)
    assert value.dtype == jnp.float32 and float(value) == pytest.approx(float(exact), rel=0.02)
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(slope))


def test_what_cannot_be_predicted_is_refused_with_a_sentence() -> None:
    objective = CPCObjectiveConfig()
    objective.check(CausalToyConfig())
    with pytest.raises(
        UserError, match="model.kind=toy as it is set, whose context knows of later"
    ):
        objective.check(ToyConfig())

    class Late(CausalToyConfig):
        FEATURES_BEFORE_CONTEXT = False
        kind: str = "late"

    class Grouped(CausalToyConfig):
        kind: str = "grouped"

        @property
        def token_groups(self) -> int:
            return 12

    with pytest.raises(UserError, match="model.kind=late as it is set, whose features know of all"):
        objective.check(Late())
    with pytest.raises(
        UserError, match="which has 12 tokens for each time; choose an encoder that"
    ):
        objective.check(Grouped())
    piece = SignalContract(seconds=0.6)
    objective.check_signals(CausalToyConfig(), piece, "x")
    with pytest.raises(
        UserError, match=r"horizons=\[14\] .* needs 15 tokens .* which has 14; choose"
    ):
        objective.check_signals(CausalToyConfig(), SignalContract(seconds=0.56), "x")
    near = CPCObjectiveConfig(horizons=(1,), negatives_distance=8)
    with pytest.raises(UserError, match="negatives_distance=8 needs 18 tokens"):
        near.check_signals(CausalToyConfig(), piece, "x")
    # the loss says it too, where somebody calls it with what nobody checked
    with pytest.raises(UserError, match="needs 21 tokens of an ECG, which has 20"):
        loss_of(CPCObjectiveConfig(horizons=(20,)), batch_of())


def test_operations_by_hand() -> None:
    objective = CPCObjectiveConfig(horizons=(2, 5), cmsc_weight=0.1)
    counts = objective.flops(CausalToyConfig(width=6), 200, 4)
    assert counts == {
        "prediction": 2 * 4 * 20 * 6 * (2 * 6),
        "contrastive": 2 * 4 * (18 * 20 + 15 * 20) * 6,
        "cmsc": 2 * 4 * 4 * 6,
    }


@pytest.mark.slow
def test_it_learns() -> None:
    """Chance is ln 65 nats, and one right prediction in 65."""
    objective = CPCObjectiveConfig(
        horizons=(4,), negatives=64, similarity="cosine", temperature=0.1, reduction="mean"
    )
    found = learned(CausalToyConfig(width=32), objective, 60, rows=16, learning_rate=1e-2)
    assert found["contrastive"][0] > math.log(65)
    assert found["contrastive"][-10:].mean() < 0.85 * math.log(65)
    assert found["contrastive_accuracy"][-10:].mean() > 6 / 65
