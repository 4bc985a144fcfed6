"""``deepecg inspect FILE``: one ECG file as it was understood, as a table and on ECG paper."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.markup import escape
from rich.table import Table

from deepecg_jax.cli.console import console
from deepecg_jax.errors import UserError
from deepecg_jax.signals.contract import STANDARD_LEADS
from deepecg_jax.signals.leads import canonical_lead, to_standard
from deepecg_jax.signals.recording import Recording, SignalError
from deepecg_jax.signals.standard.millivolt import Window, standardize

_MEASUREMENTS = {
    "heart_rate": ("rate", "/min"),
    "VentricularRate": ("rate", "/min"),
    "pr_interval": ("PR", "ms"),
    "PQInterval": ("PQ", "ms"),
    "qrs_duration": ("QRS", "ms"),
    "QRSDuration": ("QRS", "ms"),
    "qt_interval": ("QT", "ms"),
    "QTInterval": ("QT", "ms"),
    "qtc_bazett": ("QTc (Bazett)", "ms"),
    "qtc_fridericia": ("QTc (Fridericia)", "ms"),
    "QTCInterval": ("QTc", "ms"),
    "qrs_axis": ("QRS axis", "deg"),
    "RAxis": ("QRS axis", "deg"),
}


@dataclass(frozen=True)
class _Twelve:
    """The recording in the standard leads at its own rate."""

    signal: np.ndarray
    mask: np.ndarray
    derived: tuple[str, ...]


def inspect_file(path: Path, out: Path | None = None) -> None:
    """Read one ECG, say what was understood, and draw it as ``out`` or ``./RECORD.png``.

    UserError if it cannot be read, or is refused by the checks (it is then drawn all the same).
    """
    from deepecg_jax.signals.reading.read import read

    try:
        recording = read(path)
    except SignalError as error:
        raise UserError(
            f"{path} cannot be used ({error.stage}, {error.reason}): {error}"
        ) from error
    window: Window | None = None
    refusal: SignalError | None = None
    try:
        window = standardize(recording)[0]
    except SignalError as error:
        refusal = error
    twelve = _twelve(recording, window)
    drawn = _draw(recording, twelve, out) if twelve else ""
    table = Table(title=escape(str(path)), title_justify="left", show_header=False)
    for name, value in _rows(recording, twelve, window).items():
        table.add_row(escape(name), escape(value))
    console.print(table)
    if drawn:
        console.print(drawn, soft_wrap=True, highlight=False)
    if refusal is not None:
        raise UserError(
            f"{path} was read but cannot be used ({refusal.stage}, {refusal.reason}): {refusal}"
        ) from refusal


def _twelve(recording: Recording, window: Window | None) -> _Twelve | None:
    derive = window is None or not window.quality["lead_gains_normalised"]
    try:
        signal, mask = to_standard(recording.signal, recording.leads, derive)
    except SignalError:  # two leads of one name, or none that is standard: nothing to draw
        return None
    recorded = {canonical_lead(name) for name in recording.leads}
    derived = [
        lead
        for lead, here in zip(STANDARD_LEADS, mask, strict=True)
        if here and lead not in recorded
    ]
    return _Twelve(signal, mask, tuple(derived))


def _rows(recording: Recording, twelve: _Twelve | None, window: Window | None) -> dict[str, str]:
    meta = recording.meta
    others = [name for name in recording.leads if canonical_lead(name) is None]
    rows = {
        "format": str(meta.get("format", "")),
        "record": recording.record_id,
        "patient": recording.patient_id,
        "age": "unknown" if math.isnan(recording.age) else f"{recording.age:g} years",
        "sex": recording.sex,
        "date": str(meta.get("date", "")),
        "site": recording.site,
        "device": recording.device,
        "recorded": f"{recording.seconds:.4g} s at {recording.sampling_rate:g} Hz",
        "unit": _unit(meta),
        "leads": ", ".join(recording.leads),
        "other leads": f"{', '.join(others)} (not used)" if others else "",
    }
    if twelve:
        missing = [lead for lead, here in zip(STANDARD_LEADS, twelve.mask, strict=True) if not here]
        rows["derived leads"] = ", ".join(twelve.derived)
        rows["missing leads"] = ", ".join(missing)
    rows["checksums"] = {True: "agree", False: "not comparable"}.get(
        meta.get("checksum_verified", ""), ""
    )
    rows["measurements"] = ", ".join(_measurements(meta))
    rows["filters"] = ", ".join(f"{key} {value}" for key, value in meta.get("filters", {}).items())
    rows["statements"] = "\n".join(meta.get("statements", [])) or recording.report
    rows["statements of the device"] = "\n".join(meta.get("machine_statements", []))
    rows |= {key: str(value) for key, value in meta.get("comments", {}).items() if key not in rows}
    rows["remarks"] = "\n".join(meta.get("warnings", []))
    if window is not None:
        rows |= _quality(window)
    return {name: value for name, value in rows.items() if value}


def _quality(window: Window) -> dict[str, str]:
    low, high = float(window.signal.min()), float(window.signal.max())
    text = f"12 leads x 10 s at 250 Hz, {low:.2f} to {high:.2f} mV"
    if window.valid_samples < len(window.signal):
        text += f", {window.valid_samples / 250:.2f} s of it recorded"
    masked = [lead for lead, here in zip(STANDARD_LEADS, window.lead_mask, strict=True) if not here]
    if masked:
        text += f"; masked: {', '.join(masked)}"
    return {
        "standardised": text,
        "quality": "\n".join(
            f"{name.replace('_', ' ')} {f'{value:.4g}' if isinstance(value, float) else value}"
            for name, value in window.quality.items()
            if value == value  # NaN: not measurable in this recording
        ),
    }


def _unit(meta: dict[str, Any]) -> str:
    """Microvolts a count as the file states it."""
    steps = meta.get("microvolts_per_count", [])
    if not steps:
        return ""
    if max(steps) - min(steps) <= 1e-9 * max(map(abs, steps)):
        return f"{steps[0]:.6g} uV a count"
    return ", ".join(f"{step:.6g}" for step in steps) + " uV a count (by lead)"


def _measurements(meta: dict[str, Any]) -> list[str]:
    return [
        f"{name} {meta['measurements'][key]} {unit}"
        for key, (name, unit) in _MEASUREMENTS.items()
        if key in meta.get("measurements", {})
    ]


def _draw(recording: Recording, twelve: _Twelve, out: Path | None) -> str:
    """Draw the ECG; the sentence that says where it is."""
    from deepecg_jax.signals.drawing.png import Sheet, draw_png, has_matplotlib
    from deepecg_jax.signals.drawing.svg import ecg_svg

    meta = recording.meta
    age = "age unknown" if math.isnan(recording.age) else f"{recording.age:g} years"
    person = f"{age}, {recording.sex}" if recording.sex != "unknown" else age
    name = recording.record_id or "ecg"
    if has_matplotlib():
        path = out or Path(f"{name}.png")
        measurements = _measurements(meta)
        left = [
            name,
            ", ".join(filter(None, (recording.patient_id, person))),
            ", ".join(filter(None, (str(meta.get("date", "")), recording.site))),
            recording.device,
            ", ".join(measurements[:5]),
            ", ".join(measurements[5:]),
        ]
        statements = meta.get("statements") or recording.report.splitlines()
        foot = [str(meta.get("format", "")), _unit(meta), f"{recording.sampling_rate:g} Hz"]
        foot += ["unfiltered by deepecg"]
        foot += ["* derived from the other limb leads"] if twelve.derived else []
        sheet = Sheet(
            [line for line in left if line],
            statements,
            "  |  ".join(filter(None, foot)),
            twelve.derived,
        )
        draw_png(path, twelve.signal, recording.sampling_rate, twelve.mask, sheet)
        return f"drawn in {path.resolve()}"
    path = (out or Path(f"{name}.png")).with_suffix(".svg")
    finite = np.nan_to_num(twelve.signal, posinf=0.0, neginf=0.0)
    drawing = ecg_svg(finite, recording.sampling_rate, f"{name}  {person}", (), twelve.mask)
    try:
        path.write_text(drawing, encoding="utf-8")
    except OSError as error:
        raise UserError(f"The drawing {path.resolve()} cannot be written: {error}.") from error
    return f"drawn in {path.resolve()} (a PNG needs matplotlib: pip install 'deepecg_jax[formats]')"
