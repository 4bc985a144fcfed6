"""The files of a comparison: everything as JSON, the metrics as a flat CSV table."""

import csv
from collections.abc import Sequence
from pathlib import Path

from deepecg_jax.evaluation.comparison.results import ComparisonResult, Entry
from deepecg_jax.files import write_json

Cell = str | float | None


def write_comparison(comparison: ComparisonResult, folder: str | Path) -> None:
    """Write ``comparison.json`` and ``comparison.csv`` (a row for each metric)."""
    folder = Path(folder)
    write_json(folder / "comparison.json", comparison, indent=1, strict=True)
    with (folder / "comparison.csv").open("w", encoding="utf-8", newline="") as file:
        rows = list(_rows(comparison))
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _rows(comparison: ComparisonResult) -> Sequence[dict[str, Cell]]:
    parts: list[tuple[str, str, Entry]] = [
        ("finding", name, entry) for name, entry in comparison["findings"].items()
    ]
    parts += [("average", "macro", comparison["macro"]), ("average", "micro", comparison["micro"])]
    for category, pair in comparison["categories"].items():
        parts += [("category", f"{category} ({kind})", pair[kind]) for kind in ("macro", "micro")]
    rows = []
    for scope, name, entry in parts:
        for metric, values in entry["metrics"].items():
            row: dict[str, Cell] = {"scope": scope, "name": name, "metric": metric}
            for model in ("a", "b"):
                row[model] = values[model]["value"]
                row |= {f"{model}_{end}": values[model][end] for end in ("low", "high")}
            row["difference"] = values["difference"]["value"]
            row |= {key: values["difference"][key] for key in ("low", "high", "degenerate")}
            row |= {key: values[key] for key in ("p_bootstrap", "p_permutation")}
            for key in ("p_delong", "p_delong_clustered", "p_holm", "p_bh"):
                row[key] = entry.get(key) if metric == "auroc" else None
            rows.append(row)
    return rows
