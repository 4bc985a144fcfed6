"""Crops of ECGs and how their scores become one, against loops and hand computation."""

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.special import expit, logit

from deepecg_jax.data.loading.crops import CroppedRecords, crops_of
from deepecg_jax.data.loading.protocol import EvaluationProtocol, overridden, pieces_of
from deepecg_jax.data.loading.records import ArrayRecords
from deepecg_jax.errors import UserError
from deepecg_jax.signals.contract import SignalContract


@pytest.mark.parametrize(
    ("rate", "seconds", "stride", "starts"),
    [
        (250.0, 2.5, 1.25, [0, 312, 625, 937, 1250, 1562, 1875]),  # 312.5 samples: rounded down
        (100.0, 2.5, 1.25, [0, 125, 250, 375, 500, 625, 750]),  # Strodthoff's seven crops
        (250.0, 2.5, None, [0, 625, 1250, 1875]),
        (250.0, 4.0, None, [0, 1000]),  # a third would need 12 s
        (250.0, 10.0, None, [0]),
    ],
)
def test_crops_of_ten_seconds(rate, seconds, stride, starts) -> None:
    protocol = EvaluationProtocol(crop_seconds=seconds, crop_stride_seconds=stride)
    samples = protocol.samples(rate)
    assert samples is not None
    crops = crops_of(np.array([round(10 * rate)]), *samples)
    assert crops.start.tolist() == starts and crops.counts.tolist() == [len(starts)]
    assert (crops.valid == round(seconds * rate)).all()


@pytest.mark.parametrize("stride", [1.0, 3.0, 312.5, 100 / 3, 0.1 * 250, 7.3])
def test_all_crops_that_fit_and_no_other(stride: float) -> None:
    valid = np.array([1, 49, 50, 51, 82, 83, 84, 149, 150, 151, 733])
    step = round(stride, 6)
    crops = crops_of(valid, 50, step)
    for ecg, n in enumerate(valid):
        # exact arithmetic: micro-samples
        micro = round(step * 1e6)
        starts = [k * micro // 10**6 for k in range(2000) if k * micro // 10**6 + 50 <= n] or [0]
        own = crops.ecg == ecg
        assert crops.start[own].tolist() == starts and crops.counts[ecg] == len(starts)
        assert crops.valid[own].tolist() == [min(50, n)] * len(starts)


def test_cropped_records_are_slices_and_each_ecg_is_read_once() -> None:
    rng = np.random.default_rng(0)
    arrays = {
        "signal": rng.integers(-9, 9, (3, 100, 2)).astype(np.int16),
        "lead_mask": np.array([[True, True], [True, False], [False, True]]),
        "labels": np.zeros((3, 1), np.int8),
    }
    read: list[int] = []

    class Counted(ArrayRecords):
        def rows(self, positions):
            read.extend(positions.tolist())
            return super().rows(positions)

    protocol = EvaluationProtocol(crop_seconds=4, crop_stride_seconds=2)
    pieces, counts = pieces_of(Counted(arrays), np.array([100, 25, 60]), protocol, 10.0)
    assert isinstance(pieces, CroppedRecords)
    assert counts.tolist() == [4, 1, 2] and len(pieces) == 7
    rows = pieces.rows(np.array([1, 3, 4, 6]))
    assert read == [0, 1, 2]
    places = [(0, 20), (0, 60), (1, 0), (2, 20)]
    expected = np.stack([arrays["signal"][ecg, start : start + 40] for ecg, start in places])
    np.testing.assert_array_equal(rows["signal"], expected)
    np.testing.assert_array_equal(rows["lead_mask"], arrays["lead_mask"][[0, 0, 1, 2]])
    assert rows["valid_samples"].tolist() == [40, 40, 25, 40] and "labels" not in rows
    np.testing.assert_array_equal(pieces[3]["signal"], expected[1])
    whole = ArrayRecords(arrays)
    same, ones = pieces_of(whole, np.array([100, 25, 60]), EvaluationProtocol(), 10.0)
    assert same is whole and ones.tolist() == [1, 1, 1]
    no_padding, _ = pieces_of(whole, np.array([100, 100, 60]), protocol, 10.0)
    assert "valid_samples" not in no_padding[0]


LOGITS = np.array([[0.0, 2.0], [3.0, -1.0], [-2.0, 4.0], [0.5, 0.5]], np.float32)
COUNTS = np.array([3, 1])


def test_scores_of_crops_become_one() -> None:
    p = 1 / (1 + np.exp(-LOGITS.astype(np.float64)))
    expected = {
        "mean_probability": np.stack([p[:3].mean(0), p[3]]),
        "mean_logit": expit(np.stack([LOGITS[:3].mean(0), LOGITS[3]])),
        "max": np.stack([p[:3].max(0), p[3]]),
    }
    for aggregate, scores in expected.items():
        protocol = EvaluationProtocol(crop_seconds=1, aggregate=aggregate)  # type: ignore[arg-type]
        found = protocol.joined_probabilities(LOGITS, COUNTS)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, scores, atol=1e-7)
        logits = protocol.joined_logits(LOGITS, COUNTS)
        np.testing.assert_allclose(logits, logit(scores), atol=1e-5)
        np.testing.assert_array_equal(logits[1], LOGITS[3])


def test_one_piece_an_ecg_keeps_its_logits_to_the_bit() -> None:
    for aggregate in ("mean_probability", "mean_logit", "max"):
        protocol = EvaluationProtocol(aggregate=aggregate)  # type: ignore[arg-type]
        assert protocol.joined_logits(LOGITS, np.ones(4, int)) is LOGITS


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"crop_stride_seconds": 1.0}, "crop_stride_seconds goes with crop_seconds, which is null"),
        ({"crop_seconds": 0}, "greater than 0"),
        ({"aggregate": "median"}, "mean_probability"),
    ],
)
def test_protocols_that_mean_nothing(values, words) -> None:
    with pytest.raises(ValidationError, match=words):
        EvaluationProtocol.model_validate(values)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"crop_seconds": 12}, "crop_seconds=12 is longer than the ECGs of DATA, which are 10 s"),
        ({"crop_seconds": 0.02}, "leaves 5 samples of DATA, less than one token"),
        ({"crop_seconds": 1, "crop_stride_seconds": 0.001}, "is less than a sample of DATA"),
    ],
)
def test_crops_that_ecgs_cannot_have(values, words) -> None:
    protocol = EvaluationProtocol.model_validate(values)
    with pytest.raises(UserError, match=words):
        protocol.check(SignalContract(), lambda n: n // 10, "DATA")


def test_flags_override_a_protocol() -> None:
    stored = EvaluationProtocol(crop_seconds=2.5, crop_stride_seconds=1.25, aggregate="max")
    assert overridden(stored) == stored
    assert overridden(stored, aggregate="mean_logit").crop_stride_seconds == 1.25
    other = overridden(stored, crop_seconds=5.0)
    assert (other.crop_seconds, other.crop_stride_seconds, other.aggregate) == (5.0, None, "max")
    assert overridden(stored, 0.0).crop_seconds is None
    assert overridden(stored, None, 2.0).crop_stride_seconds == 2.0
    with pytest.raises(UserError, match="goes with crop_seconds; give both"):
        overridden(EvaluationProtocol(), None, 2.0)
    with pytest.raises(UserError, match="crop_stride_seconds is -1, but must be a positive"):
        overridden(stored, None, -1.0)
    assert stored.in_words == "crops of 2.5 s every 1.25 s, the maximum of their probabilities"
