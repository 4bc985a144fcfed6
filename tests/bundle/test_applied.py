"""What a bundle takes: arrays at their own rate, and recordings."""

from dataclasses import replace

import numpy as np
import pytest

from deepecg_jax.bundle import bundle as bundles
from deepecg_jax.bundle import windows
from deepecg_jax.errors import UserError
from deepecg_jax.signals.contract import STANDARD_LEADS, SignalContract
from deepecg_jax.signals.recording import Recording
from deepecg_jax.signals.resample import resample
from deepecg_jax.signals.synthetic import generate

ECGS = generate(np.arange(3), seed=8).signal


def recording(ecg: np.ndarray, rate: float = 250.0, **more) -> Recording:
    return Recording(ecg, STANDARD_LEADS, rate, **more)


@pytest.fixture(scope="module")
def long() -> Recording:
    """20 s: two windows."""
    return recording(np.concatenate([ECGS[0], ECGS[1]]), record_id="long")


def test_embed_is_the_mean_token_without_padding(classifier):
    tokens = classifier.encode(ECGS)
    vectors = classifier.embed(ECGS)
    assert vectors.shape == (3, tokens.shape[-1]) and vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, tokens.mean(1), atol=1e-5)
    padded = ECGS.copy()
    padded[:, 1000:] = 0
    valid = np.array([1000, 1000, 1000])
    short = classifier.embed(padded, valid_samples=valid)
    real = classifier.architecture.model.n_tokens(1000)
    tokens = classifier.encode(padded, valid_samples=valid)[:, :real]
    np.testing.assert_allclose(short, tokens.mean(1), atol=1e-5)
    assert np.abs(short - classifier.embed(padded)).max() > 1e-3


def test_an_array_at_another_rate_is_resampled(classifier):
    faster = np.stack([resample(ecg, 250.0, 500.0) for ecg in ECGS])
    expected = np.stack([resample(ecg, 500.0, 250.0) for ecg in faster])
    found = classifier.probabilities(faster, sampling_rate=500.0)
    np.testing.assert_array_equal(found, classifier.probabilities(expected))
    np.testing.assert_allclose(found, classifier.probabilities(ECGS), atol=0.01)
    same = classifier.probabilities(ECGS, sampling_rate=250.0)
    np.testing.assert_array_equal(same, classifier.probabilities(ECGS))


def test_mask_and_padding_go_along_when_resampled(classifier):
    faster = np.stack([resample(ecg, 250.0, 500.0) for ecg in ECGS])
    faster[:, :, 3] = np.nan
    mask = np.ones((3, 12), bool)
    mask[:, 3] = False
    faster[:, 2000:] = 0
    found = classifier.embed(
        faster, sampling_rate=500, lead_mask=mask, valid_samples=np.array([2000] * 3)
    )
    clean = np.where(mask[:, None], faster, 0.0).astype(np.float32)
    slower = np.stack([resample(ecg, 500.0, 250.0) for ecg in clean])
    expected = classifier.embed(slower, valid_samples=np.array([1000] * 3))
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("signals", "words"),
    [
        (np.zeros((2, 100, 12), np.int16), "divide microvolts by 1000"),
        (np.zeros((2, 100, 3)), "signals have the shape"),
        (np.full((2, 100, 12), np.nan), "NaN or infinity in lead I"),
    ],
)
def test_a_bad_array_is_refused_before_it_is_resampled(classifier, signals, words):
    with pytest.raises(UserError, match=words):
        classifier.embed(signals, sampling_rate=500.0)


def test_recordings_are_what_predict_makes_of_them(classifier, long):
    one = classifier.probabilities(recording(ECGS[0]))
    np.testing.assert_allclose(one, classifier.probabilities(ECGS[:1]), atol=1e-6)
    both = classifier.probabilities([long, recording(ECGS[2])])
    parts = classifier.probabilities(ECGS)
    expected = np.stack([(parts[0] + parts[1]) / 2, parts[2]])
    np.testing.assert_allclose(both, expected, atol=1e-6)
    logits = classifier.logits([long, recording(ECGS[2])])
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), both, atol=1e-6)
    np.testing.assert_allclose(logits[1:], classifier.logits(recording(ECGS[2])), atol=1e-6)
    vectors = classifier.embed([long])
    np.testing.assert_allclose(vectors, classifier.embed(ECGS[:2]).mean(0)[None], atol=1e-5)


def test_tokens_of_recordings_of_one_length(classifier, long):
    assert classifier.encode([long, long]).shape[:2] == (2, 2 * classifier.encode(ECGS).shape[1])
    with pytest.raises(UserError, match="1 to 2 windows of 10 s.*take embed"):
        classifier.encode([long, recording(ECGS[2])])


def test_a_recording_brings_its_rate_and_leads(classifier):
    eight = [0, 1, *range(6, 12)]
    faster = resample(ECGS[0], 250.0, 500.0)[:, eight]
    names = tuple(STANDARD_LEADS[i] for i in eight)
    found = classifier.probabilities(Recording(faster, names, 500.0))
    np.testing.assert_allclose(found, classifier.probabilities(ECGS[:1]), atol=0.01)


@pytest.mark.parametrize(
    ("signals", "given", "words"),
    [
        ([], {}, "but there is none"),
        ([recording(ECGS[0]), ECGS[1]], {}, "a ndarray stands among them"),
        ([recording(ECGS[0])], {"sampling_rate": 500.0}, "do not give sampling_rate"),
        ([recording(ECGS[0])], {"lead_mask": np.ones((1, 12))}, "do not give lead_mask"),
        (ECGS, {"sampling_rate": 5.0}, "sampling rate is 5.0"),
        (
            [recording(ECGS[0]), recording(np.zeros((2500, 12)), record_id="r9")],
            {},
            r"Recording 1 \(r9\) cannot be used: 12 of 12 leads are flat",
        ),
    ],
)
def test_what_a_bundle_refuses(classifier, signals, given, words):
    with pytest.raises(UserError, match=words):
        classifier.embed(signals, **given)


def test_a_model_of_filtered_ecgs_needs_profiles(tmp_path, save_bundle):
    folder = save_bundle(tmp_path / "b", signal=SignalContract(filters=("powerline",)))
    with pytest.raises(UserError, match="without powerline; give --site-profile"):
        bundles.load(folder).embed(recording(ECGS[0]))


def test_deepecg_recordings_are_one_batch(monkeypatch):
    contract = SignalContract(scaling="deepecg")
    ecgs = [recording(ecg) for ecg in ECGS]
    together = windows.windows_of(ecgs, contract)
    monkeypatch.setattr(windows, "DEEPECG_BATCH", 1)
    alone = windows.windows_of(ecgs, contract)
    assert together.signals.shape == alone.signals.shape == (3, 2500, 12)
    assert np.abs(together.signals - alone.signals).max() > 0.01


def test_an_encoder_embeds_but_has_no_logits(tmp_path, save_bundle):
    encoder = bundles.load(save_bundle(tmp_path / "e", kind=None))
    assert encoder.embed(ECGS).shape[0] == 3 and encoder.labels == ()
    with pytest.raises(UserError, match="encoder without a head"):
        encoder.probabilities([replace(recording(ECGS[0]))])
