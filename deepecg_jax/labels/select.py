"""Choosing label columns by name or by pattern."""

import difflib
from collections.abc import Sequence
from fnmatch import fnmatchcase

import numpy as np

from deepecg_jax.errors import UserError


def select_labels(
    wanted: Sequence[str], available: Sequence[str], where: str
) -> tuple[tuple[str, ...], np.ndarray]:
    """Names and column numbers of ``wanted``; a name with * takes all that fit, in their order.

    UserError for a name that ``where`` does not have, with the nearest one.
    """
    position = {name: i for i, name in enumerate(available)}
    chosen: list[str] = []
    for name in wanted:
        fitting = [name] if name in position else []
        if not fitting and "*" in name:
            fitting = [known for known in available if fnmatchcase(known, name)]
        if not fitting:
            near = difflib.get_close_matches(name, available, n=1, cutoff=0.3)
            hint = f"did you mean {near[0]!r}" if near else "see its labels.json"
            raise UserError(f"{where} has no label {name!r}; {hint}.")
        chosen += [label for label in fitting if label not in chosen]
    return tuple(chosen), np.array([position[name] for name in chosen])
