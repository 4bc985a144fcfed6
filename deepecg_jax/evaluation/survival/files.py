"""``survival.json`` and its curves as CSV, in a folder."""

import csv
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from deepecg_jax.errors import UserError

JSON, INCIDENCE, AUROC = "survival.json", "cumulative_incidence.csv", "auroc_by_year.csv"


def write_survival(result: Mapping[str, Any], folder: str | Path) -> list[Path]:
    """Write ``survival.json``, ``cumulative_incidence.csv`` and ``auroc_by_year.csv``.

    The same result gives the same bytes. The CSVs hold one row a group and day (``group``,
    ``time_days``, ``n_at_risk``, ``incidence``, ``low``, ``high``) and one a score and year
    (``score``, ``year``, ``auroc``, ``low``, ``high``), for any plotting tool.
    """
    folder = Path(folder)
    text = json.dumps(dict(result), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    incidence = [
        {"group": group, **row} for group, rows in result["curves"].items() for row in rows
    ]
    tables = {INCIDENCE: incidence, AUROC: list(_by_year(result))}
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, rows in tables.items():
            part = folder / f".{name}.{uuid.uuid4().hex[:12]}"
            with part.open("w", newline="", encoding="utf-8") as file:
                table = csv.DictWriter(file, list(rows[0]))
                table.writeheader()
                table.writerows(rows)
            os.replace(part, folder / name)
            written.append(folder / name)
        part = folder / f".{JSON}.{uuid.uuid4().hex[:12]}"
        part.write_text(text, encoding="utf-8")
        os.replace(part, folder / JSON)
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error}).") from error
    return [folder / JSON, *written]


def _by_year(result: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    scores = {result["score"]: result["discrimination"]}
    scores |= {
        name: part["discrimination"]
        for name, part in result["beside"].items()
        if "discrimination" in part
    }
    for name, part in scores.items():
        for year, estimate in part["auroc_by_year"].items():
            yield {
                "score": name,
                "year": year,
                "auroc": estimate["value"],
                "low": estimate["low"],
                "high": estimate["high"],
            }
