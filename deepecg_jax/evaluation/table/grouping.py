"""Groups and strata of records, from the columns of a predictions table."""

from collections.abc import Sequence

import numpy as np

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.table.columns import LABEL
from deepecg_jax.evaluation.table.predictions import Predictions

MOST_GROUPS = 50
UNKNOWN_GROUP = "unknown"
INTERSECTION = "sex x age"
_AGE_GROUPS = ("<=55", "56-75", ">75")


def column(predictions: Predictions, name: str) -> np.ndarray:
    """Any column as text, "" where it is unknown.

    Args:
        predictions: the table.
        name: ``sex``, ``age`` (its groups), ``patient_id``, ``label:X``, or a further column.

    Returns:
        (N,) text.

    Raises:
        UserError: there is no such column.
    """
    if name == "sex":
        return np.where(predictions.sex == UNKNOWN_GROUP, "", predictions.sex).astype(object)
    if name == "age":
        return age_group(predictions.age)
    if name == "patient_id":
        return predictions.patient_id
    finding = name.removeprefix(LABEL)
    if name.startswith(LABEL) and finding in predictions.names:
        values = predictions.labels[:, predictions.names.index(finding)]
        return np.array(["", "0", "1"], dtype=object)[values.astype(int) + 1]
    if name not in predictions.extra:
        known = ["sex", "age", *predictions.extra]
        raise UserError(f"The predictions have no column '{name}'; there are {', '.join(known)}.")
    return np.array([_as_text(value) for value in predictions.extra[name]], dtype=object)


def _as_text(value: object) -> str:
    """A cell as text; a whole number that null turned into a float stays a whole number."""
    if value is None or (isinstance(value, float | np.floating) and np.isnan(value)):
        return ""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def age_group(age: np.ndarray) -> np.ndarray:
    """``<=55``, ``56-75`` (above 55, at most 75), ``>75`` years, or "" if unknown, (N,) text."""
    return _names("", *_AGE_GROUPS)[_age_code(age)]


def _age_code(age: np.ndarray) -> np.ndarray:
    """0 unknown, then the place of each age group, from 1 on."""
    with np.errstate(invalid="ignore"):
        return 1 * (age <= 55) + 2 * ((age > 55) & (age <= 75)) + 3 * (age > 75)


def _names(*names: str) -> np.ndarray:
    """Texts to pick from by index, so that a large table holds each once."""
    return np.array(names, dtype=object)


def groups_of(
    predictions: Predictions, by: Sequence[str] = (), with_unknown: bool = False
) -> dict[str, dict[str, np.ndarray]]:
    """The records of each group: attribute -> group -> (N,) bool, groups without records left out.

    Sex is female or male; age is ``<=55``, ``56-75`` or ``>75`` years; ``sex x age`` are their six
    intersections; then each column of `by` by its values. A record whose value is unknown is in no
    group of that attribute.

    Args:
        predictions: the table.
        by: further columns, see `column`.
        with_unknown: make the unknown of sex and age a group of its own (the original's groups).

    Raises:
        UserError: no such column, or one with more than 50 different values.
    """
    sex, age = column(predictions, "sex"), column(predictions, "age")
    sexes, ages = ("female", "male"), _AGE_GROUPS
    sex_code = sum((i + 1) * (sex == name) for i, name in enumerate(sexes))
    pairs = [f"{s} {a}" if s and a else "" for s in ("", *sexes) for a in ("", *ages)]
    both = _names(*pairs)[sex_code * (1 + len(ages)) + _age_code(predictions.age)]
    attributes: dict[str, tuple[np.ndarray, Sequence[str]]] = {
        "sex": (sex, sexes),
        "age": (age, ages),
        INTERSECTION: (both, [f"{s} {a}" for s in sexes for a in ages]),
    }
    for name in by:
        values = column(predictions, name)
        found = sorted(set(values) - {""})
        if len(found) > MOST_GROUPS:
            raise UserError(
                f"Column '{name}' has {len(found):,} different values; groups are compared for at "
                f"most {MOST_GROUPS}, so merge the rare ones."
            )
        attributes[name] = (values, found)
    result = {}
    for name, (values, groups) in attributes.items():
        masks = {group: values == group for group in groups}
        if with_unknown and name != INTERSECTION:
            masks[UNKNOWN_GROUP] = values == ""
        result[name] = {group: mask for group, mask in masks.items() if mask.any()}
    return result
