"""The SNOMED CT codes of the PhysioNet/CinC Challenge 2021 and the findings that they define.

The 133 codes and how often each site used them are the Challenge's own tables (Reyna et al.,
"Will Two Do? Varying Dimensions in Electrocardiography", CinC 2021). Sites differ in the codes
they use at all: a code that a site never used says nothing about its ECGs, so its label there is
unknown (-1), not absent.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from deepecg_jax.labels.findings import shipped_table
from deepecg_jax.labels.maps import PRESENT, UNKNOWN, FindingRules, label_vector, read_map

SITES: tuple[str, ...] = (
    "cpsc",
    "cpsc_extra",
    "st_petersburg",
    "ptb",
    "ptb_xl",
    "georgia",
    "chapman_shaoxing",
    "ningbo",
)
"""The Challenge's sources; the last two share the file name prefix JS."""

_PREFIXES = {
    "A": "cpsc",
    "Q": "cpsc_extra",
    "I": "st_petersburg",
    "S": "ptb",
    "HR": "ptb_xl",
    "E": "georgia",
}
_LAST_CHAPMAN = 10646  # JS00001..JS10646 are Chapman-Shaoxing, JS10647 onwards Ningbo


@dataclass(frozen=True)
class Code:
    """One SNOMED CT code of the Challenge; ``counts`` is how many ECGs of each site carry it."""

    code: str
    name: str
    abbreviation: str
    scored: bool
    counts: dict[str, int]


@cache
def codes() -> tuple[Code, ...]:
    """The 30 scored codes, then the 103 others, in the Challenge's order."""
    return tuple(
        Code(
            row["code"],
            row["name"],
            row["abbreviation"],
            row["scored"] == "1",
            {site: int(row[f"n_{site}"]) for site in SITES},
        )
        for row in shipped_table("snomed_codes.csv")
    )


def site_of(record_name: str) -> str:
    """Site of a Challenge recording by its file name (``E07500`` is Georgia), "" if none fits."""
    match = re.fullmatch(r"([A-Z]+)(\d+)", record_name)
    if match is None:
        return ""
    prefix, number = match.group(1), int(match.group(2))
    if prefix == "JS":
        return "chapman_shaoxing" if number <= _LAST_CHAPMAN else "ningbo"
    return _PREFIXES.get(prefix, "")


@cache
def label_names() -> tuple[str, ...]:
    """``snomed:CODE`` for the 133 codes, then the names of the findings that codes define."""
    return (
        *(f"snomed:{code.code}" for code in codes()),
        *dict.fromkeys(row["finding"] for row in shipped_table("snomed_to_findings.csv")),
    )


@cache
def _site_rules(site: str) -> tuple[FindingRules, ...]:
    """The rules as they hold at a site.

    Lines that except the site are left out. Where the site never used a code that makes the
    finding present, its silence means nothing: the default becomes unknown. Codes that are there
    still speak: sinus rhythm excludes fibrillation at a site without a code for fibrillation.
    """
    used = {code.code for code in codes() if code.counts.get(site, 0) > 0}
    rows = shipped_table("snomed_to_findings.csv")
    rows = [row for row in rows if not site or site not in row["except_sites"].split("|")]
    spoken = {row["finding"] for row in rows if row["value"] == "1" and row["code"] in used}
    return tuple(
        rule if rule.finding in spoken else replace(rule, default=UNKNOWN)
        for rule in read_map(rows, "code")
    )


def labels_of(stated: Collection[str], site: str) -> np.ndarray:
    """Labels of one ECG from its codes: int8 (len(label_names()),), values 1, 0, -1.

    Args:
        stated: SNOMED CT codes of the recording's ``Dx`` line.
        site: one of SITES, or "" for an unknown site, where nothing is known to be absent.
    """
    present = frozenset(stated)
    labels = [
        PRESENT if code.code in present else (0 if code.counts.get(site, 0) else UNKNOWN)
        for code in codes()
    ]
    findings = label_vector(_site_rules(site), present)
    return np.concatenate([np.array(labels, np.int8), findings])
