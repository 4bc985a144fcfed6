"""Label columns of a table: text -> 1, 0, -1."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pyarrow as pa

from deepecg_jax.data.tables.people import UNKNOWN_WORDS
from deepecg_jax.data.tables.read import require_column
from deepecg_jax.errors import UserError

PREFIX = "label:"
"""Column names may begin with it, as in prediction tables; the label is what follows."""

"""The one label of a data set without labels; it is unknown for every ECG."""

_YES = (
    *("1", "1.0", "1,0", "true", "t", "yes", "y", "present", "positive"),
    *("wahr", "ja", "j", "positiv", "vrai", "oui", "verdadero", "si", "sí", "sim"),
)
_NO = (
    *("0", "0.0", "0,0", "false", "f", "no", "n", "absent", "negative"),
    *("falsch", "nein", "negativ", "faux", "non", "falso", "nej"),
)
_VALUES = {
    **dict.fromkeys(_YES, 1),
    **dict.fromkeys(_NO, 0),
    # A lone x is a tick as often as it is a gap, so it is refused.
    **dict.fromkeys(("-1", "-1.0", "-1,0", "uncertain", *UNKNOWN_WORDS - {"x"}), -1),
}


def yes_or_no(text: str) -> int | None:
    """1, 0, or -1 for an unknown value, from a cell; None for a text that is none of these."""
    return _VALUES.get(text.strip().lower())


def choose_columns(option: str, free: Sequence[str], names: Sequence[str], path: Path) -> list[str]:
    """The label columns that an option asks for, in the option's order.

    Args:
        option: names with commas; a name with * takes all columns that fit, and so does
            ``prefix:*`` for ``prefix:`` alone.
        free: columns that have no other role, from which * takes.
        names: all columns.

    Raises:
        UserError: a name that the table does not have, a * that nothing fits, or nothing at all.
    """
    chosen: list[str] = []
    for name in filter(None, (part.strip() for part in _split(option, names))):
        if name in names:
            fitting = [name]
        elif PREFIX + name in names:
            fitting = [PREFIX + name]
        elif "*" in name:
            fitting = [column for column in free if fnmatchcase(column, name)]
            if not fitting:
                raise UserError(f"{path} has no column that fits {name!r} of option labels.")
        else:
            require_column(name, names, path, "labels")
            continue
        chosen += [column for column in fitting if column not in chosen]
    if not chosen:
        raise UserError(f"Option labels is {option!r}, which names no column.")
    return chosen


def label_name(column: str) -> str:
    """The label's name: that of the column without ``label:``."""
    return column.removeprefix(PREFIX) or column


def label_values(column: pa.ChunkedArray) -> tuple[np.ndarray, str | None]:
    """Labels int8 (N,) of a column of texts, and the first text that is no label (or None)."""
    encoded = column.combine_chunks().dictionary_encode()
    known = [yes_or_no(text) for text in encoded.dictionary.to_pylist()]
    strange = next(
        (
            text
            for text, value in zip(encoded.dictionary.to_pylist(), known, strict=True)
            if value is None
        ),
        None,
    )
    table = np.array([-1 if value is None else value for value in known] or [-1], np.int8)
    return table[encoded.indices.to_numpy(zero_copy_only=False)], strange


def _split(option: str, names: Sequence[str]) -> list[str]:
    """Parts between commas; a column whose own name holds commas may stand there as it is."""
    if option in names or PREFIX + option in names:
        return [option]
    parts: list[str] = []
    pieces = option.split(",")
    while pieces:
        for end in range(len(pieces), 0, -1):
            joined = ",".join(pieces[:end]).strip()
            if end == 1 or joined in names or PREFIX + joined in names:
                parts.append(joined)
                pieces = pieces[end:]
                break
    return parts
