"""What fine-tuning validates is what `deepecg predict` of its bundle says, for every way to read
tokens and every way to cut ECGs.
"""

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from sklearn.metrics import roc_auc_score
from toys import ToyConfig

from deepecg_jax.bundle import bundle
from deepecg_jax.bundle.predict import predict_split
from deepecg_jax.config import FinetuneConfig
from deepecg_jax.config_files import load_config
from deepecg_jax.data.building.build import build
from deepecg_jax.data.loading.protocol import WHOLE
from deepecg_jax.data.shards.split import Split, open_split
from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.discrimination.thresholds import fit_thresholds
from deepecg_jax.models.families import FAMILIES
from deepecg_jax.models.heads import Classifier, LinearHead
from deepecg_jax.training.finetune import finetune

LABELS = ("Regular", "Normal")
CROPS = [
    "evaluation.crop_seconds=2.5",
    "evaluation.crop_stride_seconds=1.25",
    "evaluation.aggregate=mean_logit",
]


@pytest.fixture
def plugged_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FAMILIES, "toy", ToyConfig)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    build("synthetic", folder, options={"n": "240"})
    return folder


def config_of(data: Path, workdir: Path, *overrides: str) -> FinetuneConfig:
    common = [
        "model={kind: toy}",
        "init_from=null",
        f"data.dir={data}",
        "data.label_share=1.0",
        f"workdir={workdir}",
        f"labels=[{', '.join(LABELS)}]",
        "augment={}",
        "train={steps: 3, global_batch: 16, checkpoint_every: 10}",
        "schedule.warmup_steps=0",
        "optimizer.learning_rate=0.05",
        "stopping.evaluate_every=2",
    ]
    return load_config(FinetuneConfig, "configs/quickstart/finetune.yaml", [*common, *overrides])


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        ["mode=full", "head.readout=mean_max_local"],
        ["mode=full", "head.kind=attention_pool", *CROPS],
        ["mode=linear", "head.readout=mean_max", *CROPS],
        ["mode=linear", "head.readout=mean_local"],
        ["mode=attention", "head.kind=attention_pool"],
    ],
    ids=lambda overrides: " ".join(overrides[:2]),
)
def test_validation_is_what_predict_says(plugged_in, data, tmp_path, overrides) -> None:
    config = config_of(data, tmp_path / "run", *overrides)
    made = bundle.load(finetune(config, Console(file=io.StringIO())))
    assert made.protocol == config.evaluation
    validation = open_split(data, "synthetic", "validation")
    table = predict_split(made, validation).table
    stored = made.metrics["validation"]["auroc"]
    for i, name in enumerate(LABELS):
        assert stored[name] == pytest.approx(roc_auc_score(table.labels[:, i], table.scores[:, i]))
    fitted = fit_thresholds(table.labels, table.scores, names=LABELS, method="youden")
    assert made.thresholds == pytest.approx(fitted, abs=1e-5)
    if config.evaluation != WHOLE:
        other = predict_split(made, validation, protocol=WHOLE).table
        assert np.abs(other.scores - table.scores).max() > 1e-5
    if config.mode == "linear":
        assert made.config["head"]["readout"] == config.head.readout


@pytest.mark.slow
def test_a_linear_probe_learns_from_the_crops_it_is_evaluated_by(
    plugged_in, data, tmp_path
) -> None:
    """Its standardisation is that of the crops' vectors: centre and scale stand in its layer."""
    still = ["mode=linear", "optimizer.learning_rate=1e-12", "train.steps=1", *CROPS]
    made = bundle.load(
        finetune(config_of(data, tmp_path / "run", *still), Console(file=io.StringIO()))
    )
    assert isinstance(made.model, Classifier) and isinstance(made.model.head, LinearHead)
    layer = made.model.head.projection
    split: Split = open_split(data, "synthetic", "train")
    signals = np.stack([split[i]["signal"] for i in range(len(split))]).astype(np.float32) / 1000
    starts = (0, 312, 625, 937, 1250, 1562, 1875)
    vectors = np.concatenate([made.embed(signals[:, s : s + 625]) for s in starts])
    # an untrained layer has no bias: the folded one undoes the centre
    expected = -vectors.mean(0) @ np.asarray(layer.kernel[...])
    np.testing.assert_allclose(layer.bias[...], expected, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["mode=linear", "head.kind=attention_pool"], "mode=linear is a linear probe, but head.k"),
        (["mode=attention", "head.readout=mean_max"], "mode=attention looks at the tokens themse"),
        (["head.kind=attention", "head.readout=mean_max"], "goes with kind=linear"),
        (["head.readout=summary"], "readout=summary needs a summary .* kind toy does not have"),
        (["head.readout=median"], "readout=median is none"),
        (["evaluation.crop_stride_seconds=1"], "goes with crop_seconds, which is null"),
    ],
)
def test_what_means_nothing_is_refused_at_once(plugged_in, data, tmp_path, overrides, words):
    with pytest.raises(UserError, match=words):
        config_of(data, tmp_path / "run", *overrides)


def test_crops_longer_than_the_ecgs_are_refused_before_training(plugged_in, data, tmp_path) -> None:
    config = config_of(data, tmp_path / "run", "evaluation.crop_seconds=12")
    with pytest.raises(UserError, match="crop_seconds=12 is longer than the ECGs of .*synthetic"):
        finetune(config, Console(file=io.StringIO()))
    assert not (tmp_path / "run").exists()
