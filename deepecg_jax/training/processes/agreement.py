"""What several processes settle among themselves; with a single one nothing of it takes time."""

import itertools
import json
from collections.abc import Mapping
from typing import TypeVar

import jax

from deepecg_jax.errors import UserError
from deepecg_jax.training.processes.hosts import coordination_client, is_first

# a process that died is noticed by the runtime long before; this only bounds the wait
_WAIT_MS = 3_600_000
# every process asks the same questions in the same order, so a number tells them apart
_numbers = itertools.count()
T = TypeVar("T")


def first_says(what: str, value: T) -> T:
    """The value that process 0 has, for all (anything that JSON holds)."""
    if jax.process_count() == 1:
        return value
    key = f"deepecg/said/{next(_numbers)}/{what}"
    client = coordination_client()
    if is_first():
        client.key_value_set(key, json.dumps(value))
        return value
    return json.loads(client.blocking_key_value_get(key, _WAIT_MS))


def all_say(what: str, value: T) -> list[T]:
    """The values of all processes, in their order (anything that JSON holds)."""
    count = jax.process_count()
    if count == 1:
        return [value]
    key = f"deepecg/all/{next(_numbers)}/{what}"
    client = coordination_client()
    client.key_value_set(f"{key}/{jax.process_index()}", json.dumps(value))
    return [json.loads(client.blocking_key_value_get(f"{key}/{i}", _WAIT_MS)) for i in range(count)]


def require_agreement(what: str, values: Mapping[str, object], hint: str) -> None:
    """UserError where this process differs from process 0, naming both sides.

    what: the subject of the sentence, such as "the config"; hint: what to do.
    """
    own: dict[str, object] = json.loads(json.dumps(dict(values)))
    theirs = first_says(what, own)
    names = [name for name in {**theirs, **own} if theirs.get(name) != own.get(name)]
    if names:
        differences = "; ".join(
            f"{name} is {own.get(name)!r} here and {theirs.get(name)!r} there" for name in names[:3]
        )
        raise UserError(
            f"{what} of process {jax.process_index()} is not that of process 0 ({differences}); "
            f"{hint}."
        )


def wait_for_all(what: str) -> None:
    """Return when every process has come here."""
    if jax.process_count() > 1:
        key = f"deepecg/met/{next(_numbers)}/{what}"
        coordination_client().wait_at_barrier(key, _WAIT_MS)
