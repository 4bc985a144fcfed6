"""ECG paper as an SVG, to be put into a page or a notebook."""

from collections.abc import Collection, Sequence
from html import escape
from pathlib import Path

import numpy as np

from deepecg_jax.errors import UserError
from deepecg_jax.signals.contract import STANDARD_LEADS
from deepecg_jax.signals.drawing import layout
from deepecg_jax.signals.drawing.layout import MILLIVOLTS, Scale, Trace, lay_out

# The drawing's unit is 0.05 mm: at 250 Hz and 25 mm/s a sample is 2 units wide and the path needs
# no decimals.
_MM = 20
_MAX_RATE = 250.0
_TITLE, _LINE_HEIGHT, _FINDING_COLUMNS = 10 * _MM, 6 * _MM, 3
_WIDTH, _PAPER_HEIGHT = round(layout.PAPER_WIDTH * _MM), round(layout.PAPER_HEIGHT * _MM)
_BOTTOM = _TITLE + _PAPER_HEIGHT
_PAPER, _INK = "#fff6f5", "#1a1a1a"
_FONT = "font-family='Helvetica,Arial,sans-serif'"


class Svg(str):
    """An ``<svg>`` element as text, which a notebook shows as a drawing."""

    def _repr_svg_(self) -> str:
        return str(self)

    def save(self, path: str | Path) -> Path:
        """Write the drawing as a file; UserError if that is not possible."""
        path = Path(path)
        try:
            path.write_text(self, encoding="utf-8")
        except OSError as error:
            raise UserError(f"The drawing {path} cannot be written: {error}.") from error
        return path


def ecg_svg(
    signal: np.ndarray,
    sampling_rate: float,
    title: str = "",
    findings: Sequence[tuple[str, float]] = (),
    lead_mask: np.ndarray | None = None,
    scale: Scale = MILLIVOLTS,
    derived: Collection[str] = (),
) -> Svg:
    """Draw the first 10 s of an ECG on paper, see :mod:`~deepecg_jax.signals.drawing.layout`.

    Args:
        signal: (T, 12) in ``scale``'s unit and the standard lead order; NaN leaves a gap.
        sampling_rate: Hz.
        title: printed above the ECG and used as the drawing's accessible title.
        findings: (name, probability from 0 to 1) pairs, listed below the ECG.
        lead_mask: (12,) bool; a lead with False is written as "not recorded".
        scale: what the numbers are and how high they are drawn; without millivolts there is no
            calibration pulse.
        derived: leads that were computed from others, marked with an asterisk.

    Returns:
        One self-contained `<svg>` element, usually 50 to 90 kB, that may stand inline in HTML.
    """
    traces = lay_out(signal, sampling_rate, lead_mask, scale)
    lines = -(-len(findings) // _FINDING_COLUMNS)
    height = _BOTTOM + lines * _LINE_HEIGHT + (4 * _MM if lines else 0)
    name = escape(title or "12-lead ECG")
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' role='img' aria-label='{name}' "
        f"viewBox='0 0 {_WIDTH} {height}' style='max-width:100%;height:auto' "
        f"width='{_WIDTH // _MM}mm' height='{height // _MM}mm'>",
        f"<title>{name}</title>",
        f"<desc>{_description(findings, traces)}</desc>",
        f"<rect width='{_WIDTH}' height='{height}' fill='#fff'/>",
        _grid(),
        f"<text x='{5 * _MM}' y='{6 * _MM}' {_FONT} font-size='{4.2 * _MM:g}' "
        f"font-weight='bold' fill='#222'>{escape(title)}</text>",
        f"<text x='{_WIDTH - 5 * _MM}' y='{_BOTTOM - 2 * _MM}' {_FONT} "
        f"font-size='{2.8 * _MM:g}' fill='#555' text-anchor='end'>{escape(scale.words())}</text>",
    ]
    if scale.in_millivolts:
        parts += [_calibration(y) for y in layout.row_heights()]
    parts += [_lead(trace, sampling_rate, trace.lead in derived) for trace in traces]
    parts += [_finding_list(findings), "</svg>"]
    return Svg("".join(parts))


def _x(millimetres: float) -> int:
    return round(millimetres * _MM)


def _y(millimetres: float) -> int:
    """Downwards from the upper edge of the page, of a height above the paper's lower edge."""
    return _BOTTOM - round(millimetres * _MM)


def _grid() -> str:
    def path(step: float) -> str:
        size = round(step * _MM)
        across = "".join(f"M{x} {_TITLE}V{_BOTTOM}" for x in range(0, _WIDTH + 1, size))
        rows = range(_TITLE, _BOTTOM + 1, size)
        return across + "".join(f"M0 {y}H{_WIDTH}" for y in rows)

    return (
        f"<rect y='{_TITLE}' width='{_WIDTH}' height='{_PAPER_HEIGHT}' fill='{_PAPER}'/>"
        f"<path d='{path(layout.FINE)}' stroke='#f7d6d4' stroke-width='1.6' fill='none'/>"
        f"<path d='{path(layout.COARSE)}' stroke='#eba9a6' stroke-width='2.6' fill='none'/>"
    )


def _calibration(base: float) -> str:
    course = "L".join(f"{_x(x)} {_y(base + y)}" for x, y in layout.PULSE)
    return f"<path d='M{course}' stroke='{_INK}' stroke-width='5' fill='none'/>"


def _lead(trace: Trace, rate: float, derived: bool) -> str:
    text = f"{_FONT} font-size='{3.6 * _MM:g}'"
    right, up = layout.LABEL
    label = (
        f"<text x='{_x(trace.x + right)}' y='{_y(trace.y + up)}' {text} fill='#222'>"
        f"{trace.lead}{'*' if derived else ''}</text>"
    )
    if not trace.recorded:
        right, up = layout.NOT_RECORDED
        return (
            f"{label}<text x='{_x(trace.x + right)}' y='{_y(trace.y + up)}' {text} "
            "font-style='italic' fill='#888'>not recorded</text>"
        )
    if trace.course is None:
        return label
    strokes = []
    if trace.tick:
        top, half = _y(trace.y + layout.TICK), round(2 * layout.TICK * _MM)
        strokes.append(f"M{_x(trace.x)} {top}v{half}")
    strokes += [_stroke(trace, run) for run in _runs(_thin(trace.course, rate))]
    return (
        f"{label}<path d='{''.join(strokes)}' stroke='{_INK}' "
        "stroke-width='5' stroke-linejoin='round' fill='none'/>"
    )


def _stroke(trace: Trace, run: np.ndarray) -> str:
    """A run of (n, 2) millimetres as a path: its first point, then steps in whole units."""
    x, y = np.rint(run * (_MM, -_MM)).astype(np.int64).T
    steps = np.stack([np.diff(x), np.diff(y)], axis=1).reshape(-1)
    course = " ".join(map(str, steps.tolist())).replace(" -", "-")
    return f"M{_x(trace.x) + x[0]} {_y(trace.y) + y[0]}l{course or '0 0'}"


def _runs(course: np.ndarray) -> list[np.ndarray]:
    """The pieces of a course between its gaps."""
    finite = np.isfinite(course[:, 1])
    edges = np.flatnonzero(np.diff(np.concatenate([[False], finite, [False]]).astype(int)))
    return [course[start:stop] for start, stop in edges.reshape(-1, 2)]


def _thin(course: np.ndarray, rate: float) -> np.ndarray:
    """At most 250 samples a second: of each group the sample farthest from its mean, so that
    pacing spikes and sharp peaks stay."""
    group = int(np.ceil(rate / _MAX_RATE))
    if group == 1 or len(course) < group:
        return course
    groups = course[: len(course) // group * group].reshape(-1, group, 2)
    y = groups[:, :, 1]
    pick = np.abs(y - y.mean(axis=1, keepdims=True)).argmax(axis=1)
    # a gap is not closed: the sum of a group with NaN is NaN
    kept = np.where(np.isnan(y.sum(axis=1)), np.nan, y[np.arange(len(y)), pick])
    return np.stack([groups[:, 0, 0], kept], axis=1)


def _description(findings: Sequence[tuple[str, float]], traces: Sequence[Trace]) -> str:
    recorded = {trace.lead for trace in traces if trace.recorded}
    missing = [lead for lead in STANDARD_LEADS if lead not in recorded]
    words = "Electrocardiogram of 12 leads, 10 seconds."
    if missing:
        words += f" Not recorded: {', '.join(missing)}."
    if findings:
        words += " Findings: " + ", ".join(f"{name} {p:.0%}" for name, p in findings) + "."
    return escape(words)


def _finding_list(findings: Sequence[tuple[str, float]]) -> str:
    """Names and probabilities in three columns, filled downwards, with a bar for each."""
    if not findings:
        return ""
    lines = -(-len(findings) // _FINDING_COLUMNS)
    wide = (_WIDTH - 10 * _MM) // _FINDING_COLUMNS
    bar, size = 14 * _MM, f"font-size='{3.1 * _MM:g}'"
    parts = []
    for place, (name, probability) in enumerate(findings):
        column, line = divmod(place, lines)
        x, y = 5 * _MM + column * wide, _BOTTOM + 6 * _MM + line * _LINE_HEIGHT
        share = min(max(float(probability), 0.0), 1.0)
        parts.append(
            f"<rect x='{x}' y='{y - 2.6 * _MM:g}' width='{bar}' height='{3 * _MM}' "
            f"fill='#eee'/><rect x='{x}' y='{y - 2.6 * _MM:g}' width='{share * bar:.0f}' "
            f"height='{3 * _MM}' fill='#c0504d'/>"
            f"<text x='{x + bar + 2 * _MM}' y='{y}' {_FONT} {size} fill='#222'>"
            f"{probability:.2f} {escape(name)}</text>"
        )
    return "".join(parts)
