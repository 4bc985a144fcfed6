"""Names of slices, published figures, and what people are told."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deepecg_jax.cli.main import app
from deepecg_jax.errors import UserError
from deepecg_jax.plan import topology
from deepecg_jax.plan.chips import CHIPS
from deepecg_jax.plan.compiling import read_too_big
from deepecg_jax.plan.prices import per_million, read_prices
from deepecg_jax.plan.topology import prepare, topology_named


@pytest.mark.parametrize(
    ("name", "slices", "shape", "count", "full"),
    [
        ("v5e:4x4", 1, (4, 4), 1, "v5e:4x4"),
        ("v5p:2x2x4", 1, (2, 2, 4), 1, "v5p:2x2x4"),
        ("v5e:16x16*2", 1, (16, 16), 2, "v5e:16x16*2"),
        ("v6e:8x8", 3, (8, 8), 3, "v6e:8x8*3"),
    ],
)
def test_names(name: str, slices: int, shape: tuple[int, ...], count: int, full: str) -> None:
    found = topology_named(name, slices)
    assert (found.shape, found.slices, found.name) == (shape, count, full)
    assert found.chip.name == name[:3].rstrip(":")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("v5e-16", "'v5e-16' is no TPU topology: .* such as v5e:4x4, "),
        ("v5e", "is no TPU topology"),
        ("v9:2x2", "'v9' is no TPU chip .* there are v4, v5e, v5p, v6e"),
        ("v5e:4x4*0", "number of slices is 1 or more"),
    ],
)
def test_other_names_are_refused_with_examples(name: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        topology_named(name)


@pytest.mark.parametrize(("name", "units"), [("v4", 8), ("v5e", 4), ("v5p", 8)])
def test_peak_is_clock_times_matrix_units(name: str, units: int) -> None:
    chip = CHIPS[name]
    assert chip.peak == pytest.approx(2 * 128 * 128 * units * chip.clock, rel=0.01)


def test_without_libtpu_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topology, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"pip install 'deepecg_jax\[tpu\]'"):
        topology.devices_of(topology_named("v5e:2x2"))


def test_what_people_set_of_the_quiet_variables_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*topology.ENVIRONMENT, *topology.QUIET):
        monkeypatch.setenv(name, "kept")
    prepare()
    assert topology.os.environ["TPU_MIN_LOG_LEVEL"] == "kept"
    assert topology.os.environ["JAX_PLATFORMS"] == "cpu", "else it would take the TPU in use"


def test_the_two_out_of_memory_answers() -> None:
    found = read_too_big(
        "RESOURCE_EXHAUSTED: E1000: CompileTimeHbmOom: Ran out of memory on HBM, the total memory "
        "required for HLO temporaries (246.45G) exceeds available HBM (15.75G). HLO module: "
        "jit_step.\nSee https://openxla.org/xla/errors/error_1000 for more details."
    )
    assert found is not None
    assert found.needed == int(246.45 * 2**30) and found.available == int(15.75 * 2**30)
    assert found.message.endswith("HLO module: jit_step.")
    found = read_too_big(
        "RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 152.34G of 31.25G hbm. "
        "Exceeded hbm capacity by 121.10G."
    )
    assert found is not None and found.needed == int(152.34 * 2**30)
    silent = read_too_big("RESOURCE_EXHAUSTED: Ran out of memory in memory space vmem.")
    assert silent is not None and silent.needed is None
    assert read_too_big("INTERNAL: something else") is None


def test_prices(tmp_path: Path) -> None:
    assert read_prices().keys() == CHIPS.keys()
    file = tmp_path / "prices.json"
    file.write_text(json.dumps({"v5e": 0.5}))
    assert read_prices(file) == {"v5e": 0.5}
    # 16 chips at 0.5 USD, 1,000 ECGs a second: 8 USD for 3.6 million
    assert per_million(0.5, 16, 1000.0) == pytest.approx(8 / 3.6)


@pytest.mark.parametrize("text", ["- 1", "v5e: cheap", "v5e: -1", "v5e: true", "a: [", ""])
def test_other_prices_are_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match=str(file)):
        read_prices(file)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["pretrain/wcr_tiny.yaml"], "name a slice to plan for with --topology"),
        (
            ["finetune/ptb_xl_superclass.yaml", "--topology", "v5e:2x2"],
            "is a finetune config, and `deepecg plan` compiles the step of a pretraining",
        ),
        (["pretrain/wcr_tiny.yaml", "--topologies", "v5e:2x2", "v6e"], "'v6e' is no TPU topology"),
        (["pretrain/wcr_tiny.yaml", "--topology", "v5e:2x2", "train.stepz=1"], "train.steps"),
    ],
)
def test_sentences(arguments: list[str], sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topology, "prepare", lambda: None)
    result = CliRunner().invoke(app, ["plan", *arguments])
    assert isinstance(result.exception, UserError) and sentence in str(result.exception)
