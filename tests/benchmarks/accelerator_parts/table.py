"""The rows as tables in Markdown, and the ratios to PyTorch."""

from accelerator_parts.rows import Row

# (what, item and case in JAX, case in PyTorch)
RATIOS = (
    ("step, bfloat16, no dropout", "step", "no dropout", "step, bfloat16, compiled by parts"),
    ("the same", "step", "no dropout", "step, bfloat16, compiled whole"),
    ("the same", "step", "no dropout", "step, bfloat16, eager"),
    ("inference, bfloat16", "inference", "bfloat16", "inference, bfloat16, compiled by parts"),
    ("the same", "inference", "bfloat16", "inference, bfloat16, compiled whole"),
    (
        "inference, float32 (TF32)",
        "inference",
        "float32",
        "inference, float32 (TF32), compiled by parts",
    ),
)


def markdown(rows: list[Row]) -> str:
    """One table an item, ratios first."""
    parts = [_ratios(rows)]
    for item in dict.fromkeys(row["item"] for row in rows):
        own = [row for row in rows if row["item"] == item]
        parts.append(f"## {item}\n\n{_table(own)}")
    return "# Accelerator\n\n" + "\n\n".join(parts) + "\n"


def _ratios(rows: list[Row]) -> str:
    """ECG/s in JAX over ECG/s in PyTorch where both were measured."""
    if any(row.get("size") == "tiny" for row in rows):
        return "Size tiny: compiled without optimisation, so no time here means anything."
    speeds = {
        (r["item"].removesuffix("_whole"), r["case"]): r["ecg_per_s"]
        for r in rows
        if "ecg_per_s" in r
    }
    lines = ["| JAX against PyTorch | JAX, ECG/s | PyTorch, ECG/s | ratio |", "|---|---|---|---|"]
    for what, item, ours, theirs in RATIOS:
        a, b = speeds.get((item, ours)), speeds.get(("torch", theirs))
        ratio = a / b if a and b else None
        told = f"{what}; {theirs.partition(', ')[2]}"
        lines.append(f"| {told} | {_cell(a)} | {_cell(b)} | {_cell(ratio)} |")
    return "\n".join(lines)


def _table(rows: list[Row]) -> str:
    columns = list(dict.fromkeys(key for row in rows for key in row if key != "item"))
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    for row in rows:
        lines.append("| " + " | ".join(_cell(row.get(column)) for column in columns) + " |")
    return "\n".join(lines)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return str(value).replace("|", "\\|")
