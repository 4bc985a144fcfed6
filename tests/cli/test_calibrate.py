"""``deepecg calibrate`` as a command, and calibrations in bundles."""

import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from deepecg_jax.bundle.calibrated import load_calibration, store_calibration
from deepecg_jax.cli.calibrate import command
from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.table.predictions import (
    Predictions,
    read_predictions,
    write_predictions,
)

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(command)
LABELS = ["AF", "LBBB", "superclass:MI"]


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, UserError):
        raise result.exception
    return result


@pytest.fixture
def bundle(tmp_path):
    """As much of a bundle as a calibration looks at."""
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "config.json").write_text('{"schema": 1, "fingerprint": "abc"}')
    (tmp_path / "bundle" / "labels.json").write_text(json.dumps(LABELS))
    return tmp_path / "bundle"


@pytest.fixture
def validation(tmp_path):
    rng = np.random.default_rng(0)
    scores = rng.beta(1, 2, (200, 3))
    labels = (rng.random((200, 3)) < scores**2).astype(int)
    labels[:, 2] = 0
    write_predictions(
        tmp_path / "v.parquet",
        Predictions(
            names=LABELS,
            labels=labels,
            scores=scores,
            record_id=[f"r{i}" for i in range(200)],
            patient_id=[f"p{i // 2}" for i in range(200)],
            age=[50] * 200,
            sex=["male"] * 200,
        ),
    )
    return tmp_path / "v.parquet"


def test_fit_store_and_apply(validation, bundle, tmp_path):
    out, mapped = tmp_path / "c" / "calibration.json", tmp_path / "mapped.parquet"
    result = run(validation, "--method", "platt", "--bundle", bundle, "--out", out)
    assert result.exit_code == 0, result.output
    assert "superclass:MI keeps its scores: the validation data have no positive" in result.stderr
    assert load_calibration(bundle) == json.loads(out.read_text()) | {"fingerprint": "abc"}
    run("--apply", out, validation, "--out", mapped)
    once = read_predictions(mapped)
    run("--apply", bundle, validation, "--out", mapped)
    assert np.array_equal(read_predictions(mapped).scores, once.scores)
    known = once.labels[:, :2]
    assert once.scores[:, :2].mean(axis=0) == pytest.approx(known.mean(axis=0), abs=1e-9)
    assert np.array_equal(once.scores[:, 2], read_predictions(validation).scores[:, 2])


def test_usage_is_explained(validation, bundle, tmp_path):
    out = tmp_path / "x.json"
    with pytest.raises(UserError, match="needs --method"):
        run(validation, "--out", out)
    with pytest.raises(UserError, match="leave out --method"):
        run(validation, "--apply", out, "--method", "platt", "--out", out)
    with pytest.raises(UserError, match=r"no calibration\.json"):
        run(validation, "--apply", bundle, "--out", out)
    assert not out.exists()


def test_a_calibration_belongs_to_its_bundle(validation, bundle, tmp_path):
    run(validation, "--method", "temperature", "--bundle", bundle, "--out", tmp_path / "c.json")
    (bundle / "config.json").write_text('{"schema": 1, "fingerprint": "other"}')
    with pytest.raises(UserError, match="other weights"):
        load_calibration(bundle)
    fitted = json.loads((tmp_path / "c.json").read_text())
    del fitted["findings"]["AF"]
    with pytest.raises(UserError, match="label 'AF'"):
        store_calibration(bundle, fitted)
    (bundle / "labels.json").write_text('["LBBB"]')
    with pytest.raises(UserError, match="finding 'superclass:MI'"):
        store_calibration(bundle, fitted)
