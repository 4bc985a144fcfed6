"""Each way in which two views agree equals its formula; views are what they say; it learns."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from pydantic import ValidationError
from short_training import learned
from toys import CausalToyConfig, ToyConfig

from deepecg_jax.errors import UserError
from deepecg_jax.models.encoder import Encoder
from deepecg_jax.objectives.augmentation.config import ViewConfig
from deepecg_jax.objectives.cmsc import cmsc_loss
from deepecg_jax.objectives.objective import Draw, TeacherDecay
from deepecg_jax.objectives.pretrainer import Pretrainer
from deepecg_jax.objectives.views.agreement import coding_rate, distance, nt_xent
from deepecg_jax.objectives.views.config import ViewsObjectiveConfig
from deepecg_jax.objectives.views.heads import Projection
from deepecg_jax.objectives.views.measures import measures
from deepecg_jax.objectives.views.pairs import two_views
from deepecg_jax.signals.contract import SignalContract

METHODS: tuple[Any, ...] = ("cmsc", "simclr", "byol", "simdino")
NOISE = ViewConfig(noise_deviation=0.1)


def units(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_contrast_is_with_every_other_view() -> None:
    """SimCLR's equation 1, one view after another."""
    views = np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)
    cosines = units(views) @ units(views).T / 0.3
    losses = []
    for i in range(8):
        own = i + 1 if i % 2 == 0 else i - 1
        others = [math.exp(cosines[i, j]) for j in range(8) if j != i]
        losses.append(-math.log(math.exp(cosines[i, own]) / sum(others)))
    assert float(nt_xent(jnp.asarray(views), 0.3)) == pytest.approx(np.mean(losses), rel=1e-5)


def test_distance_and_coding_rate_equal_their_definitions() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 6, 4)).astype(np.float32)
    gaps = np.square(units(x) - units(y)).sum(-1)
    assert float(distance(jnp.asarray(x), jnp.asarray(y))) == pytest.approx(gaps.mean(), rel=1e-5)
    z = units(x).astype(np.float64)
    determinant = np.linalg.slogdet(np.eye(4) + 4 / (6 * 0.05**2) * z.T @ z)[1]
    assert float(coding_rate(jnp.asarray(x), 0.05)) == pytest.approx(determinant / 2, rel=1e-5)
    # alike vectors fill one direction of four
    alike = float(coding_rate(jnp.ones((6, 4)), 0.05))
    assert alike == pytest.approx(0.5 * math.log(1 + 4 / 0.05**2), rel=1e-5)


def test_measures_of_known_constellations() -> None:
    watch = jax.jit(measures)
    alike = jnp.ones((4, 3))
    found = watch(alike, alike, alike)
    assert found["alignment"] == pytest.approx(0, abs=1e-6)
    assert found["uniformity"] == pytest.approx(0, abs=1e-6)
    assert found["spread"] == pytest.approx(0, abs=1e-6)
    corners = jnp.eye(4)
    found = watch(corners, corners, corners)
    # orthogonal unit vectors are a squared distance of 2 apart
    assert float(found["uniformity"]) == pytest.approx(-4.0, rel=1e-5)
    assert float(found["accuracy"]) == 1.0
    found = watch(corners, corners, corners[jnp.array([0, 1, 3, 2])])
    assert float(found["accuracy"]) == 0.5 and float(found["alignment"]) == pytest.approx(1.0)
    # six axes and their opposites: every direction alike
    axes = jnp.concatenate([jnp.eye(6), -jnp.eye(6)])
    assert float(watch(axes, axes, axes)["spread"]) == pytest.approx(1.0, rel=1e-5)


def batch_of(rows: int = 4, samples: int = 200) -> dict[str, Any]:
    signal = np.random.default_rng(0).normal(0, 300, (rows, samples, 12))
    return {
        "signal": jnp.asarray(signal, jnp.int16),
        "lead_mask": jnp.ones((rows, 12), bool).at[1, 3].set(False),
        "patient": jnp.arange(rows) // 2,
    }


def test_halves_are_pieces_of_the_same_ecg() -> None:
    batch = batch_of()
    pairs = two_views(batch, "halves", ViewConfig(), 250.0, jax.random.key(0))
    stored = np.asarray(batch["signal"]) / 1000.0
    stored[1, :, 3] = 0
    np.testing.assert_allclose(pairs.signal[::2], stored[:, :100], atol=1e-6)
    np.testing.assert_allclose(pairs.signal[1::2], stored[:, 100:], atol=1e-6)
    assert pairs.valid_samples is None


def test_each_view_has_changes_of_its_own() -> None:
    batch = {**batch_of(), "valid_samples": jnp.array([200, 150, 40, 200])}
    config = ViewConfig(crop_seconds=0.24, lead_masking=0.4)
    pairs = two_views(batch, "changes", config, 250.0, jax.random.key(0))
    assert pairs.signal.shape == (8, 60, 12) and pairs.valid_samples is not None
    assert pairs.valid_samples.tolist() == [60, 60, 60, 60, 40, 40, 60, 60]
    assert not np.asarray(pairs.signal[2:4, :, 3]).any()
    for first, second in zip(pairs.signal[::2], pairs.signal[1::2], strict=True):
        assert not np.array_equal(first, second)


def projected(heads: Any, x: np.ndarray) -> np.ndarray:
    """A multilayer perceptron whose hidden layer is normalised over the batch."""
    first, second = heads.layers
    x = x @ np.asarray(first.kernel[...]) + np.asarray(first.bias[...])
    x = np.maximum((x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5), 0)
    return x @ np.asarray(second.kernel[...]) + np.asarray(second.bias[...])


def vectors(module: Pretrainer, batch: dict[str, Any], predict: bool = False) -> list[np.ndarray]:
    """Projections of the two halves of a batch, by hand."""
    signal = np.asarray(batch["signal"], np.float32) / 1000
    signal = np.where(np.asarray(batch["lead_mask"])[:, None], signal, 0)
    both = np.concatenate([signal[:, :100], signal[:, 100:]])
    found = projected(module.heads.projector, np.asarray(module.encoder(both).tokens.mean(1)))
    return np.split(projected(module.heads.predictor, found) if predict else found, 2)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_the_loss_is_that_of_the_projected_halves(method: Any) -> None:
    """With a teacher that is another network: what BYOL and SimDINO look at."""
    objective = ViewsObjectiveConfig(method=method, projection=(7, 5), predictor_width=6)
    student, teacher = (Pretrainer(ToyConfig(), objective, jax.random.key(i)) for i in (0, 1))
    batch = batch_of()
    draw: Draw[Encoder] = Draw(jax.random.key(2), jnp.int32(0), teacher.encoder)
    draw = draw._replace(teacher_heads=teacher.heads)
    loss, metrics = jax.jit(
        lambda batch: objective.loss(student.encoder, student.heads, batch, draw, jnp.float32)
    )(batch)
    first, second = vectors(student, batch, predict=method == "byol")
    if method == "cmsc":
        expected = cmsc_loss(
            jnp.asarray(first), jnp.asarray(second), batch["patient"], 0.1, detach_norm=False
        )
    elif method == "simclr":
        expected = nt_xent(jnp.asarray(np.stack([first, second], 1).reshape(8, 5)), 0.1)
    else:
        of_first, of_second = (units(x) for x in vectors(teacher, batch))
        one, two = units(first), units(second)
        gaps = np.square(one - of_second).sum(-1) + np.square(two - of_first).sum(-1)
        expected = gaps.mean() / 2
        if method == "simdino":
            rates = [float(coding_rate(jnp.asarray(x), 0.05)) for x in (first, second)]
            assert float(metrics["coding_rate"]) == pytest.approx(np.mean(rates), rel=1e-4)
            expected -= 0.1 * np.mean(rates)
    assert float(loss) == pytest.approx(float(expected), rel=1e-3)
    assert {"loss", "alignment", "uniformity", "accuracy", "spread"} <= metrics.keys()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["byol", "simdino"])
def test_gradients_are_finite_in_bfloat16_and_none_is_the_teachers(method: Any) -> None:
    objective = ViewsObjectiveConfig(
        method=method, pair="changes", view=NOISE, projection=(8, 6), predictor_width=5
    )
    module = Pretrainer(CausalToyConfig(), objective, jax.random.key(0))
    graph, weights = nnx.split(module)

    def loss(weights: Any, teacher: Any) -> jax.Array:
        student, averaged = nnx.merge(graph, weights), nnx.merge(graph, teacher)
        draw: Draw[Encoder] = Draw(jax.random.key(1), jnp.int32(0), averaged.encoder)
        draw = draw._replace(teacher_heads=averaged.heads)
        batch = batch_of()
        return objective.loss(student.encoder, student.heads, batch, draw, jnp.bfloat16)[0]

    to_student, to_teacher = jax.jit(jax.grad(loss, (0, 1)))(weights, weights)
    sizes = [float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(to_student)]
    assert np.isfinite(sizes).all() and max(sizes) > 0
    assert all(not np.asarray(leaf).any() for leaf in jax.tree.leaves(to_teacher))


def test_a_projection_of_no_layer_is_none() -> None:
    x = jax.random.normal(jax.random.key(0), (3, 4))
    np.testing.assert_array_equal(Projection(4, (), jax.random.key(1))(x), x)
    one = Projection(4, (2,), jax.random.key(1))
    kernel, bias = (np.asarray(leaf[...]) for leaf in (one.layers[0].kernel, one.layers[0].bias))
    np.testing.assert_allclose(one(x), np.asarray(x) @ kernel + bias, rtol=1e-5, atol=1e-6)


def test_what_it_needs_follows_the_method() -> None:
    found = {method: ViewsObjectiveConfig(method=method) for method in METHODS}
    assert found["cmsc"].columns == {"patient"} and not found["simclr"].columns
    assert found["cmsc"].teacher is None and found["simclr"].teacher is None
    assert found["byol"].teacher == TeacherDecay(0.99, 1.0, "cosine", heads=True)
    assert found["cmsc"].whole
    whole = ViewsObjectiveConfig(pair="changes", view=NOISE)
    assert not whole.whole and whole.seen(2500, 250.0) == ((2, 2500, True),)
    piece = ViewsObjectiveConfig(method="simdino", view=ViewConfig(crop_seconds=3))
    assert piece.seen(2500, 250.0) == ((2, 750, True), (2, 750, False))
    assert found["cmsc"].seen(2501, 250.0) == ((2, 1250, True),)


def test_what_cannot_work_is_refused_with_a_sentence() -> None:
    with pytest.raises(ValidationError, match="pair=changes compares an ECG with itself unless"):
        ViewsObjectiveConfig(pair="changes")
    crop = ViewsObjectiveConfig(view=ViewConfig(crop_seconds=6))
    with pytest.raises(
        UserError, match="^objective.view.crop_seconds=6 is longer than the ECGs of x"
    ):
        crop.check_signals(ToyConfig(), SignalContract(), "x")
    crop.check_signals(ToyConfig(), SignalContract(seconds=12), "x")
    simdino = ViewsObjectiveConfig(method="simdino", projection=(9,))
    module = Pretrainer(ToyConfig(), simdino, jax.random.key(0))
    draw: Draw[Encoder] = Draw(jax.random.key(2), jnp.int32(0), module.encoder)
    draw = draw._replace(teacher_heads=module.heads)
    with pytest.raises(
        UserError, match="width 9 over a batch, which needs at least 5 ECGs .* not 4"
    ):
        simdino.loss(module.encoder, module.heads, batch_of(), draw, jnp.float32)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["simclr", "byol"])
def test_it_learns(method: Any) -> None:
    """Two halves of an ECG are told from those of others, or come together without collapse."""
    objective = ViewsObjectiveConfig(method=method, projection=(32, 16))
    found = learned(CausalToyConfig(width=32), objective, steps=40, learning_rate=1e-2)
    late = {name: values[-10:].mean() for name, values in found.items()}
    if method == "simclr":
        assert late["loss"] < 0.75 * math.log(63)
    assert late["loss"] < 0.6 * found["loss"][0]
    assert late["uniformity"] < -0.5 and late["spread"] > 0.1  # 0 and 0 where all is alike
    assert late["accuracy"] > 4 / 32
