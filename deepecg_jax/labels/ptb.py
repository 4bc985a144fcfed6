"""The diagnostic classes of the PTB Diagnostic ECG Database.

They say why somebody was admitted, not what the ECG shows: an infarction of unstated age, a bundle
branch block of an unstated side. None of them makes one of the 77 findings present or absent, so
that this source has no map to them; it has labels of its own.
"""

import re
from functools import cache

import numpy as np

from deepecg_jax.labels.findings import shipped_table
from deepecg_jax.labels.maps import UNKNOWN


@cache
def _classes() -> dict[str, str]:
    return {row["reason"]: row["diagnosis"] for row in shipped_table("ptb_diagnoses.csv")}


@cache
def label_names() -> tuple[str, ...]:
    """``ptb:X`` for the diagnostic classes."""
    return tuple(f"ptb:{name}" for name in dict.fromkeys(_classes().values()))


def diagnosis_of(reason: str) -> str:
    """The class of a reason for admission (``Heart failure (NYHA 2)``), "" if none is stated."""
    words = re.sub(r"\(.*?\)", "", reason.lower())
    return _classes().get(" ".join(words.split()), "")


def labels_of(diagnosis: str) -> np.ndarray:
    """Labels of one ECG: int8 (len(label_names()),); without a diagnosis all are unknown."""
    if not diagnosis:
        return np.full(len(label_names()), UNKNOWN, np.int8)
    return np.array([name == f"ptb:{diagnosis}" for name in label_names()], np.int8)
