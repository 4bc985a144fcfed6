"""Floating-point operations of one forward pass, counted from the architecture."""

from deepecg_jax.models.s4.convolution import BLOCK
from deepecg_jax.models.s4.shape import S4Shape


def forward_flops(config: S4Shape, n_samples: int, batch: int = 1) -> dict[str, float]:
    """Operations of the matrix products of the encoder, two for each multiplication and addition.

    Norms, activations and gates are left out: some per cent. The state spaces are counted as
    products over blocks of tokens, as they are computed on TPU; three Fourier transforms, as on
    other platforms, take about as many. Their kernels, a share of a per cent, are shared by a batch
    and left out too.

    Args:
        config: the encoder.
        n_samples: samples of an ECG.
        batch: ECGs computed at once.

    Returns:
        ``stem``, ``state_spaces`` and ``mixing``, for the whole batch.
    """
    stem, n, n_in = 0.0, n_samples, config.leads
    for layer in config.conv_layers:
        n = layer.n_tokens(n)
        stem += 2.0 * n * layer.kernel * n_in * layer.width
        n_in = layer.width
    block, d, state = min(BLOCK, n), config.width, config.state
    blocks, directions = -(-n // block), 1 if config.causal else 2
    within = 2.0 * blocks * block * block * d
    # into the state of each block, from block to block, out of it
    across = 2.0 * directions * blocks * d * state * (2 * block + state) if blocks > 1 else 0.0
    return {
        "stem": batch * stem,
        "state_spaces": batch * config.layers * (within + across),
        "mixing": batch * config.layers * 2.0 * n * d * 2 * d,
    }
