"""``deepecg predict`` carries what shards and files know to the commands that follow it."""

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from bundles import *  # noqa: F403
from ecg_devices import write_muse
from ecg_sources import write_wfdb
from typer.testing import CliRunner

from deepecg_jax.cli.main import app
from deepecg_jax.data.building.build import build
from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.table.predictions import read_predictions
from deepecg_jax.signals.synthetic import generate

N = 48


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, UserError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def source(folder: Path, follow_up: bool) -> Path:
    """48 ECGs of a table, the last two without follow-up."""
    rng = np.random.default_rng(3)
    signals = generate(np.arange(N), seed=2).signal
    rows = []
    for i, signal in enumerate(signals):
        write_wfdb(folder / f"ecg/{i}", signal)
        row = {
            "path": f"ecg/{i}.hea",
            "record_id": f"r{i}",
            "patient_id": f"p{i // 2}",
            "sex": ("female", "male")[i // 2 % 2],
            "age": 40 + i // 2,
            "site": "north" if i < N // 2 else "south",
            "device": ("MAC 5500", "ELI 280")[i // 2 % 2],
            "split": "test",
            "AF": int(rng.random() < 0.4),
        }
        if follow_up:
            known = i < N - 2
            row["time_days"] = int(rng.integers(100, 3000)) if known else ""
            row["event"] = int(rng.integers(0, 2)) if known else ""
        rows.append(row)
    with (folder / "ecgs.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


@pytest.fixture(scope="module")
def predicted(tmp_path_factory, save_bundle) -> Path:
    folder = tmp_path_factory.mktemp("predict")
    save_bundle(folder / "b")
    build("table", folder / "d", source(folder / "s", follow_up=True))
    out = folder / "p.parquet"
    where = ("--data-dir", folder / "d", "--dataset", "table", "--split", "test")
    assert "48 ECGs x 3 labels" in run("predict", folder / "b", *where, "--out", out)
    return out


def test_the_table_knows_what_the_shards_know(predicted) -> None:
    table = pq.read_table(predicted)
    rows = {row["record_id"]: row for row in table.to_pylist()}
    assert rows["r0"]["device"] == "MAC 5500" and rows["r2"]["device"] == "ELI 280"
    assert rows["r0"]["site"] == "north" and rows["r40"]["site"] == "south"
    assert rows["r46"]["time_days"] is None and rows["r46"]["event"] is None
    with (predicted.parent / "s/ecgs.csv").open() as file:
        for row in list(csv.DictReader(file))[:-2]:
            found = rows[row["record_id"]]
            assert (found["time_days"], found["event"]) == (
                float(row["time_days"]),
                int(row["event"]),
            )


def test_survival_evaluate_and_groups_work_as_typed(predicted, tmp_path) -> None:
    pytest.importorskip("lifelines", reason="needs the extra `survival`")
    score = ("--resamples", 20)
    run("survival", predicted, "--score", "AF", "--out", tmp_path / "s", *score)
    result = json.loads((tmp_path / "s/survival.json").read_text())
    assert result["n_records"] == N - 2 and result["left_out"]["without_follow_up"] == 2
    run("evaluate", predicted, "--survival", "AF", "--by", "device", "--out", tmp_path, *score)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["survival"]["AF"]["n_records"] == N - 2
    assert set(metrics["fairness"]["device"]["groups"]) == {"MAC 5500", "ELI 280"}


def test_without_follow_up_there_is_no_such_column(tmp_path, save_bundle) -> None:
    build("table", tmp_path / "d", source(tmp_path / "s", follow_up=False))
    where = ("--data-dir", tmp_path / "d", "--dataset", "table", "--split", "test")
    run("predict", save_bundle(tmp_path / "b"), *where, "--out", tmp_path / "p.parquet")
    assert set(read_predictions(tmp_path / "p.parquet").extra) == {"site", "device"}


def test_files_bring_their_device_and_site(tmp_path, save_bundle) -> None:
    pytest.importorskip("ecgdatakit", reason="needs the extra `formats`")
    write_muse(tmp_path / "m.xml")
    (tmp_path / "broken.xml").write_text("<RestingECG>")
    files = (tmp_path / "m.xml", tmp_path / "broken.xml")
    out = run(
        "predict",
        save_bundle(tmp_path / "b"),
        "--records",
        *files,
        "--out",
        tmp_path / "p.parquet",
    )
    assert "left out" in out and "1 ECGs x 3 labels" in out
    table = read_predictions(tmp_path / "p.parquet")
    assert table.extra["site"].tolist() == ["Mount Royal"]
    assert table.extra["device"][0] != ""
    assert table.sex.tolist() == ["female"] and table.age.tolist() == [63]
