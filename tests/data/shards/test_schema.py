"""The stored form: equal to TFDS' own, in both directions, and deterministic."""

import numpy as np
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core import example_serializer

from deepecg_jax.data.shards.schema import FEATURES, decode, encode, features

N_LABELS = 5


@pytest.fixture
def example() -> dict:
    rng = np.random.default_rng(0)
    return {
        "signal": rng.integers(-32768, 32768, (2500, 12), dtype=np.int16),
        "lead_mask": rng.random(12) < 0.5,
        "record_id": "R 1",
        "patient_id": "Ärztin/7",
        "age": 61.25,
        "sex": "female",
        "site": "",
        "device": "CS-12",
        "report": "Rythme sinusal, ST élévé",
        "labels": np.array([1, 0, -1, -1, 1], np.int8),
        "time_days": float("nan"),
        "event": -1,
    }


def test_features_are_those_of_the_interface() -> None:
    made = features(N_LABELS)
    assert tuple(sorted(made.keys())) == tuple(sorted(FEATURES))
    assert made["signal"].shape == (2500, 12) and made["signal"].np_dtype == np.int16
    assert made["lead_mask"].shape == (12,) and made["lead_mask"].np_dtype == np.bool_
    assert made["labels"].shape == (N_LABELS,) and made["labels"].np_dtype == np.int8
    assert made["event"].np_dtype == np.int8 and made["age"].np_dtype == np.float32
    assert isinstance(made["report"], tfds.features.Text)


def assert_same(read: dict, example: dict) -> None:
    for name, value in example.items():
        stored = read[name].decode() if isinstance(read[name], bytes) else read[name]
        np.testing.assert_array_equal(stored, value, err_msg=name)


def test_tfds_reads_what_we_write(example: dict) -> None:
    assert_same(dict(features(N_LABELS).deserialize_example_np(encode(example))), example)


def test_we_read_what_tfds_writes(example: dict) -> None:
    made = features(N_LABELS)
    serializer = example_serializer.ExampleSerializer(made.get_serialized_info())
    read = decode(serializer.serialize_example(made.encode_example(example)))
    assert_same(read, example)
    assert read["signal"].dtype == np.int16 and read["labels"].dtype == np.int8
    assert read["age"].dtype == read["time_days"].dtype == np.float32


def test_equal_examples_are_equal_bytes_in_any_order(example: dict) -> None:
    backwards = {name: example[name] for name in reversed(list(example))}
    assert encode(example) == encode(backwards)


def test_what_does_not_fit_the_schema_is_refused(example: dict) -> None:
    with pytest.raises(ValueError, match="int16"):
        encode({**example, "signal": example["signal"].astype(np.float32)})
    with pytest.raises(ValueError, match="weight"):
        encode({**example, "weight": 1.0})
    with pytest.raises(ValueError, match="report"):
        encode({name: value for name, value in example.items() if name != "report"})
    with pytest.raises(ValueError, match="not an ECG example"):
        decode(encode(example)[:-7])
    with pytest.raises(ValueError, match="not an ECG example"):
        decode(b"")
