"""The PNG on ECG paper: true to scale, every lead in its place."""

import numpy as np
import pytest

from deepecg_jax.errors import UserError

pytest.importorskip("matplotlib", reason="needs the extra `formats`")
from deepecg_jax.signals.drawing.png import HEIGHT, WIDTH, Sheet, draw_png

DPI = 254  # ten pixels a millimetre


def image(path):
    from matplotlib.image import imread

    pixels = imread(path)[..., :3]
    assert pixels.shape[:2] == (round(HEIGHT * 10), round(WIDTH * 10))
    return pixels


def ink(pixels, x, y, width, height):
    """Black pixels in millimetres from the lower left corner."""
    rows = slice(round((HEIGHT - y - height) * 10), round((HEIGHT - y) * 10))
    part = pixels[rows, round(x * 10) : round((x + width) * 10)]
    return part.max(axis=-1) < 0.4


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Lead k: base line with one step of 1 mV from 1.0 s to 1.2 s of every 2.5 s."""
    path = tmp_path_factory.mktemp("paper") / "e.png"
    time = np.arange(5000) / 500
    signal = np.tile((((time % 2.5) >= 1.0) & ((time % 2.5) < 1.2)).astype(float)[:, None], 12)
    mask = np.ones(12, bool)
    mask[6] = False  # V1
    draw_png(path, signal, 500, mask, Sheet(["name"], ["finding"], "foot", ("aVR",)), DPI)
    return image(path)


def test_a_millivolt_is_10_mm_high_and_a_second_25_mm_wide(drawn):
    # lead I: its row's base line is at 125 mm, its column begins at 15 mm
    step = ink(drawn, 15 + 26, 133, 3, 4)  # between the edges of the step
    rows = np.flatnonzero(step.any(axis=1))
    assert 137 - rows.mean() / 10 == pytest.approx(135, abs=0.15)
    columns = np.flatnonzero(ink(drawn, 15 + 20, 128, 15, 4).any(axis=0)) / 10 + 35
    assert columns.min() == pytest.approx(40, abs=0.25)  # 1.0 s
    assert columns.max() == pytest.approx(45, abs=0.25)  # 1.2 s


def test_the_calibration_pulse_is_1_mv_and_200_ms(drawn):
    pulse = ink(drawn, 3, 120, 9, 20)
    rows, columns = np.flatnonzero(pulse.any(axis=1)), np.flatnonzero(pulse[:100].any(axis=0))
    assert np.ptp(rows) / 10 == pytest.approx(10, abs=0.4)
    assert np.ptp(columns) / 10 == pytest.approx(5, abs=0.4)


def test_a_lead_that_was_not_recorded_has_no_trace(drawn):
    v1, v4 = ink(drawn, 15 + 126 + 30, 120, 30, 15), ink(drawn, 15 + 190, 120, 30, 15)
    assert not v1.any()
    assert v4.any()


def test_short_broken_and_odd_signals_are_drawn(tmp_path):
    signal = np.zeros((700, 12))
    signal[100:200, 0] = np.nan
    signal[:, 1] = np.nan
    draw_png(tmp_path / "a.png", signal, 257.0, np.ones(12, bool), Sheet(["$x_1$ %s \\alpha"]), 50)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_drawn_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="shape"):
        draw_png(tmp_path / "a.png", np.zeros((10, 8)), 500, np.ones(8, bool))
    with pytest.raises(UserError, match="cannot be written"):
        draw_png(tmp_path / "no" / "a.png", np.zeros((10, 12)), 500, np.ones(12, bool), None, 50)
