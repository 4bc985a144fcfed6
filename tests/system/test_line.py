"""The commands one after another, as a person types them, on a small synthetic data set."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file
from xla_flags import QUICK

SMALL = [
    "train.steps=6",
    "train.global_batch=16",
    "train.log_every=2",
    "train.checkpoint_every=2",
    "schedule.warmup_steps=2",
    "model.conv_layers=[[32,16,16]]",
    "model.layers=1",
    "model.width=32",
    "model.ffn_width=32",
    "model.scan_unroll=1",
]


def environment() -> dict[str, str]:
    """One device, as a laptop has; quick to compile rather than to run."""
    return {**os.environ, "XLA_FLAGS": QUICK, "JAX_PLATFORMS": "cpu", "COLUMNS": "200"}


def deepecg(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command and insist on its exit code."""
    done = subprocess.run(
        [sys.executable, "-m", "deepecg_jax.cli.main", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=600,
    )
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    deepecg("build", "synthetic", "--data-dir", folder / "data", "--option", "n=240")
    deepecg(
        "pretrain",
        "configs/pretrain/wcr_tiny.yaml",
        f"data.dir={folder}/data",
        f"workdir={folder}/pre",
        *SMALL,
    )
    return folder


def finetune(runs: Path, name: str, *overrides: str, code: int = 0):
    return deepecg(
        "finetune",
        "configs/quickstart/finetune.yaml",
        f"data.dir={runs}/data",
        "data.label_share=1.0",
        f"workdir={runs}/{name}",
        "labels=[Afib, Left bundle branch block]",
        "train.steps=4",
        "train.global_batch=16",
        "schedule.warmup_steps=0",
        "stopping.evaluate_every=2",
        *overrides,
        code=code,
    )


@pytest.fixture(scope="module")
def classifier(runs) -> Path:
    finetune(runs, "ft", f"init_from={runs}/pre")
    return runs / "ft"


@pytest.mark.slow
def test_pretraining_leaves_what_scripts_read(runs):
    pre = runs / "pre"
    rows = [json.loads(line) for line in (pre / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [2, 4, 6]
    assert (pre / "config.yaml").is_file() and (pre / "bundle" / "config.json").is_file()
    again = deepecg("pretrain", pre / "config.yaml")
    assert "is finished" in again.stdout


@pytest.mark.slow
def test_from_classifier_to_report_and_torch(runs, classifier):
    predictions = runs / "predictions.parquet"
    deepecg(
        "predict",
        classifier,
        "--data-dir",
        runs / "data",
        "--dataset",
        "synthetic",
        "--split",
        "test",
        "--out",
        predictions,
    )
    table = pq.read_table(predictions)
    names = ["Afib", "Left bundle branch block"]
    assert [c for c in table.column_names if ":" in c] == [
        f"{kind}:{name}" for name in names for kind in ("label", "score")
    ]
    thresholds = classifier / "bundle" / "thresholds.json"
    assert set(json.loads(thresholds.read_text())) == set(names)
    out = runs / "evaluation"
    deepecg("evaluate", predictions, "--out", out, "--resamples", 50, "--thresholds", thresholds)
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["schema"] == 1 and metrics["n_records"] == table.num_rows
    assert (out / "report.html").stat().st_size > 10_000

    pytest.importorskip("torch")
    deepecg("export", classifier, "--format", "torch", "--out", runs / "torch")
    parity = json.loads((runs / "torch" / "parity.json").read_text())
    assert parity["max_abs_difference"] < 1e-4 and parity["n_records"] >= 16
    code = (
        "import torch; from torch_model import load; "
        "print(tuple(load('.')(torch.zeros(2, 12, 2500)).shape))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=runs / "torch", capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "(2, 2)"


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["linear", "attention"])
def test_probes_leave_the_encoder_as_it_was(runs, mode):
    finetune(runs, mode, f"init_from={runs}/pre", f"mode={mode}")
    before = load_file(runs / "pre" / "bundle" / "model.safetensors")
    after = load_file(runs / mode / "bundle" / "model.safetensors")
    encoder = {k.removeprefix("encoder."): v for k, v in after.items() if k.startswith("encoder.")}
    assert encoder.keys() == before.keys()
    for name, value in before.items():
        np.testing.assert_array_equal(value, encoder[name])


@pytest.mark.slow
def test_killed_three_times_equals_uninterrupted(runs):
    """SIGKILL at three moments, the same command again each time, the same weights to the bit."""
    workdir = runs / "killed"
    command = [
        sys.executable,
        "-m",
        "deepecg_jax.cli.main",
        "pretrain",
        "configs/pretrain/wcr_tiny.yaml",
        f"data.dir={runs}/data",
        f"workdir={workdir}",
        *SMALL,
        "train.log_every=1",
    ]
    log = workdir / "metrics.jsonl"
    for at_least in (1, 3, 5):
        process = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL)
        deadline = time.time() + 300
        while process.poll() is None and time.time() < deadline:
            if log.is_file() and any(
                json.loads(line)["step"] >= at_least
                for line in log.read_text().splitlines()
                if line.endswith("}")
            ):
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.01)
        process.wait()
    subprocess.run(command, env=environment(), check=True, capture_output=True)
    whole = load_file(runs / "pre" / "bundle" / "model.safetensors")
    resumed = load_file(workdir / "bundle" / "model.safetensors")
    for name, value in whole.items():
        np.testing.assert_array_equal(value, resumed[name])


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments, message",
    [
        (["labels=[Afibb]"], "no label 'Afibb'; did you mean 'Afib'"),
        (["data.dataset=nothing"], "There is no data set 'nothing'"),
        (["data.train_split=part"], "has no split 'part'"),
        (["init_from=/nowhere"], "/nowhere"),
        (["augment.crop_seconds=12"], "longer than the ECGs of"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(runs, arguments, message):
    done = finetune(runs, "bad", *arguments, code=2)
    assert message in done.stderr and "Traceback" not in done.stderr
    assert not (runs / "bad").exists()
    assert done.stderr.count("\n") <= 2


@pytest.mark.slow
def test_contradicting_contract_is_refused(runs, classifier, tmp_path):
    import shutil

    other = tmp_path / "bundle"
    shutil.copytree(classifier / "bundle", other)
    signal_file = other / "signal.json"
    contract = json.loads(signal_file.read_text())
    signal_file.write_text(json.dumps({**contract, "sampling_rate": 500.0, "seconds": 5.0}))
    done = deepecg(
        "predict",
        other,
        "--data-dir",
        runs / "data",
        "--dataset",
        "synthetic",
        "--out",
        tmp_path / "p.parquet",
        code=2,
    )
    assert "sampling_rate is 500" in done.stderr and "250" in done.stderr
    assert not (tmp_path / "p.parquet").exists()


@pytest.mark.slow
def test_predicting_files_leaves_out_the_broken_one(classifier, tmp_path):
    from ecg_sources import write_wfdb

    from deepecg_jax.signals.synthetic import generate

    for i, ecg in enumerate(generate(np.arange(2), 0).signal):
        write_wfdb(tmp_path / f"r{i}", ecg)
    broken = tmp_path / "r2.hea"
    broken.write_text("r2 12 250 2500\n")
    files = [tmp_path / "r0.hea", tmp_path / "r1.hea", broken]
    out = tmp_path / "p.parquet"
    done = deepecg("predict", classifier, "--records", *files, "--out", out)
    assert "left out" in done.stdout and "r2" in done.stdout
    assert pq.read_table(out).column("record_id").to_pylist() == ["r0", "r1"]
    refused = deepecg("predict", classifier, "--records", broken, "--out", out, code=2)
    assert "r2.hea: " in refused.stderr


@pytest.mark.slow
def test_pretraining_continues_from_a_bundle(runs, tmp_path):
    """With its quantizer; a model of another shape is refused by the names of its tensors."""
    run = ["pretrain", "configs/pretrain/wcr_tiny.yaml", f"data.dir={runs}/data", *SMALL]
    deepecg(*run, f"workdir={tmp_path}/more", f"init_from={runs}/pre", "train.steps=3")
    start, end = runs / "pre" / "bundle", tmp_path / "more" / "bundle"
    first = json.loads((tmp_path / "more" / "metrics.jsonl").read_text().splitlines()[0])
    last = json.loads((runs / "pre" / "metrics.jsonl").read_text().splitlines()[-1])
    # six steps of training apart from a random start: it went on where the other ended
    assert first["loss"] < last["loss"] * 1.2
    for name in ("model.safetensors", "pretraining.safetensors"):
        before, after = load_file(start / name), load_file(end / name)
        moved = max(np.abs(before[key] - after[key]).max() for key in before)
        assert 0 < moved < 0.1, name
    wrong = deepecg(
        *run, f"workdir={tmp_path}/no", f"init_from={runs}/pre", "model.ffn_width=48", code=2
    )
    assert "expected (1, 32, 48)" in wrong.stderr


@pytest.mark.slow
def test_another_contract_is_converted_when_asked(classifier, runs, tmp_path):
    """A classifier of 500 Hz z-scores on a data set of 250 Hz millivolts."""
    from deepecg_jax.bundle import bundle
    from deepecg_jax.signals.contract import SignalContract

    loaded = bundle.load(classifier)
    contract = SignalContract(sampling_rate=500.0, seconds=5.0, scaling="fairseq")
    bundle.save(
        tmp_path / "b",
        model=loaded.architecture.model,
        head=loaded.architecture.head,
        params=loaded.params,
        labels=loaded.labels,
        signal=contract,
    )
    data = ["--data-dir", runs / "data", "--dataset", "synthetic", "--out", tmp_path / "p.parquet"]
    refused = deepecg("predict", tmp_path / "b", *data, code=2)
    assert "sampling_rate is 500" in refused.stderr
    deepecg("predict", tmp_path / "b", *data, "--convert")
    scores = pq.read_table(tmp_path / "p.parquet")["score:Afib"].to_numpy()
    assert np.isfinite(scores).all() and scores.std() > 0


@pytest.mark.slow
def test_usage_errors():
    assert "No such command" in deepecg("pretrane", code=2).stderr
    assert "Missing argument" in deepecg("pretrain", code=2).stderr
    assert "no config file" in deepecg("pretrain", "missing.yaml", code=2).stderr
    assert "deepecg_jax" in deepecg("--version").stdout
    assert "quickstart" in deepecg("--help").stdout
