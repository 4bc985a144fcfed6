"""Small sources in the layouts of PTB-XL and the Challenge, and what is built of them."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import scipy.io

from deepecg_jax.data.shards.split import open_split
from deepecg_jax.signals.contract import STANDARD_LEADS

STATEMENTS = ["{'SR': 100.0, 'NORM': 100.0}", "{'AFIB': 0.0, 'CLBBB': 80.0}", "{'PACE': 100.0}"]


def write_wfdb(
    path: Path,
    signal: np.ndarray,
    rate: float = 250.0,
    gain: float = 1000.0,
    leads: Sequence[str] = STANDARD_LEADS,
    comments: str = "",
) -> None:
    """``path``.hea and .dat (format 16) from (T, leads) millivolts, by the format's definition.

    gain: digital units a millivolt; NaN becomes the format's invalid sample.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    digital = np.where(np.isnan(signal), -32768, np.rint(np.nan_to_num(signal) * gain))
    digital = digital.astype("<i2")
    path.with_name(path.name + ".dat").write_bytes(digital.tobytes())
    text = _header(path.name, f"{path.name}.dat 16", digital, rate, gain, leads)
    path.with_name(path.name + ".hea").write_text(text + comments)


def _header(
    name: str,
    file_and_format: str,
    digital: np.ndarray,
    rate: float,
    gain: float = 1000.0,
    leads: Sequence[str] = STANDARD_LEADS,
) -> str:
    lines = [f"{name} {len(leads)} {rate:g} {len(digital)}"]
    for lead, samples in zip(leads, digital.T, strict=True):
        checksum = int(samples.sum(dtype=np.int64).astype(np.int16))
        lines.append(f"{file_and_format} {gain}(0)/mV 16 0 {samples[0]} {checksum} 0 {lead}")
    return "\n".join(lines) + "\n"


def write_ptb_xl(
    folder: Path, signals: np.ndarray, folds: list[int], rate: float = 250.0, **changes: dict
) -> Path:
    """A source in PTB-XL's layout; ``changes`` maps a column to {row number: value}."""
    rows = []
    for number, signal in enumerate(signals):
        name = f"records500/00000/{number + 1:05d}_hr"
        write_wfdb(folder / name, signal, rate)
        row = {
            "ecg_id": str(number + 1),
            "patient_id": f"{1000 + number}.0",
            "age": "56.0",
            "sex": str(number % 2),
            "site": "2.0",
            "device": "CS-12",
            "report": f"sinus rhythm, ECG {number + 1}",
            "scp_codes": STATEMENTS[number % len(STATEMENTS)],
            "strat_fold": str(folds[number % len(folds)]),
            "filename_lr": "",
            "filename_hr": name,
        }
        row.update(
            {column: values[number] for column, values in changes.items() if number in values}
        )
        rows.append(row)
    with (folder / "ptbxl_database.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (folder / "scp_statements.csv").write_text(
        ",description,diagnostic,form,rhythm,diagnostic_class,diagnostic_subclass\n"
        "NORM,normal ECG,1.0,,,NORM,NORM\nSR,sinus rhythm,,,1.0,,\n"
    )
    return folder


def write_csv(path: Path, rows: Sequence[dict]) -> None:
    """A CSV of dictionaries with equal keys."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_challenge(folder: Path, name: str, signal: np.ndarray, comments: str) -> None:
    """A record as the Challenge writes it: MAT v4 samples behind a header with comments."""
    folder.mkdir(parents=True, exist_ok=True)
    digital = np.rint(signal * 1000).astype(np.int16)
    scipy.io.savemat(folder / f"{name}.mat", {"val": digital.T}, format="4")
    header = _header(name, f"{name}.mat 16x1+24", digital, 250)
    (folder / f"{name}.hea").write_text(header + comments)


def content(folder: Path) -> dict[str, bytes]:
    """All that must not depend on how a build was run: everything but the summary's timing."""
    files = {p.name: p.read_bytes() for p in folder.iterdir() if p.name != "summary.json"}
    summary = json.loads((folder / "summary.json").read_text())
    for key in ("workers", "seconds", "ecg_per_s"):
        del summary[key]
    return files | {"summary.json": json.dumps(summary).encode()}


def stored(data_dir: Path) -> dict[str, dict]:
    """All ECGs of data set ``table`` by record id, with ``split`` and their labels by name."""
    found = {}
    index = pq.read_table(data_dir / "table/1.0.0/index.parquet")
    for name in dict.fromkeys(index.column("split").to_pylist()):
        split = open_split(data_dir, "table", name)
        for i in range(len(split)):
            ecg = dict(split[i], split=name)
            ecg["labels"] = dict(zip(split.label_names, ecg["labels"].tolist(), strict=True))
            found[ecg["record_id"]] = ecg
    return found
