"""State spaces against their definition, step by step in double precision."""

import math
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from deepecg_jax.models.execution import PLATFORMS
from deepecg_jax.models.s4.config import S4Config
from deepecg_jax.models.s4.convolution import BLOCK, WAYS, by_fft, by_products, fast_size
from deepecg_jax.models.s4.discrete import Continuous, Discrete, bilinear, kernels
from deepecg_jax.models.s4.hippo import legs, legs_matrix
from deepecg_jax.models.s4.state_space import StateSpace

WIDTH = 3
discrete_of = jax.jit(bilinear)
kernels_of = jax.jit(kernels, static_argnums=1)


def drawn(low_rank: bool, state: int = 8, directions: int = 1, seed: int = 0) -> Continuous:
    """A state space none of whose numbers is special, a step each in the range of the layer."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> jax.Array:
        return jnp.asarray(rng.standard_normal(shape), jnp.float32)

    return Continuous(
        step=jnp.asarray([1e-3, 1e-2, 1e-1], jnp.float32),
        decay=jnp.asarray(rng.uniform(0.3, 1.0, state // 2), jnp.float32),
        frequency=jnp.asarray(rng.uniform(0.5, 12.0, state // 2), jnp.float32),
        low_rank=normal(state) if low_rank else None,
        input=normal(state),
        output=normal(directions, WIDTH, state),
        skip=normal(WIDTH),
    )


def complex_of(values: Any) -> np.ndarray:
    """What stands for N / 2 conjugate pairs, as N complex numbers in double precision."""
    real, imaginary = np.split(np.asarray(values, np.float64), 2, -1)
    half = real + 1j * imaginary
    return np.concatenate([half, half.conj()], -1)


def recurred(space: Continuous, u: np.ndarray, direction: int = 0) -> np.ndarray:
    """y of u, (T,) -> (H, T): the dense complex matrix, the bilinear rule, a loop over time."""
    pole = -np.asarray(space.decay, np.float64) + 1j * np.asarray(space.frequency, np.float64)
    matrix = np.diag(np.concatenate([pole, pole.conj()]))
    if space.low_rank is not None:
        p = complex_of(space.low_rank)
        matrix = matrix - np.outer(p, p.conj())
    b, c = complex_of(space.input), complex_of(space.output)[direction]
    eye, outputs = np.eye(len(b)), []
    for h, step in enumerate(np.asarray(space.step, np.float64)):
        inverse = np.linalg.inv(eye - step / 2 * matrix)
        transition, into = inverse @ (eye + step / 2 * matrix), inverse @ (step * b)
        x, y = np.zeros(len(b), complex), []
        for value in u:
            x = transition @ x + into * value
            y.append((c[h] @ x).real)
        outputs.append(y)
    return np.array(outputs)


def impulse(length: int) -> np.ndarray:
    return np.eye(length)[0]


@pytest.mark.parametrize("low_rank", [True, False], ids=["nplr", "diagonal"])
@pytest.mark.parametrize("state", [2, 8])
def test_kernel_is_the_recurrence(low_rank: bool, state: int) -> None:
    space = drawn(low_rank, state)
    found = np.asarray(kernels_of(discrete_of(space), 300)[0])
    expected = recurred(space, impulse(300))
    expected[:, 0] += np.asarray(space.skip)
    np.testing.assert_allclose(found, expected, atol=1e-4 * max(1.0, np.abs(expected).max()))
    # the low rank is no small thing
    other = recurred(space._replace(low_rank=None), impulse(300))
    assert (np.abs(other - expected)[:, 1:].max() > 0.01) == low_rank


@pytest.mark.parametrize("length", [1, 2, 17, 65, 313])
def test_a_kernel_is_the_beginning_of_a_longer_one(length: int) -> None:
    space = discrete_of(drawn(True))
    found, longer = kernels_of(space, length), kernels_of(space, 400)
    assert found.shape == (1, WIDTH, length)
    np.testing.assert_allclose(found, longer[..., :length], atol=1e-5)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("directions", [1, 2], ids=["causal", "bidirectional"])
def test_convolution_is_the_recurrence_of_any_signal(way: str, directions: int) -> None:
    """Backwards in time the second state space runs up to the token before."""
    length = 150
    space, rng = drawn(True, directions=directions), np.random.default_rng(1)
    u = rng.standard_normal(length)
    expected = recurred(space, u) + np.asarray(space.skip)[:, None] * u
    if directions == 2:
        expected[:, :-1] += recurred(space, u[::-1], 1)[:, ::-1][:, 1:]
    x = jnp.broadcast_to(jnp.asarray(u, jnp.float32)[None, :, None], (1, length, WIDTH))
    found = np.asarray(jax.jit(WAYS[way])(x, discrete_of(space)))[0].T
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def slopes_of(way: str, x: jax.Array, space: Discrete) -> Any:
    def value(x: jax.Array, space: Discrete) -> jax.Array:
        y = WAYS[way](x, space).astype(jnp.float32)
        return jnp.sum(y * jnp.cos(jnp.arange(y.size).reshape(y.shape)))

    return jax.jit(jax.value_and_grad(value, (0, 1)))(x, space)


@pytest.mark.slow
@pytest.mark.parametrize("length", [40, 2 * BLOCK + 9])
def test_both_ways_agree_with_their_gradients(length: int) -> None:
    space = discrete_of(drawn(True, directions=2))
    x = jax.random.normal(jax.random.key(0), (2, length, WIDTH))
    ours, theirs = (slopes_of(way, x, space) for way in WAYS)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4 * float(jnp.abs(b).max()))


@pytest.mark.slow
def test_bfloat16_rounds_activations_alone() -> None:
    """The kernel is that of float32: what is lost is what rounding the signal loses."""
    space = discrete_of(drawn(True, directions=2))
    x = jax.random.normal(jax.random.key(0), (2, 150, WIDTH)).astype(jnp.bfloat16)
    exact = jax.jit(by_fft)(x.astype(jnp.float32), space)
    for way in (by_fft, by_products):
        found = jax.jit(way)(x, space)
        assert found.dtype == jnp.bfloat16
        error = jnp.abs(found.astype(jnp.float32) - exact).max() / jnp.abs(exact).max()
        assert float(error) < 0.01


def test_no_array_is_as_large_as_channels_times_time_squared() -> None:
    length, width = 1024, 4
    shapes = ((width, 8, 8), (width, 8), (1, width, 8), (width,))
    space = Discrete(*(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes))
    x = jax.ShapeDtypeStruct((1, length, width), jnp.float32)
    for way in WAYS.values():
        program = jax.jit(way).lower(x, space).as_text()
        found = re.findall(r"tensor<((?:\d+x)+)", program)
        sizes = [math.prod(map(int, shape[:-1].split("x"))) for shape in found]
        assert max(sizes) <= width * length * 2 * BLOCK < width * length**2


def test_hippo() -> None:
    """Its eigenvalues are -1 to -N, and it is what the layer's form says."""
    spectrum = legs(8)
    pole = -spectrum.decay + 1j * spectrum.frequency
    p = np.concatenate([spectrum.low_rank] * 2)
    matrix = np.diag(np.concatenate([pole, pole.conj()])) - np.outer(p, p)
    values = np.sort(np.linalg.eigvals(matrix).real)
    np.testing.assert_allclose(values, np.sort(np.linalg.eigvals(legs_matrix(8)).real), atol=1e-8)
    np.testing.assert_allclose(values, -np.arange(8, 0, -1), atol=1e-8)
    # the same answer to an impulse as the real matrix: c = b on both sides, by its real vector
    real_b = np.sqrt(2 * np.arange(8) + 1.0)
    b = np.concatenate([spectrum.input] * 2)
    for n in range(4):
        ours = (b @ np.linalg.matrix_power(matrix, n) @ b).real
        theirs = real_b @ np.linalg.matrix_power(legs_matrix(8), n) @ real_b
        assert ours == pytest.approx(theirs)


def test_what_it_begins_with() -> None:
    config = S4Config(width=4000, state=8)
    space = StateSpace(config, jax.random.key(0))
    log_step = np.asarray(space.log_step[...])
    assert math.log(1e-3) <= log_step.min() and log_step.max() <= math.log(1e-1)
    assert log_step.mean() == pytest.approx(math.log(1e-2), abs=0.1)  # log-uniform
    output, skip = np.asarray(space.output[...]), np.asarray(space.skip[...])
    assert (output**2).mean() == pytest.approx(0.5, abs=0.02)
    assert (skip**2).mean() == pytest.approx(1.0, abs=0.1)
    plain = StateSpace(S4Config(width=4, kernel="diagonal"), jax.random.key(0))
    assert plain.low_rank is None and plain.discrete().transition.shape == (4, 8, 8)


def test_what_is_trained() -> None:
    def names(learn: bool) -> set[str]:
        config = S4Config(width=4, learn_state=learn)
        space = nnx.eval_shape(lambda: StateSpace(config, jax.random.key(0)))
        return set(nnx.to_pure_dict(nnx.state(space, nnx.Param)))

    assert names(False) == {"output", "skip"}
    assert names(True) == {"output", "skip", "log_step", "log_decay", "frequency", "input"} | {
        "low_rank"
    }


def test_platforms_and_sizes_of_transforms() -> None:
    assert {place: PLATFORMS[place].long_convolution for place in PLATFORMS} == {
        "cpu": "fft",
        "gpu": "fft",
        "tpu": "products",
    }
    assert [fast_size(n) for n in (1, 7, 599, 2499)] == [1, 8, 600, 2500]
