"""The short cut to signal and lead mask reads what protobuf reads, or leaves it to protobuf."""

import numpy as np
import pytest

from deepecg_jax.data.shards import wire
from deepecg_jax.data.shards.schema import SIGNAL_SHAPE, decode, encode


@pytest.fixture
def example() -> dict:
    rng = np.random.default_rng(0)
    return {
        "signal": rng.integers(-(2**15), 2**15, SIGNAL_SHAPE).astype(np.int16),
        "lead_mask": rng.random(12) < 0.6,
        "labels": np.array([1, 0, -1, 1], np.int8),
        "event": np.int8(-1),
        "age": np.float32(61.5),
        "time_days": np.float32("nan"),
        **{name: name for name in ("record_id", "patient_id", "sex", "site", "device", "report")},
    }


def read(record: bytes) -> tuple[np.ndarray, np.ndarray]:
    signal, mask = np.empty(30_000, np.int16), np.empty(12, np.uint8)
    wire.copy_ecg(record, signal, mask)
    return signal.reshape(SIGNAL_SHAPE), mask


def require_same(record: bytes, example: dict) -> None:
    signal, mask = read(record)
    np.testing.assert_array_equal(signal, example["signal"])
    assert mask.tolist() == np.asarray(example["lead_mask"]).astype(int).tolist()


@pytest.mark.parametrize("length", [0, 100, 127, 128, 20_000, 60_000])
def test_texts_of_any_length_stand_before_the_signal(example, length) -> None:
    example["report"] = "x" * length
    record = encode(example)
    assert wire._places(record) is not None
    require_same(record, example)


def test_a_text_that_looks_like_a_signal_is_none(example) -> None:
    inside = wire._SIGNAL.decode("latin-1") + "y" * 60_000
    example["report"] = inside.encode("latin-1").decode("utf-8", "replace")
    example["device"] = wire._MASK.decode() + "z" * 12
    require_same(encode(example), example)


def reordered(record: bytes) -> bytes:
    """The same map with its last entry first, as another writer may have it."""
    at, end = wire._field(record, 0)
    entries = []
    start = at
    while at < end:
        _, at = wire._field(record, at)
        entries.append(record[start:at])
        start = at
    return record[: wire._field(record, 0)[0]] + b"".join([entries[-1], *reversed(entries[:-1])])


def test_the_order_of_the_features_does_not_matter(example) -> None:
    record = reordered(encode(example))
    assert record != encode(example) and wire._places(record) is not None
    require_same(record, example)


def test_what_is_laid_out_otherwise_is_left_to_protobuf(example) -> None:
    # twelve true as twelve numbers that are not 1: protobuf's bool of each is true
    record = encode(example | {"lead_mask": np.full(12, 5)})
    assert wire._places(record) is None
    require_same(record, example | {"lead_mask": np.ones(12, bool)})
    # negative numbers take ten bytes each
    record = encode(example | {"lead_mask": np.full(12, -1)})
    assert wire._places(record) is None
    require_same(record, example | {"lead_mask": np.ones(12, bool)})


def test_bytes_that_are_no_ecg_are_refused_as_by_protobuf(example) -> None:
    record = encode(example)
    for broken in (b"", b"\x00", record[:-1], record[:200], record[:-30_000], b"\x0a" * 50):
        with pytest.raises(ValueError, match="not an ECG example"):
            read(broken)
        with pytest.raises(ValueError, match="not an ECG example"):
            decode(broken)
