"""The 77 ECG findings of DeepECG, in its order, and their six categories."""

import csv
from functools import cache
from importlib import resources


def shipped_table(name: str) -> list[dict[str, str]]:
    """Rows of one of the shipped label tables (``labels/data/NAME``), as dictionaries."""
    text = (resources.files("deepecg_jax.labels") / "data" / name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


@cache
def _findings() -> tuple[tuple[str, tuple[str, ...]], ...]:
    rows = sorted(shipped_table("findings.csv"), key=lambda row: int(row["index"]))
    return tuple((row["finding"], tuple(row["categories"].split("|"))) for row in rows)


def _categories() -> dict[str, tuple[str, ...]]:
    names = dict.fromkeys(name for _, categories in _findings() for name in categories)
    return {
        name: tuple(finding for finding, categories in _findings() if name in categories)
        for name in names
    }


FINDINGS: tuple[str, ...] = tuple(finding for finding, _ in _findings())
"""The 77 names; a model's output i is ``FINDINGS[i]`` in the published DeepECG weights."""

CATEGORIES: dict[str, tuple[str, ...]] = _categories()
"""Category -> its findings in order. One finding stands in two categories, so they sum to 78."""
