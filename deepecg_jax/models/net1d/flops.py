"""Floating-point operations of one forward pass, counted from the architecture."""

from deepecg_jax.models.net1d.shape import Net1DShape


def forward_flops(config: Net1DShape, n_samples: int, batch: int = 1) -> dict[str, float]:
    """Operations of the convolutions and of the gates, two for each multiplication and addition.

    Norms, activations and pooling are left out. A tap that sees the zeros around an ECG is counted
    like any other.

    Args:
        config: the encoder.
        n_samples: samples of an ECG.
        batch: ECGs computed at once.

    Returns:
        ``stem``, ``pointwise`` (convolutions of one tap in blocks and shortcuts), ``convolution``
        (the others of the blocks) and ``gate``, for the whole batch.
    """
    n, n_in = -(-n_samples // config.stem_stride), config.stem_width
    stem = 2.0 * n * config.stem_kernel * config.leads * n_in
    pointwise = convolution = gate = 0.0
    for stage in config.stages:
        width = stage.width
        for i in range(stage.depth):
            stride = stage.stride if i == 0 else 1
            before, n = n, -(-n // stride)
            if stage.block == "basic":
                convolution += 2.0 * n * stage.kernel * (n_in + width) * width
                changes = stride != 1 or n_in != width
                pointwise += 2.0 * n * n_in * width if changes else 0.0
            else:
                convolution += 2.0 * n * stage.kernel * stage.group_width * width
                pointwise += 2.0 * before * n_in * width + 2.0 * n * width * width
                gate += 2 * 2.0 * width * max(width // stage.reduction, 1)
            n_in = width
    return {
        "stem": batch * stem,
        "pointwise": batch * pointwise,
        "convolution": batch * convolution,
        "gate": batch * gate,
    }
