"""Costs: two independent counts of operations, figures that fit together, energy from files."""

import json

import pytest
import typer
from typer.testing import CliRunner

from deepecg_jax.bundle.architecture import Architecture, HeadConfig
from deepecg_jax.bundle.cost import _flops, analytic_flops, cost
from deepecg_jax.bundle.energy import measure_energy
from deepecg_jax.cli.cost import command
from deepecg_jax.errors import UserError
from deepecg_jax.models.wcr.config import WCRConfig


@pytest.mark.parametrize(
    ("config", "head", "most"),
    [
        # XLA also counts norms, softmax and activations: little in a wide model
        (WCRConfig(size="base"), "linear", 1.02),
        (WCRConfig(size="base", layers=2), "attention", 1.02),
        (WCRConfig(size="base", layers=2), "attention_pool", 1.02),
        (WCRConfig(size="tiny", layer_norm_first=True), None, 1.06),
        # kernels longer than their strides: a real convolution instead of a product
        (
            WCRConfig.model_validate({"size": "small", "conv_layers": [(64, 5, 3), (64, 3, 2)]}),
            "linear",
            1.06,
        ),
    ],
)
def test_xla_counts_what_the_architecture_says(config, head, most):
    head = None if head is None else HeadConfig.model_validate({"kind": head})
    architecture = Architecture(config, head, 0 if head is None else 77)
    found = _flops(architecture, "tokens" if head is None else "logits", (2500, 12))
    assert 1.0 <= found["xla_over_analytic"] < most
    assert sum(found["parts"].values()) == pytest.approx(found["analytic"])


def test_operations_by_hand():
    """Two layers, no convolution to speak of: the transformer's products counted on paper."""
    config = WCRConfig.model_validate(
        {
            "size": "tiny",
            "conv_layers": [(8, 10, 10)],
            "width": 8,
            "layers": 2,
            "heads": 2,
            "ffn_width": 16,
            "leads": 12,
            "positional_kernel": 2,
            "positional_groups": 1,
        }
    )
    parts = analytic_flops(Architecture(config, HeadConfig(kind="linear"), 3), 100)
    assert parts is not None
    tokens = 10
    assert parts["stem"] == 2 * tokens * (10 * 12) * 8
    assert parts["projection"] == 0
    assert parts["attention"] == 2 * (2 * tokens * 8 * 32 + 4 * tokens * tokens * 8)
    assert parts["feed_forward"] == 2 * (4 * tokens * 8 * 16)
    assert parts["head"] == 2 * 8 * 3
    wide = analytic_flops(Architecture(config, HeadConfig(readout="mean_max_local"), 3), 100)
    assert wide is not None and wide["head"] == 4 * parts["head"]


def test_command_measures_a_bundle(save_bundle, tmp_path):
    folder = save_bundle(tmp_path / "b")
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(command)
    arguments = [
        str(folder),
        "--batch",
        "1",
        "2",
        "--repeats",
        "4",
        "--out",
        str(tmp_path / "cost.json"),
    ]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "ECG/s" in result.stdout and "parameters" in result.stdout
    found = json.loads((tmp_path / "cost.json").read_text())
    assert list(found["batches"]) == ["1", "2"]
    assert found["parameter_bytes"] == 4 * found["parameters"]
    for size, part in found["batches"].items():
        assert 0 < part["latency_median_s"] <= part["latency_p95_s"]
        assert part["ecg_per_s"] == pytest.approx(int(size) / part["latency_median_s"])
        # weights and signals are the arguments of the program
        signals = int(size) * 2500 * 12 * 4
        assert part["program_bytes"]["arguments"] >= found["parameter_bytes"] * 0.9 + signals
        assert (part["energy"]["joules"] is None) == (part["energy"]["reason"] is not None)
    assert found["peak_memory"]["bytes"] > found["parameter_bytes"]


def test_refusals(save_bundle, tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        cost(tmp_path / "no")
    with pytest.raises(UserError, match="Batches must be 1 or more"):
        cost(save_bundle(tmp_path / "b"), [0])


def test_energy_counters_are_summed_and_may_begin_again(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))  # no nvidia-smi
    for name, start in (
        ("intel-rapl:0", 1_000_000),
        ("intel-rapl:1", 9_000_000),
        ("intel-rapl:0:0", 5),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text(str(start))
        (tmp_path / name / "max_energy_range_uj").write_text("10000000")

    def work():
        (tmp_path / "intel-rapl:0" / "energy_uj").write_text("3500000")
        (tmp_path / "intel-rapl:1" / "energy_uj").write_text("500000")
        (tmp_path / "intel-rapl:0:0" / "energy_uj").write_text("999999")

    found = measure_energy(work, tmp_path)
    assert found["joules"] == pytest.approx(2.5 + 1.5) and found["reason"] is None
    nothing = measure_energy(lambda: None, tmp_path / "absent")
    assert nothing["joules"] is None and "no RAPL counter" in nothing["reason"]
