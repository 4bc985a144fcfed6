"""GE CardioSoft XML (root ``CardiologyXML``): the resting ECGs of CLSA and UK Biobank.

ecgdatakit 2.0 has no parser for it. The waveform is a list of integers a lead, with a rate and a
resolution of its own in ``StripData``; ``MedianSamples`` and ``VectorLoops`` are not read.
"""

import math
import re
from datetime import datetime
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from deepecg_jax.signals.people import Repairs, parse_age, parse_sex
from deepecg_jax.signals.reading.limits import check_values
from deepecg_jax.signals.recording import Recording, SignalError
from deepecg_jax.signals.units import millivolts_per_unit

ROOT_TAG = "CardiologyXML"
_PER_BIT = re.compile(r"(?P<unit>\w+?)per(?:lsb|bit)", re.IGNORECASE)
_NUMBERS = re.compile(r"[-+]?[0-9]{1,10}(?:\s*,\s*[-+]?[0-9]{1,10})*", re.ASCII)
_INTERVALS = ("VentricularRate", "PQInterval", "QRSDuration", "QTInterval", "QTCInterval")
_AXES = ("PAxis", "RAxis", "TAxis")


def read_cardiosoft(path: Path, root: Element) -> Recording:
    """The rhythm strip of a CardioSoft document.

    SignalError (``read``): ``unreadable``, ``unit`` (no resolution in a voltage a bit),
    ``unknown_rate``, ``too_large``.
    """
    strip = root.find("StripData")
    if strip is None:
        raise _damaged(path, "it has no StripData")
    rate = _rate(path, strip.find("SampleRate"))
    step = _millivolts_per_bit(path, strip.find("Resolution"))
    waveforms = strip.findall("WaveformData")
    expected = _count(path, strip, "ChannelSampleCountTotal")
    check_values(path, expected, max(1, len(waveforms)))
    if not waveforms or len(waveforms) != _count(path, strip, "NumberOfLeads"):
        raise _damaged(path, f"it holds {len(waveforms)} leads but announces another number")
    names = [(waveform.get("lead") or "").strip() for waveform in waveforms]
    if not all(names):
        raise _damaged(path, "a lead has no name")
    counts = [
        _samples(path, name, waveform, expected)
        for name, waveform in zip(names, waveforms, strict=True)
    ]
    date = _date(root.find("ObservationDateTime"))
    patient = root.find("PatientInfo")
    diagnoses = [
        text
        for element in root.iterfind("Interpretation//*")
        if element.tag in ("DiagnosisText", "ConclusionText") and (text := _text(element))
    ]
    device = root.find("ClinicalInfo/DeviceInfo")
    age, strange_age = _age(patient, date)
    sex, strange_sex = parse_sex(_text_of(patient, "Gender"))
    return Recording(
        signal=(np.stack(counts) * step).astype(np.float32).T,
        leads=tuple(names),
        sampling_rate=rate,
        record_id=path.stem,
        patient_id=_text_of(patient, "PID"),
        age=age,
        sex=sex,
        site=_text_of(root, "PatientVisit/ServicingFacility/Name"),
        device=" ".join(filter(None, (_text_of(device, "Desc"), _text_of(device, "SoftwareVer")))),
        report="\n".join(diagnoses),
        meta={
            "format": "GE CardioSoft XML",
            "microvolts_per_count": [1000 * step] * len(names),
            "date": date.isoformat(sep=" ") if date else "",
            "statements": diagnoses,
            "repairs": (*strange_age, *strange_sex),
            "measurements": _measurements(root.find("RestingECGMeasurements")),
        },
    )


def _samples(path: Path, name: str, waveform: Element, expected: int) -> np.ndarray:
    text = (waveform.text or "").strip().rstrip(",")
    if not _NUMBERS.fullmatch(text):
        raise _damaged(path, f"lead {name} is no list of integers")
    values = np.fromstring(text, np.int64, sep=",")  # eight times as fast as int() on each
    if len(values) != expected:
        raise _damaged(path, f"lead {name} has {len(values)} samples instead of {expected}")
    if np.abs(values).max() >= 2**31:
        raise _damaged(path, f"lead {name} holds a number that no converter gives")
    return values


def _rate(path: Path, element: Element | None) -> float:
    text, unit = _text(element), (element.get("units") or "") if element is not None else ""
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if unit.strip().lower() != "hz" or not math.isfinite(rate) or rate <= 0:
        raise SignalError(
            "read", "unknown_rate", f"{path} states a sampling rate of {text!r} {unit!r}."
        )
    return rate


def _millivolts_per_bit(path: Path, element: Element | None) -> float:
    text, units = _text(element), (element.get("units") or "") if element is not None else ""
    match = _PER_BIT.fullmatch(units.strip())
    try:
        step = float(text)
    except ValueError:
        step = 0.0
    if match is None or not math.isfinite(step) or step <= 0:
        raise SignalError(
            "read",
            "unit",
            f"{path} states a resolution of {text!r} {units!r}, not of microvolts a bit.",
        )
    return step * millivolts_per_unit(match["unit"])


def _count(path: Path, strip: Element, tag: str) -> int:
    text = _text_of(strip, tag)
    if not re.fullmatch(r"[0-9]{1,12}", text):
        raise _damaged(path, f"{tag} is {text!r}")
    return int(text)


def _age(patient: Element | None, date: datetime | None) -> tuple[float, Repairs]:
    """The stated age in years, else whole years from birth to the recording; and repairs."""
    stated = patient.find("Age") if patient is not None else None
    units = (stated.get("units") or "").strip() if stated is not None else ""
    age, repairs = parse_age(_text(stated), unit=units) if units else (math.nan, ())
    birth = _date(patient.find("BirthDateTime")) if patient is not None else None
    if not math.isnan(age) or birth is None or date is None or birth > date:
        return age, repairs
    whole = date.year - birth.year - ((date.month, date.day) < (birth.month, birth.day))
    age, more = parse_age(str(whole))
    return age, (*repairs, *more)


def _date(element: Element | None) -> datetime | None:
    if element is None:
        return None
    try:
        day = [int(_text_of(element, tag)) for tag in ("Year", "Month", "Day")]
        clock = [int(_text_of(element, tag) or 0) for tag in ("Hour", "Minute", "Second")]
        return datetime(*day, *clock)  # type: ignore[arg-type]
    except ValueError:
        return None


def _measurements(element: Element | None) -> dict[str, str]:
    found = {tag: _text_of(element, tag) for tag in (*_INTERVALS, *_AXES)}
    return {tag: text for tag, text in found.items() if text}


def _text_of(element: Element | None, tag: str) -> str:
    return _text(element.find(tag)) if element is not None else ""


def _text(element: Element | None) -> str:
    return " ".join((element.text or "").split()) if element is not None else ""


def _damaged(path: Path, what: str) -> SignalError:
    return SignalError("read", "unreadable", f"{path} is no whole CardioSoft ECG: {what}.")
