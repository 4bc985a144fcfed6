"""``deepecg inspect FILE``: one ECG file as it was understood, as a table and on ECG paper."""

import math
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from deepecg_jax.cli.console import console
from deepecg_jax.errors import UserError
from deepecg_jax.signals.contract import STANDARD_LEADS, SignalContract
from deepecg_jax.signals.drawing.plot import TwelveLeads, plot, twelve_leads
from deepecg_jax.signals.leads import canonical_lead
from deepecg_jax.signals.recording import Meta, Recording, SignalError
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
    twelve = _twelve(recording)
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


def _twelve(recording: Recording) -> TwelveLeads | None:
    try:
        return twelve_leads(recording)
    except SignalError:  # two leads of one name, or none that is standard: nothing to draw
        return None


def _rows(
    recording: Recording, twelve: TwelveLeads | None, window: Window | None
) -> dict[str, str]:
    """What the table says, by name; what is unknown is left out."""
    meta = recording.meta
    others = [name for name in recording.leads if canonical_lead(name) is None]
    rows = {
        "format": meta.get("format", ""),
        "record": recording.record_id,
        "patient": recording.patient_id,
        "age": "unknown" if math.isnan(recording.age) else f"{recording.age:g} years",
        "sex": recording.sex,
        "date": meta.get("date", ""),
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
    verified = meta.get("checksum_verified")
    if verified is not None:
        rows["checksums"] = "agree" if verified else "not comparable"
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
    form = SignalContract()  # what `standardize` makes if not told otherwise
    text = f"{len(form.leads)} leads x {form.seconds:g} s at {form.sampling_rate:g} Hz, "
    text += f"{low:.2f} to {high:.2f} {form.unit}"
    if window.valid_samples < len(window.signal):
        text += f", {window.valid_samples / form.sampling_rate:.2f} s of it recorded"
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


def _unit(meta: Meta) -> str:
    """Microvolts a count as the file states it."""
    steps = meta.get("microvolts_per_count", [])
    if not steps:
        return ""
    if max(steps) - min(steps) <= 1e-9 * max(map(abs, steps)):
        return f"{steps[0]:.6g} uV a count"
    return ", ".join(f"{step:.6g}" for step in steps) + " uV a count (by lead)"


def _measurements(meta: Meta) -> list[str]:
    measured = meta.get("measurements", {})
    return [
        f"{name} {measured[key]} {unit}"
        for key, (name, unit) in _MEASUREMENTS.items()
        if key in measured
    ]


def _draw(recording: Recording, twelve: TwelveLeads, out: Path | None) -> str:
    """Draw the ECG; the sentence that says where it is."""
    from deepecg_jax.signals.drawing.png import Sheet, draw_png, has_matplotlib

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
            ", ".join(filter(None, (meta.get("date", ""), recording.site))),
            recording.device,
            ", ".join(measurements[:5]),
            ", ".join(measurements[5:]),
        ]
        statements = meta.get("statements") or recording.report.splitlines()
        foot = [meta.get("format", ""), _unit(meta), f"{recording.sampling_rate:g} Hz"]
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
    plot(recording, title=f"{name}  {person}").save(path)
    return f"drawn in {path.resolve()} (a PNG needs matplotlib: pip install 'deepecg_jax[formats]')"
