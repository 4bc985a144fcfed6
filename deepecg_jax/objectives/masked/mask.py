"""What masked autoencoding hides of an ECG."""

import jax
import jax.numpy as jnp

from deepecg_jax.errors import UserError
from deepecg_jax.models.sharding import rows_split
from deepecg_jax.objectives.masked.settings import MaskedSettings
from deepecg_jax.objectives.masking.leads import hidden_leads
from deepecg_jax.objectives.masking.selection import as_boolean, in_every_group
from deepecg_jax.objectives.masking.spans import span_mask

Array = jax.Array


def hidden_count(total: int, share: float) -> int:
    """Of ``total`` (2 or more) how many are hidden: all but the whole part of the rest, at least
    one and not all.
    """
    kept = int(round(total * (1.0 - share), 6))
    return total - min(max(kept, 1), total - 1)


def lead_mask(key: Array, recorded: Array, groups: int, settings: MaskedSettings) -> Array:
    """Leads that are hidden as a whole, (B, L) bool -> (B, L) bool.

    groups: of the encoder's tokens. Leads that share tokens are hidden together where there are
    several groups; a lead that was not recorded may be among the hidden ones.
    """
    if not settings.hides_leads:
        return jnp.zeros_like(recorded)
    rows, leads = recorded.shape
    units = groups if groups > 1 else leads
    by_unit = recorded.reshape(rows, units, -1).any(-1)
    hidden = hidden_leads(key, by_unit, hidden_count(units, settings.lead_share))
    return rows_split(jnp.repeat(hidden, leads // units, axis=1))


def token_mask(
    key: Array, leads: Array, times: int, groups: int, settings: MaskedSettings
) -> Array:
    """Tokens that the encoder must do without, (B, L) hidden leads -> (B, groups * times) bool.

    The same number in every row (`shown_count`). A lead that has no tokens of its own hides none.

    Raises:
        UserError: there are too few times.
    """
    rows = len(leads)
    hidden = jnp.zeros((rows, groups * times), bool)
    if settings.hides_times:
        _require(times)
        count = hidden_count(times, settings.share)
        if settings.hide == "tokens":
            drawn = span_mask(key, rows * groups, times, settings.span, count)
            hidden = rows_split(as_boolean(drawn, times).reshape(rows, groups * times))
        else:
            drawn = span_mask(key, rows, times, settings.span, count)
            hidden = in_every_group(as_boolean(drawn, times), groups)
    if groups > 1:
        by_group = leads.reshape(rows, groups, -1).any(-1)
        hidden = hidden | rows_split(jnp.repeat(by_group, times, axis=1))
    return hidden


def shown_count(times: int, groups: int, settings: MaskedSettings) -> int:
    """Tokens of a row that `token_mask` leaves."""
    if settings.hides_times:
        times -= hidden_count(times, settings.share)
    if settings.hides_leads and groups > 1:
        groups -= hidden_count(groups, settings.lead_share)
    return groups * times


def _require(times: int) -> None:
    if times < 2:
        raise UserError(
            f"objective.hide hides times, but the encoder makes {times} tokens of an ECG; choose "
            "one with fewer samples a token, longer ECGs (augment.crop_seconds), or "
            "objective.hide=leads."
        )
