"""Curves and points with intervals, where each stands."""

import re
from xml.etree import ElementTree

import pytest

from deepecg_jax.evaluation.report.line_chart import Axis, line_chart


def estimate(value, low=None, high=None):
    return {"value": value, "low": low, "high": high, "degenerate": 0.0}


def circles(drawing: str) -> list[tuple[float, float]]:
    return [
        (float(x), float(y)) for x, y in re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', drawing)
    ]


def test_decades_are_equally_far_apart_and_higher_is_up():
    axis = Axis("share", {0.01: "1 %", 0.1: "10 %", 1.0: "100 %"}, logarithmic=True)
    points = [(0.01, estimate(0.6)), (0.1, estimate(0.7, 0.65, 0.75)), (1.0, estimate(0.9))]
    drawing = line_chart({"a & b": points}, axis, "macro AUROC")
    (x1, y1), (x2, y2), (x3, y3) = circles(drawing)
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.2)
    assert (y1 - y2) * 2 == pytest.approx(y2 - y3, abs=0.3) and y1 > y2 > y3
    root = ElementTree.fromstring(drawing)
    texts = [element.text for element in root.iter("text")]
    assert {"1 %", "10 %", "100 %", "share", "macro AUROC", "a & b"} <= set(texts)
    assert drawing.count("<polyline") == 1


def test_what_is_undefined_is_left_out_and_points_are_not_joined():
    axis = Axis("seconds", {1.0: "1", 2.0: "2"})
    series = {
        "a": [(1.0, estimate(0.6)), (2.0, estimate(None))],
        "none": [(1.0, estimate(None))],
    }
    drawing = line_chart(series, axis, "score", joined=False)
    assert len(circles(drawing)) == 1 and "<polyline" not in drawing
    assert line_chart({}, axis, "score").startswith("<svg")


def test_more_series_than_colours_are_told_apart():
    series = {f"s{i}": [(0.0, estimate(0.5)), (1.0, estimate(0.6))] for i in range(10)}
    drawing = line_chart(series, Axis("x", {0.0: "0", 1.0: "1"}), "score")
    assert drawing.count("stroke-dasharray") == 2
    assert len({round(x, 1) for x, _ in circles(drawing)}) == 20
