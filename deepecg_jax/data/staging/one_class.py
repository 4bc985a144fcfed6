"""A guard that needs the stored ECGs: labels with one class only."""

from collections.abc import Mapping, Sequence

from deepecg_jax.data.records import UNLABELLED


def one_class_labels(labels: Mapping[str, Mapping[str, Mapping[str, int]]]) -> dict[str, list[str]]:
    """Labels of which no classifier can be judged: those never positive, never negative, unknown.

    Args:
        labels: name -> split -> numbers of ``positive``, ``negative`` and ``unknown`` ECGs.
    """
    found: dict[str, list[str]] = {"never_positive": [], "never_negative": [], "unknown": []}
    for name, splits in labels.items():
        if name == UNLABELLED:  # stands for no label at all
            continue
        positive = sum(split["positive"] for split in splits.values())
        negative = sum(split["negative"] for split in splits.values())
        if not positive and not negative:
            found["unknown"].append(name)
        elif not positive:
            found["never_positive"].append(name)
        elif not negative:
            found["never_negative"].append(name)
    return found


def one_class_note(found: Mapping[str, Sequence[str]], n_labels: int) -> str:
    """A sentence about the labels of :func:`one_class_labels`, "" if there are none."""
    names = [name for group in found.values() for name in group]
    if not names:
        return ""
    kinds = ", ".join(
        f"{len(group)} {kind.replace('_', ' ')}" for kind, group in found.items() if group
    )
    shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    return (
        f"{len(names)} of {n_labels} labels have fewer than two classes ({kinds}), so that no "
        f"AUROC of them exists here: {shown}."
    )
