"""The context of an encoder without the tokens that are hidden from it.

An encoder that can leave tokens out (``DROPS_TOKENS``) computes the others alone; one that can hide
them (``HIDES_TOKENS``) puts its mask embedding in their places.
"""

import jax
import jax.numpy as jnp

from deepecg_jax.errors import UserError
from deepecg_jax.models.encoder import Encoder, EncoderConfig, Features
from deepecg_jax.models.families import FAMILIES
from deepecg_jax.objectives.masking.selection import as_indices, take_tokens

Array = jax.Array


def can_hide(encoder: EncoderConfig | type[EncoderConfig]) -> bool:
    """Whether tokens can be kept from the context, and are a task for it then."""
    able = encoder.HIDES_TOKENS or encoder.DROPS_TOKENS
    return able and encoder.FEATURES_BEFORE_CONTEXT


def require_hiding(encoder: EncoderConfig, kind: str, instead: str) -> None:
    """UserError, one sentence, where `can_hide` says no.

    kind: of the objective. instead: what else could be done, after "or".
    """
    if can_hide(encoder):
        return
    able = [name for name, family in FAMILIES.items() if can_hide(family)]
    raise UserError(
        f"objective.kind={kind} hides tokens between the features and the context of an encoder, "
        f"which model.kind={encoder.kind} cannot do; choose model.kind={' or '.join(able)}, or "
        f"{instead}."
    )


def visible_context(
    encoder: Encoder, features: Features, hidden: Array, most: int | None, key: Array | None
) -> Array:
    """The tokens in a context without the hidden ones.

    hidden: (B, N) bool; at least one token of each row is not.
    most: leave them out: (B, most, D), the visible ones first, in their order; it is the most that
        any row shows. None: hide them: (B, N, D).
    """
    if most is None:
        return encoder.context(features, hidden=hidden, key=key).tokens
    kept = as_indices(~hidden, most)
    padding = kept.padding
    if features.padding is not None:
        padding = padding | jnp.take_along_axis(features.padding, kept.indices, axis=1)
    return encoder.context_of(features, kept.indices, padding=padding, key=key).tokens


def in_place(tokens: Array, hidden: Array, stand_in: Array) -> Array:
    """Visible tokens (B, K, D) at their places among all, (B, N, D), ``stand_in`` (B, N, D) in
    those of the hidden ones, (B, N) bool.
    """
    number = jnp.maximum(jnp.cumsum(~hidden, axis=1) - 1, 0)
    return jnp.where(hidden[..., None], stand_in, take_tokens(tokens, number))


def saved_flops(encoder: EncoderConfig, n_samples: int, kept: int, batch: int) -> dict[str, float]:
    """What leaving out all but ``kept`` of an ECG's tokens saves of an encoder's products, as a
    negative part to be added to them; nothing where the family does not count them.

    It is what an ECG of so many tokens would cost: less than is spent on the features.
    """
    samples = kept // encoder.token_groups * encoder.samples_per_token
    whole, part = encoder.flops(n_samples, batch), encoder.flops(samples, batch)
    if whole is None or part is None:
        return {}
    return {"tokens_left_out": sum(part.values()) - sum(whole.values())}
