"""Attention: every way to compute it gives the same numbers; a kernel that cannot is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deepecg_jax.models import execution
from deepecg_jax.models.blocks import attention_cores
from deepecg_jax.models.blocks.attention_cores import CORES, chosen_core
from deepecg_jax.models.blocks.dropout import position_bits
from deepecg_jax.models.execution import Execution
from deepecg_jax.models.wcr.config import WCRConfig

SHAPE = (3, 4, 13, 8)  # B, H, N, d
RATE = 0.25


@pytest.fixture
def inputs():
    keys = jax.random.split(jax.random.key(0), 4)
    q, k, v, slope = (jax.random.normal(key, SHAPE) for key in keys)
    keep = jnp.arange(13)[None, None, None] < jnp.array([13, 9, 1])[:, None, None, None]
    return q, k, v, keep, slope


def written_out(q, k, v, keep, rate, key):
    """Attention as in the paper (Vaswani et al. 2017), with inverted dropout."""
    logits = q @ k.transpose(0, 1, 3, 2) / np.sqrt(q.shape[-1])
    probabilities = jax.nn.softmax(jnp.where(keep, logits, -jnp.inf), axis=-1)
    if rate:
        stays = position_bits(key, probabilities.shape) >= np.uint32(round(rate * 2**32))
        probabilities = jnp.where(stays, probabilities / (1 - rate), 0.0)
    return probabilities @ v


@pytest.mark.parametrize("rate", [0.0, RATE])
@pytest.mark.parametrize("padded", [True, False])
def test_values_and_gradients_are_those_of_the_formula(inputs, rate, padded):
    q, k, v, keep, slope = inputs
    keep = keep if padded else jnp.ones_like(keep)
    key = jax.random.key(7)

    def own(q, k, v):
        return CORES["xla"](q, k, v, keep if padded else None, rate, key)

    def formula(q, k, v):
        return written_out(q, k, v, keep, rate, key)

    y, back = jax.vjp(own, q, k, v)
    expected, expected_back = jax.vjp(formula, q, k, v)
    np.testing.assert_allclose(y, expected, atol=2e-6)
    for ours, theirs in zip(back(slope), expected_back(slope), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=5e-6)


def test_evaluation_drops_nothing(inputs):
    q, k, v, keep, _ = inputs
    a, b = (CORES["xla"](q, k, v, keep, rate, None) for rate in (0.0, RATE))
    np.testing.assert_array_equal(a, b)


def test_splash_gives_the_same_numbers(inputs, monkeypatch):
    """The TPU's kernel, interpreted."""
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as kernels

    make = kernels.make_splash_mha_single_device
    monkeypatch.setattr(
        kernels, "make_splash_mha_single_device", lambda mask: make(mask=mask, interpret=True)
    )
    q, k, v, keep, _ = inputs
    wide = [jnp.pad(x, ((0, 0),) * 3 + ((0, 56),)) for x in (q, k, v)]
    wide[0] = wide[0] * np.sqrt(64 / 8)  # the kernel's heads are 64 wide: the same logits
    y = CORES["splash"](*wide, keep, 0.0, None)
    expected = CORES["xla"](*wide, keep, 0.0, None)
    np.testing.assert_allclose(y, expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("n", [12, 13])
@pytest.mark.parametrize("mask", ["none", "keys", "pairs"])
def test_cudnn_is_given_what_it_takes_and_gives_the_same_numbers(inputs, monkeypatch, n, mask):
    """By JAX's plain implementation of the same interface, with what cuDNN's refuses refused."""
    q, k, v, keep, slope = inputs
    q, k, v, slope = (x[:, :, :n] for x in (q, k, v, slope))
    pairs = jnp.tril(jnp.ones((1, 1, n, n), bool))
    keep = {"none": None, "keys": keep[..., :n], "pairs": pairs}[mask]
    plain = jax.nn.dot_product_attention

    def cudnn(q, k, v, mask, implementation, **lengths):
        tokens = q.shape[1]
        assert implementation == "cudnn" and tokens % 2 == 0
        assert mask is None or mask.shape[2:] == (tokens, tokens)
        return plain(q, k, v, mask=mask, implementation="xla", **lengths)

    monkeypatch.setattr(jax.nn, "dot_product_attention", cudnn)
    y, back = jax.vjp(lambda *x: CORES["cudnn"](*x, keep, 0.0, None), q, k, v)
    expected, expected_back = jax.vjp(lambda *x: CORES["xla"](*x, keep, 0.0, None), q, k, v)
    np.testing.assert_allclose(y, expected, atol=2e-6)
    for ours, theirs in zip(back(slope), expected_back(slope), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=5e-6)


@pytest.mark.parametrize(
    ("wanted", "platform", "dtype", "rate", "chosen"),
    [
        ("auto", "cpu", jnp.float32, 0.1, "xla"),
        ("auto", "tpu", jnp.bfloat16, 0.0, "xla"),
        ("auto", "gpu", jnp.bfloat16, 0.1, "xla"),
        ("auto", "gpu", jnp.float32, 0.0, "xla"),
        ("auto", "gpu", jnp.bfloat16, 0.0, "cudnn"),
        ("xla", "gpu", jnp.bfloat16, 0.0, "xla"),
        ("cudnn", "gpu", jnp.bfloat16, 0.0, "cudnn"),
        ("splash", "tpu", jnp.bfloat16, 0.0, "splash"),
    ],
)
def test_the_fastest_that_can_do_the_work(wanted, platform, dtype, rate, chosen):
    name, reason = chosen_core(wanted, platform, dtype, rate)
    assert name == chosen and reason


@pytest.mark.parametrize(
    ("wanted", "platform", "dtype", "rate", "why"),
    [
        ("cudnn", "cpu", jnp.bfloat16, 0.0, "runs on GPU only, not on cpu"),
        ("splash", "gpu", jnp.bfloat16, 0.0, "runs on TPU only, not on gpu"),
        ("cudnn", "gpu", jnp.float32, 0.0, "computes in bfloat16, not in float32"),
        ("cudnn", "gpu", jnp.bfloat16, 0.1, r"attention_dropout=0\.1"),
    ],
)
def test_a_kernel_that_cannot_is_refused(wanted, platform, dtype, rate, why):
    with pytest.raises(ValueError, match=why):
        chosen_core(wanted, platform, dtype, rate)


def test_dropout_of_probabilities_is_no_fused_kernels(inputs):
    q, k, v, keep, _ = inputs
    for name in ("cudnn", "splash"):
        with pytest.raises(ValueError, match="cannot drop"):
            attention_cores.CORES[name](q, k, v, keep, 0.1, jax.random.key(0))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layout", "padded"),
    [(execution.PLATFORMS["gpu"], False), (execution.PLATFORMS["tpu"], True)],
    ids=["gpu", "tpu"],
)
def test_an_encoder_is_the_same_as_each_platform_computes_it(layout, padded, monkeypatch):
    """Tokens and gradients, with dropout off: its bits follow the position, which padding moves."""
    config = WCRConfig(size="tiny", layers=1, dropout=0.0, attention_dropout=0.0, dropout_input=0.0)
    encoder = config.build(jax.random.key(0))
    signal = jax.random.normal(jax.random.key(1), (2, 1250, 12))
    valid = jnp.array([1250, 700]) if padded else None

    def value(layout: Execution):
        monkeypatch.setitem(execution.PLATFORMS, "cpu", layout)

        def total(signal):
            output = encoder(signal, valid_samples=valid, key=jax.random.key(2))
            return jnp.sum(jnp.sin(output.tokens)), output.tokens

        (_, tokens), slope = jax.value_and_grad(total, has_aux=True)(signal)
        return np.asarray(tokens), np.asarray(slope)

    tokens, slope = value(execution.PLATFORMS["cpu"])
    other_tokens, other_slope = value(layout)
    np.testing.assert_allclose(other_tokens, tokens, atol=2e-5)
    np.testing.assert_allclose(other_slope, slope, atol=2e-5 * np.abs(slope).max())
