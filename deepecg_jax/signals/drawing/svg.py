"""A 12-lead ECG on ECG paper as an SVG to be put into a page."""

from collections.abc import Sequence
from html import escape

import numpy as np

from deepecg_jax.errors import UserError
from deepecg_jax.signals.contract import STANDARD_LEADS

# The drawing's unit is 0.05 mm: at 250 Hz and 25 mm/s a sample is 2 units wide and the path needs
# no decimals. One millivolt is 10 mm.
_MM = 20
_PER_SECOND, _PER_MILLIVOLT = 25 * _MM, 10 * _MM
_ROWS = (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"))
_SECONDS, _COLUMN_SECONDS = 10.0, 2.5
_MAX_RATE = 250.0
_LEFT, _RIGHT, _TOP, _ROW_HEIGHT = 15 * _MM, 5 * _MM, 20 * _MM, 30 * _MM
_LINE_HEIGHT, _FINDING_COLUMNS = 6 * _MM, 3
_WIDTH = _LEFT + int(_SECONDS * _PER_SECOND) + _RIGHT
_PAPER = "#fff6f5"
_FONT = "font-family='Helvetica,Arial,sans-serif'"


def ecg_svg(
    signal: np.ndarray,
    sampling_rate: float,
    title: str = "",
    findings: Sequence[tuple[str, float]] = (),
    lead_mask: np.ndarray | None = None,
) -> str:
    """Draw the first 10 s of an ECG: 25 mm/s, 10 mm/mV, 3 rows of 4 leads of 2.5 s, lead II below.

    The columns show consecutive times, as on an electrocardiograph's page, above the same times of
    the rhythm strip. Each trace is centred on its median.

    Args:
        signal: (T, 12) mV in the standard lead order.
        sampling_rate: Hz.
        title: printed above the ECG and used as the drawing's accessible title.
        findings: (name, probability from 0 to 1) pairs, listed below the ECG.
        lead_mask: (12,) bool; a lead with False is written as "not recorded".

    Returns:
        One self-contained `<svg>` element, usually 50 to 90 kB, that may stand inline in HTML.
    """
    signal = np.asarray(signal, dtype=np.float64)
    if signal.ndim != 2 or signal.shape[1] != 12:
        raise UserError(f"A drawing needs a signal of shape (time, 12), got {signal.shape}.")
    if not sampling_rate > 0:
        raise UserError(f"A drawing needs a positive sampling rate in Hz, got {sampling_rate}.")
    mask = np.ones(12, dtype=bool) if lead_mask is None else np.asarray(lead_mask, dtype=bool)
    if mask.shape != (12,):
        raise UserError(f"A drawing needs a lead mask of shape (12,), got {mask.shape}.")
    if not np.isfinite(signal[:, mask]).all():
        raise UserError("A drawing needs finite samples, but the signal has NaN or infinity.")

    paper = _TOP + 4 * _ROW_HEIGHT + 5 * _MM
    lines = -(-len(findings) // _FINDING_COLUMNS)
    height = paper + lines * _LINE_HEIGHT + (4 * _MM if lines else 0)
    name = escape(title or "12-lead ECG")
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' role='img' aria-label='{name}' "
        f"viewBox='0 0 {_WIDTH} {height}' style='max-width:100%;height:auto' "
        f"width='{_WIDTH // _MM}mm' height='{height // _MM}mm'>",
        f"<title>{name}</title>",
        f"<desc>{_description(findings, mask)}</desc>",
        f"<rect width='{_WIDTH}' height='{height}' fill='#fff'/>",
        _grid(paper),
        f"<text x='{_LEFT}' y='{6 * _MM}' {_FONT} font-size='{4.2 * _MM:g}' "
        f"font-weight='bold' fill='#222'>{escape(title)}</text>",
        f"<text x='{_WIDTH - _RIGHT}' y='{paper - 2 * _MM}' {_FONT} font-size='{2.8 * _MM:g}' "
        "fill='#555' text-anchor='end'>25 mm/s, 10 mm/mV</text>",
    ]
    for row, leads in enumerate((*_ROWS, ("II",))):
        middle = _TOP + row * _ROW_HEIGHT + _ROW_HEIGHT // 2
        parts.append(_calibration(middle))
        seconds = _SECONDS / len(leads)
        for column, lead in enumerate(leads):
            start = column * seconds
            parts.append(_lead(signal, sampling_rate, mask, lead, start, seconds, middle))
    parts.append(_finding_list(findings, paper))
    parts.append("</svg>")
    return "".join(parts)


def _grid(height: int) -> str:
    def path(step: int) -> str:
        across = "".join(f"M{x} 0V{height}" for x in range(0, _WIDTH + 1, step))
        return across + "".join(f"M0 {y}H{_WIDTH}" for y in range(0, height + 1, step))

    return (
        f"<rect width='{_WIDTH}' height='{height}' fill='{_PAPER}'/>"
        f"<path d='{path(_MM)}' stroke='#f7d6d4' stroke-width='1.6' fill='none'/>"
        f"<path d='{path(5 * _MM)}' stroke='#eba9a6' stroke-width='2.6' fill='none'/>"
    )


def _calibration(middle: int) -> str:
    """The 1 mV, 0.2 s pulse at the start of a row."""
    x, wide = 4 * _MM, 5 * _MM
    return (
        f"<path d='M{x} {middle}h{_MM}v{-_PER_MILLIVOLT}h{wide}v{_PER_MILLIVOLT}h{_MM}' "
        "stroke='#1a1a1a' stroke-width='5' fill='none'/>"
    )


def _lead(
    signal: np.ndarray,
    rate: float,
    mask: np.ndarray,
    lead: str,
    start: float,
    seconds: float,
    middle: int,
) -> str:
    left = _LEFT + round(start * _PER_SECOND)
    text = f"{_FONT} font-size='{3.6 * _MM:g}'"
    label = f"<text x='{left + _MM}' y='{middle - 10 * _MM}' {text} fill='#222'>{lead}</text>"
    position = STANDARD_LEADS.index(lead)
    if not mask[position]:
        return (
            f"{label}<text x='{left + 4 * _MM}' y='{middle}' {text} font-style='italic' "
            "fill='#888'>not recorded</text>"
        )
    first, last = round(start * rate), round((start + seconds) * rate)
    samples = signal[first:last, position]
    if not len(samples):
        return label
    samples, rate = _thin(samples, rate)
    x = np.rint(np.arange(len(samples)) * (_PER_SECOND / rate)).astype(np.int64)
    y = np.rint((np.median(samples) - samples) * _PER_MILLIVOLT).astype(np.int64)
    steps = np.stack([np.diff(x), np.diff(y)], axis=1).reshape(-1)
    course = " ".join(map(str, steps.tolist())).replace(" -", "-")
    tick = f"M{left} {middle - 3 * _MM}v{6 * _MM}" if start > 0 else ""
    return (
        f"{label}<path d='{tick}M{left} {middle + y[0]}l{course}' stroke='#1a1a1a' "
        "stroke-width='5' stroke-linejoin='round' fill='none'/>"
    )


def _thin(samples: np.ndarray, rate: float) -> tuple[np.ndarray, float]:
    """At most 250 samples a second: of each group the sample farthest from its mean, so that
    pacing spikes and sharp peaks stay."""
    group = int(np.ceil(rate / _MAX_RATE))
    if group == 1 or len(samples) < group:
        return samples, rate
    groups = samples[: len(samples) // group * group].reshape(-1, group)
    pick = np.abs(groups - groups.mean(axis=1, keepdims=True)).argmax(axis=1)
    return groups[np.arange(len(groups)), pick], rate / group


def _description(findings: Sequence[tuple[str, float]], mask: np.ndarray) -> str:
    missing = [lead for lead, recorded in zip(STANDARD_LEADS, mask, strict=True) if not recorded]
    words = "Electrocardiogram of 12 leads, 10 seconds."
    if missing:
        words += f" Not recorded: {', '.join(missing)}."
    if findings:
        words += " Findings: " + ", ".join(f"{name} {p:.0%}" for name, p in findings) + "."
    return escape(words)


def _finding_list(findings: Sequence[tuple[str, float]], paper: int) -> str:
    """Names and probabilities in three columns, filled downwards, with a bar for each."""
    if not findings:
        return ""
    lines = -(-len(findings) // _FINDING_COLUMNS)
    wide = (_WIDTH - 10 * _MM) // _FINDING_COLUMNS
    bar, size = 14 * _MM, f"font-size='{3.1 * _MM:g}'"
    parts = []
    for place, (name, probability) in enumerate(findings):
        column, line = divmod(place, lines)
        x, y = 5 * _MM + column * wide, paper + 6 * _MM + line * _LINE_HEIGHT
        share = min(max(float(probability), 0.0), 1.0)
        parts.append(
            f"<rect x='{x}' y='{y - 2.6 * _MM:g}' width='{bar}' height='{3 * _MM}' "
            f"fill='#eee'/><rect x='{x}' y='{y - 2.6 * _MM:g}' width='{share * bar:.0f}' "
            f"height='{3 * _MM}' fill='#c0504d'/>"
            f"<text x='{x + bar + 2 * _MM}' y='{y}' {_FONT} {size} fill='#222'>"
            f"{probability:.2f} {escape(name)}</text>"
        )
    return "".join(parts)
