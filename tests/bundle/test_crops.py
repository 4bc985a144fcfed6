"""Prediction by crops against slices that are predicted one by one."""

from pathlib import Path

import numpy as np
import pytest
from ecg_sources import write_wfdb
from typer.testing import CliRunner

from deepecg_jax.bundle import bundle as bundles
from deepecg_jax.bundle.predict import predict_records, predict_split
from deepecg_jax.cli.main import app
from deepecg_jax.data.building.build import build
from deepecg_jax.data.loading.protocol import WHOLE, EvaluationProtocol
from deepecg_jax.data.shards.split import Split, open_split
from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.table.predictions import read_predictions
from deepecg_jax.signals.contract import STANDARD_LEADS
from deepecg_jax.signals.recording import Recording
from deepecg_jax.signals.synthetic import generate

ECGS = np.rint(generate(np.arange(3), seed=9).signal * 1000).astype(np.float32) / 1000
SEVEN = EvaluationProtocol(crop_seconds=2.5, crop_stride_seconds=1.25, aggregate="max")
STARTS = (0, 312, 625, 937, 1250, 1562, 1875)


def by_hand(classifier: bundles.Bundle, ecg: np.ndarray, starts=STARTS) -> np.ndarray:
    """Largest probability of seven crops, each predicted as a signal of its own."""
    crops = np.stack([ecg[start : start + 625] for start in starts])
    return classifier.probabilities(crops, protocol=WHOLE).max(0)


@pytest.fixture(scope="module")
def cropping(classifier, tmp_path_factory) -> bundles.Bundle:
    """The classifier as if it had been validated by seven crops."""
    folder = tmp_path_factory.mktemp("crops") / "b"
    bundles.save(
        folder,
        model=classifier.architecture.model,
        head=classifier.architecture.head,
        params=classifier.params,
        labels=classifier.labels,
        signal=classifier.signal,
        thresholds={"AF": 0.25},
        protocol=SEVEN,
    )
    return bundles.load(folder)


@pytest.fixture(scope="module")
def split(tmp_path_factory) -> Split:
    folder = tmp_path_factory.mktemp("data")
    build("synthetic", folder, options={"n": "40"})
    return open_split(folder, "synthetic", "test")


@pytest.mark.slow
def test_arrays_and_recordings(classifier, cropping) -> None:
    expected = np.stack([by_hand(classifier, ecg) for ecg in ECGS])
    np.testing.assert_allclose(cropping.probabilities(ECGS), expected, atol=1e-6)
    given = classifier.probabilities(ECGS, protocol=SEVEN, batch_size=2)
    np.testing.assert_allclose(given, expected, atol=1e-6)
    assert np.abs(given - classifier.probabilities(ECGS)).max() > 1e-3
    logits = cropping.logits(ECGS)
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), expected, atol=1e-6)
    # two windows of 10 s: fourteen crops, none across both
    long = Recording(np.concatenate(ECGS[:2]), STANDARD_LEADS, 250.0)
    np.testing.assert_allclose(cropping.probabilities(long)[0], expected[:2].max(0), atol=1e-6)


@pytest.mark.slow
def test_crops_that_reach_into_padding_are_left_out(classifier, cropping) -> None:
    padded = ECGS.copy()
    valid = np.array([2500, 1000, 400])
    for ecg, n in zip(padded, valid, strict=True):
        ecg[n:] = 0
    found = cropping.probabilities(padded, valid_samples=valid)
    np.testing.assert_allclose(found[0], by_hand(classifier, padded[0]), atol=1e-6)
    np.testing.assert_allclose(found[1], by_hand(classifier, padded[1], (0, 312)), atol=1e-6)
    short = classifier.probabilities(padded[2:, :625], valid_samples=np.array([400]))
    np.testing.assert_allclose(found[2:], short, atol=1e-6)


@pytest.mark.slow
def test_a_split_and_files_are_predicted_by_the_bundles_protocol(
    classifier, cropping, split, tmp_path
) -> None:
    table = predict_split(cropping, split, batch_size=3).table
    signals = np.stack([split[i]["signal"] for i in range(len(split))]).astype(np.float32) / 1000
    expected = np.stack([by_hand(classifier, ecg) for ecg in signals])
    np.testing.assert_allclose(table.scores, expected, atol=1e-6)
    for number, ecg in enumerate(ECGS):
        write_wfdb(tmp_path / f"{number}", ecg)
    files = [tmp_path / f"{number}.hea" for number in range(3)]
    found = predict_records(cropping, files).table.scores
    np.testing.assert_allclose(found, [by_hand(classifier, ecg) for ecg in ECGS], atol=1e-6)
    whole = predict_records(cropping, files, protocol=WHOLE).table.scores
    np.testing.assert_allclose(whole, classifier.probabilities(ECGS), atol=1e-6)


def test_a_bundle_records_its_protocol(classifier, cropping) -> None:
    assert classifier.protocol == WHOLE and cropping.protocol == SEVEN
    assert cropping.config["protocol"] == SEVEN.model_dump()
    card = (cropping.folder / "README.md").read_text()
    assert "crops of 2.5 s every 1.25 s, the maximum of their probabilities" in card


@pytest.mark.parametrize(
    ("signals", "words"),
    [
        (ECGS[:, :500], "crop_seconds=2.5 is longer than the ECGs of the signals .* are 2 s"),
        (ECGS * np.nan, "record 0 has NaN"),
        (ECGS.astype(np.int16), "divide microvolts"),
    ],
)
def test_what_cannot_be_cropped_is_refused(cropping, signals, words) -> None:
    with pytest.raises(UserError, match=words):
        cropping.probabilities(signals)


@pytest.mark.slow
def test_the_command_says_which_protocol_it_took(cropping, split, tmp_path: Path) -> None:
    place = ["--data-dir", str(split.folder.parents[1]), "--dataset", "synthetic"]

    def predict(*flags: str) -> tuple[str, np.ndarray]:
        arguments = ["predict", str(cropping.folder), *place, "--out", str(tmp_path / "p"), *flags]
        result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
        assert result.exit_code == 0, result.output
        return result.output, read_predictions(tmp_path / "p").scores

    said, scores = predict()
    assert "crops of 2.5 s every 1.25 s, the maximum of their probabilities, as the bundle" in said
    expected = predict_split(cropping, split).table.scores
    np.testing.assert_array_equal(scores, expected)
    said, scores = predict("--crop-seconds", "0", "--aggregate", "mean_probability")
    assert "whole ECGs" in said and "thresholds were fitted on crops of 2.5 s" in said
    expected = predict_split(cropping, split, protocol=WHOLE).table.scores
    np.testing.assert_array_equal(scores, expected)
