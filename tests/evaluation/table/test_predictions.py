"""The predictions file: what is written comes back, and what is wrong is named."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.table.predictions import (
    Predictions,
    read_predictions,
    write_predictions,
)


def columns(**changes):
    table = {
        "record_id": ["a", "b", "c"],
        "patient_id": ["p", "p", "q"],
        "age": [50.0, None, 70.0],
        "sex": ["female", "male", None],
        "label:X": [1, 0, None],
        "score:X": [0.25, 0.5, 1.0],
    }
    table.update(changes)
    return {name: values for name, values in table.items() if values is not None}


def written(tmp_path, **changes):
    path = tmp_path / "p.parquet"
    pq.write_table(pa.table(columns(**changes)), path)
    return path


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_round_trip(tmp_path, dtype):
    path = tmp_path / "deep" / "p.parquet"
    labels = np.array([[1, -1], [0, 1]], np.int8)
    scores = np.array([[0.1, 0.2], [0.3, 1.0]], dtype)
    ages = np.array([61.5, np.nan])
    write_predictions(
        path,
        Predictions(
            names=["A", "B > 2"],
            labels=labels,
            scores=scores,
            record_id=["r1", "r2"],
            patient_id=["p1", "p1"],
            age=ages,
            sex=["male", "unknown"],
            extra={"site": ["x", "y"]},
        ),
    )
    back = read_predictions(path)
    assert back.names == ("A", "B > 2")
    np.testing.assert_array_equal(back.labels, labels)
    np.testing.assert_array_equal(back.scores, scores)
    assert back.scores.dtype == dtype
    np.testing.assert_array_equal(back.age, ages)
    assert list(back.record_id) == ["r1", "r2"]
    assert list(back.sex) == ["male", "unknown"]
    assert list(back.extra["site"]) == ["x", "y"]
    assert not back.has_survival
    assert pq.read_table(path).column_names == [
        "record_id",
        "patient_id",
        "age",
        "sex",
        "label:A",
        "score:A",
        "label:B > 2",
        "score:B > 2",
        "site",
    ]
    assert pq.read_table(path)["label:B > 2"].to_pylist() == [None, 1]


def test_nulls_booleans_and_integer_ids_are_understood(tmp_path):
    back = read_predictions(
        written(tmp_path, record_id=[1, 2, 3], **{"label:X": [True, False, None]})
    )
    assert list(back.record_id) == ["1", "2", "3"]
    np.testing.assert_array_equal(back.labels[:, 0], [1, 0, -1])
    assert list(back.sex) == ["female", "male", "unknown"]
    np.testing.assert_array_equal(np.isnan(back.age), [False, True, False])


def test_scores_without_a_label_column_are_unlabelled(tmp_path):
    back = read_predictions(written(tmp_path, **{"score:Y": [0.0, 0.1, 0.2]}))
    assert back.names == ("X", "Y")
    assert (back.labels[:, 1] == -1).all()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"patient_id": None}, "no column 'patient_id'"),
        ({"score:X": None}, "'label:X' but no 'score:X'"),
        ({"score:X": None, "label:X": None}, "nothing to evaluate"),
        ({"score:X": [0.1, 1.5, 0.2]}, r"outside 0..1 \(first 1.5 in row 1\).*sigmoid"),
        ({"score:X": [0.1, 0.2, -0.1]}, r"outside 0..1 \(first -0.1 in row 2\)"),
        ({"score:X": [0.1, float("nan"), 0.2]}, "'score:X' has 1 missing, NaN"),
        ({"score:X": [0.1, None, 0.2]}, "'score:X' has 1 missing"),
        ({"score:X": ["a", "b", "c"]}, "holds string, not numbers"),
        ({"label:X": [1, 2, 0]}, "'label:X' has the value 2 in row 1"),
        ({"label:X": [1.0, 0.5, 0.0]}, "'label:X' has the value 0.5"),
        ({"record_id": ["a", "b", "a"]}, "record_id 'a' 2 times"),
        ({"record_id": ["a", None, "b"]}, "without a record_id"),
        ({"sex": ["F", "male", "male"]}, "'sex' has the value 'F'"),
        ({"age": [-1.0, 2.0, 3.0]}, "'age' has the value -1"),
    ],
)
def test_bad_files_are_refused_by_name(tmp_path, changes, says):
    with pytest.raises(UserError, match=says):
        read_predictions(written(tmp_path, **changes))


def test_absent_foreign_and_empty_files(tmp_path):
    with pytest.raises(UserError, match="no predictions file"):
        read_predictions(tmp_path / "nothing.parquet")
    (tmp_path / "text.parquet").write_text("record_id,score:X\n")
    with pytest.raises(UserError, match="cannot be read as Parquet"):
        read_predictions(tmp_path / "text.parquet")
    empty = {name: pa.array([], pa.float32()) for name in columns()}
    empty |= {name: pa.array([], pa.string()) for name in ("record_id", "patient_id", "sex")}
    pq.write_table(pa.table(empty), tmp_path / "empty.parquet")
    with pytest.raises(UserError, match="no rows"):
        read_predictions(tmp_path / "empty.parquet")


def test_writing_refuses_what_reading_would(tmp_path):
    def one(labels, scores):
        return Predictions(
            ("X",), np.array(labels), np.array(scores), ["a"], ["p"], [1.0], ["male"]
        )

    with pytest.raises(UserError, match="outside 0..1"):
        write_predictions(tmp_path / "p", one([[1]], [[7.0]]))
    with pytest.raises(UserError, match=r"labels have shape \(1, 2\)"):
        write_predictions(tmp_path / "p", one([[1, 0]], [[0.5]]))
    with pytest.raises(UserError, match="must be 1, 0 or -1"):
        write_predictions(tmp_path / "p", one([[3]], [[0.5]]))
    assert not (tmp_path / "p").exists()


def test_unknown_follow_up_is_null(tmp_path):
    extra = {"time_days": np.array([10.0, np.nan]), "event": np.array([1, -1], np.int8)}
    who = ["a", "b"], ["p", "q"], [1.0, 2.0], ["male", "male"]
    written = Predictions(("X",), np.array([[1], [0]]), np.array([[0.5], [0.1]]), *who, extra)
    write_predictions(tmp_path / "p.parquet", written)
    table = pq.read_table(tmp_path / "p.parquet")
    assert table["time_days"].to_pylist() == [10.0, None]
    assert table["event"].to_pylist() == [1, None]
    assert table.schema.field("event").type == pa.int8()
    assert read_predictions(tmp_path / "p.parquet").has_survival
