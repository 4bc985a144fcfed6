"""PTB-XL's 71 SCP-ECG statements: their groups, and the findings that they define.

The statements and their superclasses and subclasses are PTB-XL's own table (Wagner et al.,
Scientific Data 7:154, 2020; version 1.0.3). A statement counts as present whenever it stands in a
record's ``scp_codes``, whatever its likelihood, as in the PTB-XL benchmark (Strodthoff et al.,
IEEE JBHI 25:1519, 2021); everything that is not stated is absent.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache

import numpy as np

from deepecg_jax.labels.findings import shipped_table
from deepecg_jax.labels.maps import FindingRules, label_vector, read_map


@dataclass(frozen=True)
class Statement:
    """One SCP-ECG statement; ``superclass`` and ``subclass`` are empty if it is no diagnosis."""

    name: str
    description: str
    diagnostic: bool
    form: bool
    rhythm: bool
    superclass: str
    subclass: str


@cache
def statements() -> tuple[Statement, ...]:
    """The 71 statements in the order of PTB-XL's ``scp_statements.csv``."""
    return tuple(
        Statement(
            row["statement"],
            row["description"],
            row["diagnostic"] == "1",
            row["form"] == "1",
            row["rhythm"] == "1",
            row["superclass"],
            row["subclass"],
        )
        for row in shipped_table("scp_statements.csv")
    )


@cache
def superclasses() -> dict[str, frozenset[str]]:
    """NORM, MI, STTC, CD, HYP -> the diagnostic statements of each."""
    return _groups("superclass", ("NORM", "MI", "STTC", "CD", "HYP"))


@cache
def subclasses() -> dict[str, frozenset[str]]:
    """The 23 diagnostic subclasses in alphabetical order -> the statements of each."""
    return _groups("subclass", tuple(sorted({s.subclass for s in statements() if s.subclass})))


def _groups(field: str, order: tuple[str, ...]) -> dict[str, frozenset[str]]:
    return {
        group: frozenset(s.name for s in statements() if getattr(s, field) == group)
        for group in order
    }


@cache
def finding_rules() -> tuple[FindingRules, ...]:
    """Rules for the findings (of the 77) that SCP-ECG statements define."""
    return read_map(shipped_table("scp_to_findings.csv"), "statements")


@cache
def label_names() -> tuple[str, ...]:
    """``superclass:X``, ``subclass:X``, ``scp:X`` for the 71 statements, then finding names."""
    return (
        *(f"superclass:{name}" for name in superclasses()),
        *(f"subclass:{name}" for name in subclasses()),
        *(f"scp:{statement.name}" for statement in statements()),
        *(rule.finding for rule in finding_rules()),
    )


def labels_of(codes: Collection[str]) -> np.ndarray:
    """Labels of one ECG from its statements: int8 (len(label_names()),), values 1, 0, -1.

    Args:
        codes: names of the statements in the record's ``scp_codes``.
    """
    present = frozenset(codes)
    groups = [*superclasses().values(), *subclasses().values()]
    stated = [bool(group & present) for group in groups]
    stated += [statement.name in present for statement in statements()]
    return np.concatenate([np.array(stated, np.int8), label_vector(finding_rules(), present)])
