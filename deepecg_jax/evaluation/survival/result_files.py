"""``survival.json`` and its curves as CSV, in a folder."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from deepecg_jax.evaluation.survival.results import Discrimination, SurvivalResult
from deepecg_jax.files import write_json, write_whole

JSON, INCIDENCE, AUROC = "survival.json", "cumulative_incidence.csv", "auroc_by_year.csv"


def write_survival(result: SurvivalResult, folder: str | Path) -> list[Path]:
    """Write ``survival.json``, ``cumulative_incidence.csv`` and ``auroc_by_year.csv``.

    The same result gives the same bytes. The CSVs hold one row a group and day (``group``,
    ``time_days``, ``n_at_risk``, ``incidence``, ``low``, ``high``) and one a score and year
    (``score``, ``year``, ``auroc``, ``low``, ``high``), for any plotting tool.
    """
    folder = Path(folder)
    incidence: list[dict[str, object]] = [
        {"group": group, **row} for group, rows in result["curves"].items() for row in rows
    ]
    tables = {INCIDENCE: incidence, AUROC: list(_by_year(result))}
    for name, rows in tables.items():
        text = io.StringIO(newline="")
        table = csv.DictWriter(text, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
        write_whole(folder / name, text.getvalue().encode())
    write_json(folder / JSON, result, indent=1, strict=True)
    return [folder / JSON, *(folder / name for name in tables)]


def _by_year(result: SurvivalResult) -> Iterator[dict[str, object]]:
    scores: dict[str, Discrimination] = {result["score"]: result["discrimination"]}
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
