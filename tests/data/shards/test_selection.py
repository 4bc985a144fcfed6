"""Conditions on quality measures and metadata."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from deepecg_jax.data.building.build import build
from deepecg_jax.data.loading.config import DataConfig
from deepecg_jax.data.loading.inputs import labelled_split, pretraining_sources
from deepecg_jax.data.shards.selection import parse_condition, positions_where
from deepecg_jax.data.shards.split import open_split
from deepecg_jax.errors import UserError


@pytest.fixture
def folder(ptb_xl_source, tmp_path):
    build("ptb_xl", tmp_path, ptb_xl_source)
    return tmp_path


@pytest.fixture
def split(folder):
    return open_split(folder, "ptb_xl", "train")


def quality(split) -> dict[str, np.ndarray]:
    table = pq.read_table(split.folder / "quality.parquet", filters=[("split", "==", split.name)])
    assert table["position"].to_pylist() == list(range(len(split)))
    return {name: table[name].to_numpy() for name in table.column_names}


def test_every_record_has_its_measures(split) -> None:
    measures = quality(split)
    for name in (
        "noise",
        "worst_noise",
        "baseline_wander",
        "powerline",
        "powerline_amplitude",
        "seconds",
        "saturated_fraction",
        "n_flat_leads",
        "einthoven_residual",
    ):
        assert np.isfinite(measures[name]).all(), name
    assert set(measures["powerline"]) <= {0.0, 50.0, 60.0}


def test_a_label_of_a_task_that_is_present(split) -> None:
    """PACE alone, every third ECG of the source, is a rhythm and has no superclass."""
    columns = [i for i, name in enumerate(split.label_names) if name.startswith("superclass:")]
    labelled = np.flatnonzero((split.labels[:, columns] == 1).any(1))
    assert 0 < len(labelled) < len(split)
    np.testing.assert_array_equal(positions_where(split, ["any superclass:*"]), labelled)
    np.testing.assert_array_equal(positions_where(split, ["any rhythm:*"]), np.arange(len(split)))
    afib = positions_where(split, ["any scp:AFIB"])
    both = positions_where(split, [" any  scp:AFIB ", "sex == female"])
    assert set(both) < set(afib) < set(labelled)
    with pytest.raises(UserError, match="has no label 'superclas:\\*'; did you mean"):
        positions_where(split, ["any superclas:*"])
    with pytest.raises(UserError, match="No ECG of .* fulfils any form:\\* and age > 3"):
        positions_where(split, ["any form:*", "age > 3"])


@pytest.mark.parametrize("sign", ["<", "<=", ">", ">=", "==", "!=", "="])
def test_each_operator(split, sign) -> None:
    noise = quality(split)["noise"]
    limit = float(np.sort(noise)[len(noise) // 2])
    expected = {
        "<": noise < limit,
        "<=": noise <= limit,
        ">": noise > limit,
        ">=": noise >= limit,
        "==": noise == limit,
        "=": noise == limit,
        "!=": noise != limit,
    }[sign]
    found = positions_where(split, [f"noise {sign} {limit!r}"])
    np.testing.assert_array_equal(found, np.flatnonzero(expected))
    assert 0 < len(found) < len(split)


def test_all_conditions_hold_together(split) -> None:
    measures, sex = quality(split), np.array(split.index["sex"].to_pylist())
    limit = float(np.median(measures["noise"]))
    found = positions_where(split, [f"noise<{limit!r}", "sex == female", "seconds >= 10"])
    expected = (measures["noise"] < limit) & (sex == "female")
    np.testing.assert_array_equal(found, np.flatnonzero(expected))
    assert len(positions_where(split, [])) == len(split)
    folds = np.array(split.index["fold"].to_pylist())
    np.testing.assert_array_equal(positions_where(split, ["fold != 3"]), np.flatnonzero(folds != 3))


def test_texts_and_truths(split) -> None:
    name = split.index["record_id"][4].as_py()
    assert positions_where(split, [f"record_id == '{name}'"]).tolist() == [4]
    assert positions_where(split, [f"record_id != {name}"]).tolist() == [
        i for i in range(len(split)) if i != 4
    ]
    assert len(positions_where(split, ["lead_gains_normalised == false"])) == len(split)


def test_the_unknown_fulfils_nothing(split) -> None:
    path = split.folder / "quality.parquet"
    table = pq.read_table(path)
    train = [value == "train" for value in table["split"].to_pylist()]
    rows = table.to_pylist()
    kept = [row for row, mine in zip(rows, train, strict=True) if mine]
    kept[0]["noise"], kept[1]["noise"] = None, float("nan")
    del kept[2]
    import pyarrow as pa

    pq.write_table(pa.Table.from_pylist(kept, schema=table.schema), path)
    for condition in ("noise < 100", "noise != 7", "noise >= 0"):
        assert positions_where(split, [condition]).tolist() == list(range(3, len(split)))


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("noise", "is no condition"),
        ("noise <", "is no condition"),
        ("noise << 3", "is no condition"),
        ("< 3", "is no condition"),
        ("__import__('os') == 3", "is no condition"),
        ("nois < 3", "no measure 'nois'; did you mean 'noise'"),
        ("height > 180", "no measure 'height'; there are "),
        ("noise < low", "noise is a number, but 'low' is none"),
        ("sex < 3", "sex is text"),
        ("noise < -1", "No ECG of .*, split train, fulfils noise < -1"),
    ],
)
def test_bad_conditions_are_one_sentence(split, condition, words) -> None:
    with pytest.raises(UserError, match=words):
        positions_where(split, [condition])


def test_a_condition_is_read_as_written() -> None:
    condition = parse_condition("  noise<=0.1 ")
    assert (condition.column, condition.operator, condition.value) == ("noise", "<=", "0.1")
    assert condition.text == "noise<=0.1"


def test_training_reads_only_what_was_asked_for(folder, split) -> None:
    limit = float(np.median(quality(split)["noise"]))
    expected = np.flatnonzero(quality(split)["noise"] < limit)
    config = DataConfig(dir=str(folder), dataset="ptb_xl", where=(f"noise < {limit!r}",))
    records = labelled_split(config, "train", ("superclass:NORM",), 1.0, 0)
    np.testing.assert_array_equal(records.positions, expected)
    assert len(records.labels) == len(records.records) == len(expected)
    sources, _, _, _ = pretraining_sources(config, 0, {"patient"}, whole=True)
    np.testing.assert_array_equal(sources[0].positions, expected)
    some = labelled_split(config, "train", ("superclass:NORM",), 0.7, 0).positions
    assert set(some) < set(expected)
    wrong = config.model_copy(update={"where": ("noisse < 1",)})
    with pytest.raises(UserError, match="did you mean 'noise'"):
        pretraining_sources(wrong, 0, (), whole=False)


def test_synthetic_ecgs_have_measures_too(tmp_path) -> None:
    build("synthetic", tmp_path, options={"n": "60"})
    split = open_split(tmp_path, "synthetic", "train")
    assert 0 < len(positions_where(split, ["noise < 0.02"])) < len(split)
    assert len(positions_where(split, ["seconds == 10", "valid_samples = 2500"])) == len(split)
