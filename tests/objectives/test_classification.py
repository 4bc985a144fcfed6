"""Classification losses against PyTorch and by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deepecg_jax.objectives.classification import classification_loss, elementwise_loss
from deepecg_jax.objectives.config import LossConfig

KINDS = ("bce", "focal", "asymmetric", "soft_margin", "squared_error")


def torch_loss(kind: str, logits, target):
    """The published criterions, elementwise, with automatic differentiation."""
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    p = torch.sigmoid(logits)
    if kind == "squared_error":
        return (logits - target) ** 2
    if kind == "focal":
        entropy = functional.binary_cross_entropy(p, target, reduction="none")
        right = p * target + (1 - p) * (1 - target)
        return (0.25 * target + 0.75 * (1 - target)) * (1 - right) ** 2 * entropy
    if kind == "asymmetric":
        not_p = (1 - p + 0.05).clamp(max=1)
        entropy = target * p.clamp(min=1e-8).log() + (1 - target) * not_p.clamp(min=1e-8).log()
        right = p * target + not_p * (1 - target)
        return -entropy * (1 - right) ** (4 * (1 - target))
    return functional.binary_cross_entropy_with_logits(logits, target, reduction="none")


@pytest.mark.parametrize("kind", KINDS)
def test_values_and_slopes_are_torchs(kind) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 4, (20, 7)).astype(np.float32)
    target = (rng.random((20, 7)) < 0.3).astype(np.float32)
    config = LossConfig(kind=kind)
    variable = torch.tensor(logits, requires_grad=True)
    expected = torch_loss(kind, variable, torch.tensor(target))
    expected.sum().backward()
    found = elementwise_loss(jnp.asarray(logits), jnp.asarray(target), config)
    np.testing.assert_allclose(found, expected.detach().numpy(), rtol=2e-5, atol=1e-6)
    slope = jax.grad(lambda z: elementwise_loss(z, jnp.asarray(target), config).sum())
    np.testing.assert_allclose(
        slope(jnp.asarray(logits)), variable.grad.numpy(), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("kind", KINDS)
def test_certain_logits_give_finite_losses_and_slopes(kind) -> None:
    logits = jnp.array([[60.0, -60.0, 100.0, -100.0, 0.0]])
    config = LossConfig(kind=kind)
    for labels in (jnp.zeros((1, 5)), jnp.ones((1, 5))):
        loss, slope = jax.value_and_grad(classification_loss)(logits, labels, config)
        assert np.isfinite(loss) and np.isfinite(slope).all()


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_labels_do_not_count(kind) -> None:
    logits = jnp.array([[2.0, -1.0], [0.5, 3.0]])
    labels = jnp.array([[1.0, -1.0], [0.0, 1.0]])
    config = LossConfig(kind=kind)
    each = elementwise_loss(logits, jnp.maximum(labels, 0), config)
    known = [float(each[0, 0]), float(each[1, 0]), float(each[1, 1])]
    mean = classification_loss(logits, labels, config)
    assert float(mean) == pytest.approx(np.mean(known), rel=1e-6)
    assert float(classification_loss(logits, -jnp.ones((2, 2)), config)) == 0.0
    slope = jax.grad(lambda z: classification_loss(z, labels, config))(logits)
    assert float(slope[0, 1]) == 0.0 and float(slope[0, 0]) != 0.0


def test_normalization_by_positives() -> None:
    logits = jnp.array([[2.0, -1.0, 0.3], [0.5, 3.0, -2.0]])
    labels = jnp.array([[1.0, 1.0, -1.0], [0.0, 1.0, 0.0]])
    bce = LossConfig()
    each = np.asarray(elementwise_loss(logits, jnp.maximum(labels, 0), bce))
    total = each[0, :2].sum() + each[1].sum()
    found = classification_loss(logits, labels, bce, "positives")
    assert float(found) == pytest.approx(total / 3, rel=1e-6)
    margin = classification_loss(logits, labels, LossConfig(kind="soft_margin"), "positives")
    assert float(margin) == pytest.approx((each[0, :2].mean() + each[1].mean()) / 3, rel=1e-6)
    none = classification_loss(logits, jnp.zeros((2, 3)), bce, "positives")
    assert float(none) == pytest.approx(
        float(elementwise_loss(logits, jnp.zeros((2, 3)), bce).sum()), rel=1e-6
    )
