"""A figure of the report: a drawing, and the numbers in it."""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """Attributes:
    name: unique, becomes the file name.
    svg: the drawing, one ``<svg>`` element.
    rows: what is drawn, one dictionary a point or bar, all with the same keys.
    """

    name: str
    svg: str
    rows: Sequence[Mapping[str, object]]


def write_figures(folder: str | Path, figures: Iterable[Figure]) -> list[Path]:
    """Write every figure as ``NAME.svg`` and its data as ``NAME.csv``; figures of an older run in
    the folder are removed first. Returns the files.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for old in (*folder.glob("*.svg"), *folder.glob("*.csv")):
        old.unlink()
    written: list[Path] = []
    for figure in figures:
        base = folder / _file_name(figure.name)
        svg = figure.svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
        base.with_name(base.name + ".svg").write_text(svg + "\n", encoding="utf-8")
        with base.with_name(base.name + ".csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, list(figure.rows[0]) if figure.rows else ["empty"])
            table.writeheader()
            table.writerows(figure.rows)
        written += [base.with_name(base.name + end) for end in (".svg", ".csv")]
    return written


def _file_name(name: str) -> str:
    """Letters, digits, dots and dashes of a name; names come from files."""
    return re.sub(r"[^\w.-]+", "_", name).strip("._")[:100] or "figure"
