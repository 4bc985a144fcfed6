"""The drawing is checked as XML and as geometry."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from deepecg_jax.errors import UserError
from deepecg_jax.signals.contract import STANDARD_LEADS
from deepecg_jax.signals.drawing.svg import ecg_svg
from deepecg_jax.signals.synthetic import FINDINGS, generate

NAME = "{http://www.w3.org/2000/svg}"
MILLIMETRE = 20


@pytest.fixture(scope="module")
def signal():
    return generate(np.arange(3)).signal[0]


def traces(svg):
    """Courses of the drawn leads, as (x, y) steps from their start."""
    found = []
    for path in ElementTree.fromstring(svg).iter(f"{NAME}path"):
        course = path.get("d", "").rpartition("l")[2]
        numbers = [int(v) for v in re.findall(r"-?\d+", course)]
        if len(numbers) > 100 and "l" in path.get("d", ""):
            found.append(np.array(numbers).reshape(-1, 2))
    return found


def test_is_small_accessible_and_complete(signal):
    findings = [(name, 0.5) for name in FINDINGS]
    svg = ecg_svg(signal, 250.0, "Record <1> & co", findings)
    assert len(svg) < 100_000
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    assert root[0].tag == f"{NAME}title" and root[0].text == "Record <1> & co"
    texts = [element.text for element in root.iter(f"{NAME}text")]
    for lead in STANDARD_LEADS:
        assert texts.count(lead) == (2 if lead == "II" else 1)
    assert sum(text is not None and text.startswith("0.50 ") for text in texts) == len(FINDINGS)
    assert any("SV1 + RV5 or RV6 > 35 mm" in (text or "") for text in texts)
    assert "25 mm/s, 10 mm/mV" in texts
    assert len(traces(svg)) == 13
    for outside in ("http://www.w3.org/2000/svg", "href", "<script", "url("):
        assert svg.count(outside) == (1 if outside.endswith("svg") else 0)


def test_scale_is_25_mm_per_second_and_10_mm_per_millivolt():
    signal = np.zeros((2500, 12))
    signal[100:120, 0] = 1.0  # lead I, 80 ms of 1 mV
    course = traces(ecg_svg(signal, 250.0))[0]
    x, y = np.cumsum(course, axis=0).T
    assert x[-1] == pytest.approx(62.5 * MILLIMETRE, abs=3)
    assert y.min() == -10 * MILLIMETRE and y.max() == 0
    assert (y == -10 * MILLIMETRE).sum() == 20


@pytest.mark.parametrize("rate", [100.0, 360.0, 500.0, 1000.0])
def test_other_rates_draw_the_same_times(rate):
    time = np.arange(int(10 * rate)) / rate
    signal = np.repeat(np.sin(2 * np.pi * time)[:, None], 12, axis=1)
    svg = ecg_svg(signal, rate)
    assert len(svg) < 100_000
    strip = np.cumsum(traces(svg)[-1], axis=0)
    assert strip[-1, 0] == pytest.approx(250 * MILLIMETRE, abs=12)
    assert np.ptp(strip[:, 1]) == pytest.approx(20 * MILLIMETRE, abs=3)


def test_thinning_keeps_a_spike_of_one_sample():
    signal = np.zeros((10_000, 12))
    signal[1503, 1] = 2.0
    y = np.cumsum(traces(ecg_svg(signal, 1000.0))[-1], axis=0)[:, 1]
    assert y.min() == -20 * MILLIMETRE


def test_leads_that_were_not_recorded(signal):
    mask = np.ones(12, dtype=bool)
    mask[[3, 8]] = False
    broken = signal.copy()
    broken[:, 3] = np.nan
    svg = ecg_svg(broken, 250.0, lead_mask=mask)
    assert svg.count("not recorded") == 2
    assert "Not recorded: aVR, V3." in svg
    assert len(traces(svg)) == 11


def test_short_recordings_leave_room():
    svg = ecg_svg(np.zeros((1250, 12)), 250.0)
    assert len(traces(svg)) == 7, "I, II, III, aVR, aVL, aVF and half a rhythm strip"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((np.zeros((12, 2500)), 250.0), "shape"),
        ((np.zeros((2500, 12)), 0.0), "sampling rate"),
        ((np.zeros((2500, 12)), 250.0, "", (), np.ones(3)), "lead mask"),
    ],
)
def test_bad_input_is_one_sentence(arguments, words):
    with pytest.raises(UserError, match=words):
        ecg_svg(*arguments)


def test_a_gap_stays_a_gap():
    signal = np.ones((2500, 12))
    signal[:, 0] = np.arange(2500) % 7
    signal[100:200, 0] = np.nan
    paths = ElementTree.fromstring(ecg_svg(signal, 250.0)).iter(f"{NAME}path")
    lead_one = [path.get("d", "") for path in paths if path.get("d", "").count("l") == 2]
    assert len(lead_one) == 1, "one trace is in two pieces"
    after = int(lead_one[0].split("M")[2].split()[0])
    assert after == (15 + 200 / 250 * 25) * MILLIMETRE
    assert len(traces(ecg_svg(np.full((2500, 12), np.nan), 250.0))) == 0


def test_a_gap_is_not_closed_by_thinning():
    signal = np.zeros((10_000, 12))
    signal[1001:1003, 0] = np.nan
    assert sum(p.count("l") for p in re.findall(r" d='([^']*)'", ecg_svg(signal, 1000.0))) == 14


def test_it_can_be_shown_and_saved(tmp_path, signal):
    drawing = ecg_svg(signal, 250.0)
    assert drawing._repr_svg_() == drawing
    assert drawing.save(tmp_path / "e.svg").read_text() == drawing
    with pytest.raises(UserError, match="cannot be written"):
        drawing.save(tmp_path / "no" / "e.svg")
