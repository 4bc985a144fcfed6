"""CODE-15 %'s own labels and the findings that they define (Ribeiro et al., 2020 and 2021)."""

from collections.abc import Mapping
from functools import cache

import numpy as np

from deepecg_jax.labels.findings import shipped_table
from deepecg_jax.labels.maps import UNKNOWN, FindingRules, label_vector, read_map

ABNORMALITIES: tuple[str, ...] = ("1dAVb", "RBBB", "LBBB", "SB", "ST", "AF")
"""The six abnormalities in the order of CODE's publications."""
NORMAL = "normal_ecg"


@cache
def finding_rules() -> tuple[FindingRules, ...]:
    """Rules for the findings (of the 77) that the labels define."""
    return read_map(shipped_table("code15_to_findings.csv"), "code")


@cache
def label_names() -> tuple[str, ...]:
    """``code15:X`` for the six abnormalities and ``normal_ecg``, then finding names."""
    return (
        *(f"code15:{name}" for name in (*ABNORMALITIES, NORMAL)),
        *(rule.finding for rule in finding_rules()),
    )


def labels_of(values: Mapping[str, int]) -> np.ndarray:
    """Labels of one ECG: int8 (len(label_names()),), values 1, 0, -1.

    Args:
        values: abnormality or ``normal_ecg`` -> 1, 0 or -1. If an abnormality is unknown, so are
            the findings that are not stated otherwise.
    """
    own = np.array([values.get(name, UNKNOWN) for name in (*ABNORMALITIES, NORMAL)], np.int8)
    present = {name for name, value in values.items() if value == 1}
    findings = label_vector(finding_rules(), present)
    if any(values.get(name, UNKNOWN) == UNKNOWN for name in ABNORMALITIES):
        sure = [any(needed <= present for needed, _ in rule.rules) for rule in finding_rules()]
        findings = np.where(sure, findings, UNKNOWN).astype(np.int8)
    return np.concatenate([own, findings])
