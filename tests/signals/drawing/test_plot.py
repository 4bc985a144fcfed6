"""What is drawn is what the contract says: its rate, its unit, its leads."""

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import numpy as np
import pytest

from deepecg_jax.cli.draw_errors import drawer
from deepecg_jax.data.building.build import build
from deepecg_jax.data.shards.split import open_split
from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.report.confident_errors import ConfidentError
from deepecg_jax.signals.contract import STANDARD_LEADS, SignalContract
from deepecg_jax.signals.drawing.layout import PAPER_WIDTH, lay_out, scale_of
from deepecg_jax.signals.drawing.plot import plot, twelve_leads
from deepecg_jax.signals.recording import Recording
from deepecg_jax.signals.synthetic import generate

TEXT = "{http://www.w3.org/2000/svg}text"
UNIT = 20  # of the drawing, a millimetre


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(TEXT)]


def rhythm_strip(svg: str) -> np.ndarray:
    """The course of the last trace, (n, 2) millimetres to the right and upwards."""
    steps = re.findall(r" d='[^']*l([^']*)'", svg)[-1]
    numbers = [int(value) for value in re.findall(r"-?\d+", steps)]
    return np.cumsum(np.array(numbers).reshape(-1, 2), axis=0) * (1 / UNIT, -1 / UNIT)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    for name in ("millivolt", "deepecg", "fairseq"):
        build("synthetic", folder / name, options={"n": "20", "standardisation": name})
    return folder


@pytest.mark.parametrize(
    ("name", "words", "mm_per_unit", "pulses"),
    [
        ("millivolt", "25 mm/s, 10 mm/mV", 10, 4),
        ("deepecg", "25 mm/s, 10 mm/unit, millivolts scaled and cleaned by batches", 10, 0),
        ("fairseq", "25 mm/s, 2 mm/SD, each lead z-scored", 2, 0),
    ],
)
def test_a_data_set_is_drawn_in_its_own_rate_and_unit(built, name, words, mm_per_unit, pulses):
    split = open_split(built / name, "synthetic", "train")
    svg = plot(split[0], contract=split.contract, title="e")
    assert any(text.startswith(words) for text in texts(svg))
    assert any("mm/mV" in text for text in texts(svg)) == (name == "millivolt")
    assert len(re.findall(r" d='M\d+ \d+L", svg)) == pulses, "no pulse of 1 mV without millivolts"
    strip = rhythm_strip(svg)
    assert strip[-1, 0] == pytest.approx(25 * split.contract.seconds, abs=0.3)
    lead = split[0]["signal"][:, 1] / 1000
    assert np.ptp(strip[:, 1]) == pytest.approx(np.ptp(lead) * mm_per_unit, abs=2.0)


def test_errors_are_drawn_by_the_contract_too(built):
    draw = drawer(built / "fairseq", "synthetic", "train")
    split = open_split(built / "fairseq", "synthetic", "train")
    one = ConfidentError(split[3]["record_id"], "p", "Afib", 1, 0.2)
    drawing = draw(one)
    assert (
        drawing is not None
        and "2 mm/SD" in drawing
        and f"{one.record_id}, false negative" in drawing
    )
    assert rhythm_strip(drawing)[-1, 0] == pytest.approx(125, abs=0.3)
    assert draw(replace(one, record_id="nobody")) is None


def test_other_contracts_and_filters():
    assert scale_of(SignalContract(filters=("powerline",))).words() == (
        "25 mm/s, 10 mm/mV, without powerline"
    )
    eight = SignalContract(leads=("I", "II", "V1", "V2", "V3", "V4", "V5", "V6"))
    svg = plot(np.zeros((2500, 8)), contract=eight)
    assert svg.count("not recorded</text>") == 4, "III and aVR to aVF"


def test_a_recording_is_drawn_with_derived_leads_at_its_own_rate():
    ecg = generate(np.arange(1), seed=1).signal[0]
    names = ("V1", "II", "I", "chest")
    recording = Recording(
        ecg[:, [6, 1, 0, 5]], names, 250.0, record_id="r1", age=61.0, sex="female"
    )
    svg = plot(recording)
    assert "r1, 61 years, female" in texts(svg)
    assert {"III*", "aVR*", "aVL*", "aVF*", "V1"} <= set(texts(svg))
    assert svg.count("not recorded</text>") == 5
    leads = twelve_leads(recording)
    np.testing.assert_allclose(leads.signal[:, 2], ecg[:, 1] - ecg[:, 0], atol=1e-6)
    assert leads.derived == STANDARD_LEADS[2:6]
    broken = replace(recording, signal=np.full_like(recording.signal, np.nan))
    assert len(re.findall("l[0-9]", plot(broken, title="x"))) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (({"signal": 1}, {}), "give contract=split.contract"),
        ((np.zeros((10, 12)), {}), "needs its sampling_rate"),
        (
            (np.zeros((10, 12)), {"sampling_rate": 500.0, "contract": SignalContract()}),
            "needs its sampling_rate",
        ),
        ((Recording(np.zeros((9, 1)), ("x",), 250.0), {}), "cannot be drawn: none of the leads"),
        (
            (Recording(np.zeros((9, 1)), ("I",), 250.0), {"sampling_rate": 250.0}),
            "knows its sampling rate",
        ),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(arguments, words):
    ecg, named = arguments
    with pytest.raises(UserError, match=words):
        plot(ecg, **named)


def test_the_layout_is_the_usual_form():
    signal = np.zeros((5000, 12))
    signal[250:350, 1] = 1.0  # 0.2 s of 1 mV in lead II at 500 Hz
    traces = lay_out(signal, 500.0)
    assert [trace.lead for trace in traces[:4]] == ["I", "aVR", "V1", "V4"]
    assert [trace.x for trace in traces[:4]] == [15, 77.5, 140, 202.5]
    assert traces[-1].lead == "II" and traces[-1].x == 15 and not traces[-1].tick
    assert PAPER_WIDTH == 275
    course = traces[-1].course
    assert course is not None
    high = course[course[:, 1] == 10.0]
    assert high[0, 0] == 12.5 and high[-1, 0] == pytest.approx(17.5, abs=0.06)
