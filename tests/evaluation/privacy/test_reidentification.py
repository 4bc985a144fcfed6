"""Re-identification against the search written out; files; the command."""

import datetime
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score
from typer.testing import CliRunner

from deepecg_jax.cli.privacy import command
from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.privacy.embedding_table import Embeddings, read_embeddings
from deepecg_jax.evaluation.privacy.reidentification import reidentify
from deepecg_jax.evaluation.resampling.resampling import Resampling
from deepecg_jax.evaluation.table.predictions import Predictions, write_predictions


def draw(seed, n, identity=1.0, width=4, each=3):
    rng = np.random.default_rng(seed)
    patient = rng.integers(0, max(2, n // each), n)
    own = rng.normal(size=(n, width))[patient]
    day = np.datetime64("2020-01-01") + rng.integers(0, 3, n)
    vectors = identity * own + rng.normal(size=(n, width))
    ids = np.array([f"p{i}" for i in patient], object)
    return Embeddings(vectors.astype(np.float32), ids, day.astype("datetime64[D]"), 0)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(6, 60))
def test_equals_the_search_written_out(seed, n):
    data = draw(seed, n)
    x = data.vectors / np.linalg.norm(data.vectors, axis=1, keepdims=True)
    hits, chances = [], []
    for i in range(n):
        same = data.patient_id == data.patient_id[i]
        mates = same & (data.date != data.date[i])
        if not mates.any():
            continue
        gallery = np.flatnonzero(mates | ~same)
        near = np.round(x[gallery] @ x[i], 6)
        found = mates[gallery][np.argsort(-near, kind="stable")]
        precision = average_precision_score(mates[gallery], near)
        hits.append([found[0], found[:5].any(), precision])
        chances.append(mates.sum() / len(gallery))
    if not hits:
        with pytest.raises(UserError, match="nobody can be found"):
            reidentify(data, Resampling(2))
        return
    result = reidentify(data, Resampling(2))
    assert result["n_queries"] == len(hits)
    expected = np.mean(hits, axis=0)
    assert [result[k]["value"] for k in ("rank_1", "rank_5", "map")] == pytest.approx(expected)
    assert result["chance"]["rank_1"] == pytest.approx(np.mean(chances))


def test_identity_in_the_embedding_is_found_and_chance_is_not():
    told = reidentify(draw(0, 300, identity=8.0, width=16), Resampling(100))
    assert told["rank_1"]["low"] > 0.9 and told["map"]["value"] > 0.9
    silent = reidentify(draw(0, 400, identity=0.0, each=20), Resampling(200))
    assert silent["rank_1"]["low"] <= silent["chance"]["rank_1"] <= silent["rank_1"]["high"]
    assert silent["rank_5"]["low"] <= silent["chance"]["rank_5"] <= silent["rank_5"]["high"]
    alike = draw(0, 300)
    alike = Embeddings(np.full_like(alike.vectors, 0.3), alike.patient_id, alike.date, 0)
    assert reidentify(alike, Resampling(2))["rank_5"]["value"] == 0.0


def test_fewer_queries_and_the_same_numbers_again():
    data = draw(1, 400)
    one, two = (reidentify(data, Resampling(20), most_queries=50) for _ in range(2))
    assert one == two and one["n_queries"] == 50
    assert reidentify(data, Resampling(20))["n_queries"] > 300


def test_files(tmp_path):
    vectors = np.arange(12.0).reshape(4, 3) + 1
    dates = ["2020-01-01", "2020-02-01", "", "2021-01-01"]
    np.savez(tmp_path / "e.npz", embedding=vectors, patient_id=["a", "a", "b", ""], date=dates)
    found = read_embeddings(tmp_path / "e.npz")
    assert found.left_out == 2 and found.vectors.shape == (2, 3)
    assert found.date[1] == np.datetime64("2020-02-01")
    days = [datetime.datetime(2020, 1, 1), datetime.datetime(2020, 1, 1, 9), None, None]
    pq.write_table(
        pa.table(
            {
                "embedding": list(vectors),
                "patient_id": [1, 1, 2, 2],
                "date": pa.array(days, pa.timestamp("us")),
            }
        ),
        tmp_path / "e.parquet",
    )
    found = read_embeddings(tmp_path / "e.parquet")
    assert found.left_out == 2 and found.patient_id.tolist() == ["1", "1"]
    assert found.date[0] == found.date[1]  # one day, though at different hours


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"date": None}, "has no 'date'"),
        ({"date": ["soon"] * 4}, "not YYYY-MM-DD"),
        ({"embedding": np.zeros((4, 2))}, "4 embeddings are zero"),
        ({"embedding": np.ones(4)}, "must be \\(N, D\\)"),
        ({"patient_id": ["a"] * 3}, "3 patients"),
    ],
)
def test_damaged_files_are_refused(fields, words, tmp_path):
    good = {"embedding": np.ones((4, 2)), "patient_id": ["a"] * 4, "date": ["2020-01-01"] * 4}
    content = {k: v for k, v in {**good, **fields}.items() if v is not None}
    np.savez(tmp_path / "e.npz", **content)
    with pytest.raises(UserError, match=words):
        read_embeddings(tmp_path / "e.npz")
    (tmp_path / "x.npz").write_text("no")
    with pytest.raises(UserError, match="cannot be read as NPZ"):
        read_embeddings(tmp_path / "x.npz")
    ragged = pa.table({"embedding": [[1.0], [1.0, 2.0]], "patient_id": ["a"] * 2, "date": [""] * 2})
    pq.write_table(ragged, tmp_path / "e.parquet")
    with pytest.raises(UserError, match="not numbers of one length"):
        read_embeddings(tmp_path / "e.parquet")


def test_command(tmp_path):
    rng = np.random.default_rng(0)
    for name, start in (("m", 0), ("n", 60), ("r", 0), ("s", 0)):
        size = 60 if name in "mn" else 120
        write_predictions(
            tmp_path / f"{name}.parquet",
            Predictions(
                names=["a", "b"],
                labels=rng.integers(0, 2, (size, 2)),
                scores=rng.random((size, 2)),
                record_id=[f"r{start + i}" for i in range(size)],
                patient_id=[f"p{(start + i) // 2}" for i in range(size)],
                age=[50] * size,
                sex=["male"] * size,
                extra={"member": rng.random(size) < 0.5} if name in "rs" else {},
            ),
        )
    data = draw(0, 60)
    np.savez(
        tmp_path / "e.npz",
        embedding=data.vectors,
        patient_id=data.patient_id.astype(str),
        date=data.date,
    )
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(command)
    arguments = [
        "--members",
        "m.parquet",
        "--non-members",
        "n.parquet",
        "--reference",
        "r.parquet",
        "s.parquet",
        "--embeddings",
        "e.npz",
        "--resamples",
        "5",
    ]
    paths = [str(tmp_path / a) if "." in a else a for a in arguments]
    result = CliRunner().invoke(app, [*paths, "--out", str(tmp_path / "o")])
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "o" / "privacy.json").read_text())
    assert found["membership"]["likelihood_ratio"]["models"] == 2
    assert "needs at least 100 non-members" in str(found["membership"]["loss"]["tpr_at_fpr"])
    assert "rank-1" in result.stdout and "likelihood ratio" in result.stdout
