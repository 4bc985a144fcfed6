"""``deepecg embed``: one vector an ECG as a table that others can fit on."""

import csv
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from ecg_sources import write_wfdb
from sklearn.linear_model import LogisticRegression
from typer.testing import CliRunner

from deepecg_jax.bundle import bundle as bundles
from deepecg_jax.bundle.embed import embed_split, embedding_names
from deepecg_jax.cli.main import app
from deepecg_jax.data.building.build import build
from deepecg_jax.data.shards.split import Split, open_split
from deepecg_jax.errors import UserError
from deepecg_jax.signals.synthetic import generate


@pytest.fixture(scope="module")
def split(tmp_path_factory) -> Split:
    folder = tmp_path_factory.mktemp("data")
    build("synthetic", folder, options={"n": "40"})
    return open_split(folder, "synthetic", "train")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory, save_bundle) -> bundles.Bundle:
    return bundles.load(save_bundle(tmp_path_factory.mktemp("e") / "encoder", kind=None))


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, UserError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def vectors_of(table) -> np.ndarray:
    names = sorted(name for name in table.column_names if name.startswith("embedding:"))
    return np.stack([table[name].to_numpy() for name in names], 1)


@pytest.mark.slow
@pytest.mark.parametrize("readout", ["mean", "mean_max_local"])
def test_the_table_holds_what_embed_gives(encoder, split, readout) -> None:
    found = embed_split(encoder, split, readout, ["Afib"], batch_size=16)
    signals = np.stack([split[i]["signal"] for i in range(len(split))]).astype(np.float32) / 1000
    expected = encoder.embed(signals, readout=readout)
    # in batches of another size, so that sums round differently
    np.testing.assert_allclose(vectors_of(found.table), expected, rtol=1e-5, atol=1e-6)
    assert (
        found.width
        == expected.shape[1]
        == 16 * (1 if readout == "mean" else 2)
        + (0 if readout == "mean" else 2 * encoder.architecture.model.feature_width)
    )
    rows = found.table.to_pylist()
    assert [row["record_id"] for row in rows] == split.index["record_id"].to_pylist()
    assert rows[0]["patient_id"] == split[0]["patient_id"] and rows[0]["sex"] == split[0]["sex"]
    column = split.label_names.index("Afib")
    assert [row["label:Afib"] for row in rows] == split.labels[:, column].tolist()


@pytest.mark.slow
def test_scikit_learn_fits_on_what_the_command_writes(encoder, split, tmp_path) -> None:
    place = ("--data-dir", split.folder.parents[1], "--dataset", "synthetic", "--split", "train")
    out = tmp_path / "e.parquet"
    said = run("embed", encoder.folder, *place, "--label", "Afib", "--out", out)
    assert f"{len(split)} ECGs x 16 numbers (mean)" in said
    table = pq.read_table(out)
    x, y = vectors_of(table), table["label:Afib"].to_numpy()
    fitted = LogisticRegression(max_iter=2000).fit(x, y)
    assert fitted.coef_.shape == (1, 16) and set(fitted.predict(x)) <= {0, 1}


@pytest.mark.slow
def test_files_to_a_csv(encoder, tmp_path: Path) -> None:
    ecgs = generate(np.arange(2), seed=3).signal
    for number, ecg in enumerate(ecgs):
        write_wfdb(tmp_path / f"{number}", ecg)
    (tmp_path / "bad.hea").write_text("nonsense")
    files = [tmp_path / name for name in ("0.hea", "bad.hea", "1.hea")]
    said = run("embed", encoder.folder, "--records", *files, "--out", tmp_path / "e.csv")
    assert "left out" in said and "2 ECGs x 16 numbers" in said
    with (tmp_path / "e.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["record_id"] for row in rows] == ["0", "1"] and rows[0]["patient_id"] == "0"
    found = [[float(row[name]) for name in embedding_names(16)] for row in rows]
    expected = encoder.embed(np.rint(ecgs * 1000) / 1000)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_columns_sort_in_the_order_of_the_vector() -> None:
    assert embedding_names(2) == ["embedding:000", "embedding:001"]
    many = embedding_names(1001)
    assert many == sorted(many) and many[-1] == "embedding:1000"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "deepecg embed needs either --data-dir and --dataset, or --records FILE, not both"),
        (("--records", "a.xml", "--label", "Afib"), "--label goes with --dataset"),
        (("--records", "a.xml", "--where", "noise < 1"), "--where goes with --dataset"),
        (("--data-dir", "d"), "--data-dir and --dataset go together"),
    ],
)
def test_what_the_command_refuses(encoder, arguments, words) -> None:
    with pytest.raises(UserError, match=words):
        run("embed", encoder.folder, *arguments, "--out", "e.parquet")


def test_a_readout_that_the_encoder_lacks_is_refused(encoder, split, tmp_path) -> None:
    with pytest.raises(UserError, match="readout=summary needs a summary"):
        embed_split(encoder, split, "summary")
    with pytest.raises(UserError, match="readout=best is none; there are mean"):
        encoder.embed(np.zeros((1, 2500, 12), np.float32), readout="best")
    place = ("--data-dir", tmp_path, "--dataset", "synthetic")
    with pytest.raises(UserError, match=r"written as .parquet or .csv"):
        run("embed", encoder.folder, *place, "--out", tmp_path / "e.xlsx")
