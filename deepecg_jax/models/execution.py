"""How layers are computed on each platform: the only place where platforms differ.

No number depends on a choice here beyond rounding. Why: docs/benchmarks_accelerator.md (GPU,
measured) and docs/plan.md (TPU, from the compiler's estimates).
"""

from typing import Literal, NamedTuple

from deepecg_jax.models.sharding import axis_size, platform

Remat = Literal["none", "dots", "full"]
LongConvolution = Literal["fft", "products"]


class Execution(NamedTuple):
    """What suits a platform.

    Attributes:
        folded: leading axes are folded into one before a product. XLA:CPU is up to 1.6 times slower
            with the gradient of a product that contracts over two axes; on TPU folding costs a copy
            where the tokens are no multiple of 8.
        token_multiple: tokens are padded to a multiple of this (a TPU register holds 8).
        remat: what a layer keeps for the backward pass where a config says ``auto``.
        unrolled: the loop over layers is written out where a config says 0: nothing is then copied
            in and out of stacked arrays.
        long_convolution: how a state space (S4) is computed: by fast Fourier transforms or by
            products over blocks of tokens. On two CPU cores the transforms take 0.5 to 0.85 of the
            time. XLA:TPU has no fast transform: by its estimates, of a layer of 512 channels on 300
            tokens and v5e, the products, which its MXU computes, take 0.2 of the time.
    """

    folded: bool
    token_multiple: int
    remat: Remat
    unrolled: bool
    long_convolution: LongConvolution


PLATFORMS: dict[str, Execution] = {
    "cpu": Execution(
        folded=True, token_multiple=1, remat="none", unrolled=False, long_convolution="fft"
    ),
    "gpu": Execution(
        folded=True, token_multiple=1, remat="dots", unrolled=False, long_convolution="fft"
    ),
    "tpu": Execution(
        folded=False, token_multiple=8, remat="none", unrolled=True, long_convolution="products"
    ),
}


def execution() -> Execution:
    """What suits the platform that the program being traced is for (`sharding.platform`)."""
    chosen = PLATFORMS.get(platform(), PLATFORMS["gpu"])
    # folding would collect a kernel that is split by heads
    return chosen._replace(folded=chosen.folded and axis_size("tensor") == 1)
