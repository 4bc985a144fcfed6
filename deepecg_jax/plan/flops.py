"""What a pretraining step has to compute, counted from the architecture."""

from deepecg_jax.config import PretrainConfig

# the gradient of a product is two products of its size (Kaplan et al. 2020, section 2.1)
FORWARD_AND_BACKWARD = 3.0


def step_flops(config: PretrainConfig, n_samples: int) -> dict[str, float] | None:
    """Operations of the matrix products of one step over the global batch, by part.

    Three times the forward pass: the encoder's products on what the objective shows it, and the
    objective's own. Work that is repeated to save memory does not count, nor do norms, activations
    and softmax.

    Args:
        config: of the pretraining.
        n_samples: samples of an ECG.

    Returns:
        Parts of the encoder and of the objective; None where the family of the encoder does not
        count its products.
    """
    parts = config.train.accumulation
    batch = config.train.global_batch // parts
    rows, samples = config.objective.seen(n_samples)
    encoder = config.model.flops(samples, rows * batch)
    if encoder is None:
        return None
    own = config.objective.flops(config.model, n_samples, batch)
    return {
        name: FORWARD_AND_BACKWARD * parts * count for name, count in ({**encoder, **own}).items()
    }
