"""The files of a comparison: everything as JSON, the metrics as a flat CSV table."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def write_comparison(comparison: Mapping[str, Any], folder: str | Path) -> None:
    """Write ``comparison.json`` and ``comparison.csv`` (a row for each metric)."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(comparison, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / "comparison.json").write_text(text + "\n", encoding="utf-8")
    with (folder / "comparison.csv").open("w", encoding="utf-8", newline="") as file:
        rows = list(_rows(comparison))
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _rows(comparison: Mapping[str, Any]) -> Sequence[dict[str, Any]]:
    parts = [("finding", name, entry) for name, entry in comparison["findings"].items()]
    parts += [("average", name, comparison[name]) for name in ("macro", "micro")]
    for category, pair in comparison["categories"].items():
        parts += [("category", f"{category} ({kind})", pair[kind]) for kind in ("macro", "micro")]
    rows = []
    for scope, name, entry in parts:
        for metric, values in entry["metrics"].items():
            row: dict[str, Any] = {"scope": scope, "name": name, "metric": metric}
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
