"""Floating-point operations of one forward pass, counted from the architecture."""

from deepecg_jax.models.blocks.transformer import transformer_flops
from deepecg_jax.models.wcr.positional import fourier_bases
from deepecg_jax.models.wcr.shape import WCRShape


def forward_flops(config: WCRShape, n_samples: int, batch: int = 1) -> dict[str, float]:
    """Operations of the matrix products of the encoder, two for each multiplication and addition.

    Norms, activations and softmax are left out: some per cent. The positional convolution is
    counted as it is computed, in the frequency domain; the spectrum of its kernel is shared by a
    batch.

    Args:
        config: the encoder.
        n_samples: samples of an ECG.
        batch: ECGs computed at once.

    Returns:
        ``stem``, ``projection``, ``positional``, ``attention`` and ``feed_forward``, for the whole
        batch.
    """
    stem, n, n_in = 0.0, n_samples, config.leads
    for width, kernel, stride in config.conv_layers:
        n = (n - kernel) // stride + 1
        stem += 2.0 * n * kernel * n_in * width
        n_in = width
    d, size = config.width, config.width // config.positional_groups
    projection = 2.0 * n * n_in * d if n_in != d else 0.0
    columns = fourier_bases(n, config.positional_kernel)[0].shape[1]  # two a frequency
    there_and_back = 2 * 2.0 * n * columns * d
    # a complex product is one real product twice as wide and twice as deep
    mixing = (columns / 2) * 2.0 * (2 * size) * (2 * d)
    shared = 2.0 * config.positional_kernel * columns * size * d
    return {
        "stem": batch * stem,
        "projection": batch * projection,
        "positional": batch * (there_and_back + mixing) + shared,
        **{part: batch * count for part, count in transformer_flops(config, n).items()},
    }
