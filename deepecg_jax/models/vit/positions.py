"""Which tokens of leads and times see each other."""

import jax
import jax.numpy as jnp

Array = jax.Array


def crossing(places: Array, n_times: int) -> Array:
    """Which tokens share a lead or a time: Kim's cross-pattern attention (2024).

    places: (B, K) int, of tokens among those of all leads, ``n_times`` of each.
    Result: (B, K + 1, K + 1) bool. The first is the register, which sees all and is seen by all.
    """
    lead, time = places // n_times, places % n_times
    same = [of[:, :, None] == of[:, None, :] for of in (lead, time)]
    return jnp.pad(same[0] | same[1], ((0, 0), (1, 0), (1, 0)), constant_values=True)
