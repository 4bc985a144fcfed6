"""What a person sees who gives a command a recording that cannot be trusted."""

import sys

import numpy as np
import pytest
from ecg_sources import write_wfdb

from deepecg_jax.bundle import bundle
from deepecg_jax.bundle.architecture import Architecture, HeadConfig
from deepecg_jax.bundle.weights import flatten
from deepecg_jax.cli.main import main
from deepecg_jax.models.wcr.config import WCRConfig
from deepecg_jax.signals.contract import SignalContract
from deepecg_jax.signals.synthetic import generate

ECG = generate(np.arange(1), 3).signal[0]


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    model = WCRConfig(
        size="tiny",
        width=16,
        heads=2,
        ffn_width=16,
        layers=1,
        positional_kernel=8,
        positional_groups=2,
        conv_layers=((8, 2, 2),) * 4,
    )
    architecture = Architecture(model, HeadConfig(), 1)
    zeros = {name: np.zeros(shape, np.float32) for name, shape in architecture.shapes().items()}
    assert flatten(architecture.nested(zeros)).keys() == zeros.keys()
    return bundle.save(
        tmp_path_factory.mktemp("b") / "bundle",
        model=model,
        head=HeadConfig(),
        params=architecture.nested(zeros),
        labels=["Afib"],
        signal=SignalContract(),
    )


def gap(ecg: np.ndarray) -> np.ndarray:
    ecg[100:200, 4] = np.nan
    return ecg


def swapped(ecg: np.ndarray) -> np.ndarray:
    """Left and right arm exchanged in some of the leads only."""
    ecg[:, [0, 1]] = ecg[:, [1, 0]]
    return ecg


DEFECTS = {
    "NaN": (gap, 250.0, "V|aVL"),
    "flat": (lambda ecg: ecg * 0.0, 250.0, "flat"),
    "saturated": (lambda ecg: np.clip(ecg * 40, -20, 20), 250.0, "satur|clip"),
    "microvolts": (lambda ecg: ecg * 1000, 250.0, "microvolt|uV"),
    "swapped leads": (swapped, 250.0, "Einthoven|limb"),
    "unknown rate": (lambda ecg: ecg, 3.0, "rate"),
    "too short": (lambda ecg: ecg[:100], 250.0, "short|lasts"),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_each_defect_is_one_sentence_and_exit_code_2(
    classifier, tmp_path, monkeypatch, capsys, defect
) -> None:
    change, rate, words = DEFECTS[defect]
    gain = 1.0 if defect == "microvolts" else 1000.0
    write_wfdb(tmp_path / "r0", change(ECG.copy()), rate, gain)
    out = tmp_path / "p.parquet"
    command = ["predict", classifier, "--records", tmp_path / "r0.hea", "--out", out]
    monkeypatch.setattr(sys, "argv", ["deepecg", *map(str, command)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and "r0" in error
    assert any(word.lower() in error.lower() for word in words.split("|")), error
    assert not out.exists()
