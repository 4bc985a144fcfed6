"""What a pretraining step has to compute, counted from the architecture."""

from deepecg_jax.config import PretrainConfig
from deepecg_jax.signals.contract import SignalContract

# the gradient of a product is two products of its size (Kaplan et al. 2020, section 2.1)
FORWARD_AND_BACKWARD = 3.0


def step_flops(config: PretrainConfig, contract: SignalContract) -> dict[str, float] | None:
    """Operations of the matrix products of one step over the global batch, by part.

    Three times the forward pass: the encoder's products on what the objective shows it, and the
    objective's own; once where a pass has no gradient. Work that is repeated to save memory does
    not count, nor do norms, activations and softmax.

    Args:
        config: of the pretraining.
        contract: of the ECGs, before ``augment``.

    Returns:
        Parts of the encoder and of the objective; None where the family of the encoder does not
        count its products.
    """
    parts = config.train.accumulation
    batch = config.train.global_batch // parts
    shown = config.augment.shown(contract)
    counts: dict[str, float] = {}
    for seen in config.objective.seen(shown.n_samples, shown.sampling_rate):
        encoder = config.model.flops(seen.samples, seen.rows * batch)
        if encoder is None:
            return None
        passes = FORWARD_AND_BACKWARD if seen.trained else 1.0
        for name, count in encoder.items():
            counts[name] = counts.get(name, 0.0) + passes * parts * count
    own = config.objective.flops(config.model, shown.n_samples, batch)
    return counts | {name: FORWARD_AND_BACKWARD * parts * count for name, count in own.items()}
