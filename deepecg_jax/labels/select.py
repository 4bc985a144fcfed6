"""Choosing labels by name or by pattern."""

import difflib
from collections.abc import Sequence
from fnmatch import fnmatchcase

import numpy as np

from deepecg_jax.errors import UserError


def matching(
    name: str, available: Sequence[str], among: Sequence[str] | None = None, prefix: str = ""
) -> list[str]:
    """The names that one wanted name stands for; none if there is none.

    Args:
        name: one of ``available``, with or without ``prefix``; or, with a *, all that fit it, in
            their order.
        available: all names.
        among: those that a * takes from, all by default.
        prefix: that may be left out.
    """
    for exact in (name, prefix + name):
        if exact in available:
            return [exact]
    taken = available if among is None else among
    return [known for known in taken if fnmatchcase(known, name)] if "*" in name else []


def select_labels(
    wanted: Sequence[str], available: Sequence[str], where: str
) -> tuple[tuple[str, ...], np.ndarray]:
    """Names and column numbers of ``wanted``; a name with * takes all that fit, in their order.

    UserError for a name that ``where`` does not have, with the nearest one.
    """
    chosen: list[str] = []
    for name in wanted:
        fitting = matching(name, available)
        if not fitting:
            near = difflib.get_close_matches(name, available, n=1, cutoff=0.3)
            hint = f"did you mean {near[0]!r}" if near else "see its labels.json"
            raise UserError(f"{where} has no label {name!r}; {hint}.")
        chosen += [label for label in fitting if label not in chosen]
    position = {name: i for i, name in enumerate(available)}
    return tuple(chosen), np.array([position[name] for name in chosen])
