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
from deepecg_jax.labels.maps import UNKNOWN, FindingRules, label_vector, read_map


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
def kinds() -> dict[str, tuple[str, ...]]:
    """diagnostic, form, rhythm -> the 44, 19 and 12 statements of each (four are in the first two).

    With all 71, the superclasses and the subclasses they are the six tasks of the PTB-XL benchmark.
    """
    return {
        kind: tuple(s.name for s in statements() if getattr(s, kind))
        for kind in ("diagnostic", "form", "rhythm")
    }


@cache
def label_names() -> tuple[str, ...]:
    """``superclass:X``, ``subclass:X``, ``scp:X`` for the 71 statements, the same statements as
    ``diagnostic:X``, ``form:X`` and ``rhythm:X``, then finding names.
    """
    return (
        *(f"superclass:{name}" for name in superclasses()),
        *(f"subclass:{name}" for name in subclasses()),
        *(f"scp:{statement.name}" for statement in statements()),
        *(f"{kind}:{name}" for kind, names in kinds().items() for name in names),
        *(rule.finding for rule in finding_rules()),
    )


def labels_of(codes: Collection[str], from_classes: bool = False) -> np.ndarray:
    """Labels of one ECG from its statements: int8 (len(label_names()),), values 1, 0, -1.

    Args:
        codes: names of the statements in the record's ``scp_codes``.
        from_classes: the diagnostic statements were put together from the record's subclasses, so
            that they stand for these alone (`open_statements`).
    """
    present = frozenset(codes)
    possible = open_statements(present) if from_classes else frozenset()
    groups = [*superclasses().values(), *subclasses().values()]
    value = {
        s.name: UNKNOWN if s.name in possible else int(s.name in present) for s in statements()
    }
    known = [int(bool(group & present)) for group in groups]
    known += value.values()
    known += [value[name] for names in kinds().values() for name in names]
    findings = label_vector(finding_rules(), present - possible, possible)
    return np.concatenate([np.array(known, np.int8), findings])


def open_statements(codes: Collection[str]) -> frozenset[str]:
    """Statements that an ECG may have or not, if only its subclasses, forms and rhythms are known.

    A subclass that is present leaves its statements open: all of them but those that are forms too,
    and but a single one that nothing else explains (``CLBBB`` is all there is in its subclass).
    """
    present, forms = frozenset(codes), frozenset(kinds()["form"])
    found: set[str] = set()
    for group in subclasses().values():
        other = group - forms
        if group & present and (len(other) > 1 or group & present & forms):
            found |= other
    return frozenset(found)
