"""Files of ECG devices -> :class:`Recording`, by their content: ``ecgdatakit`` parses, this module
takes over what can be trusted.

ecgdatakit 2.0 keeps samples as counts with the file's own scale, which is what is wanted here, but
it also goes on where a study should not: it fills in rates and scales that a file does not state,
reads what is left of truncated EDF files, joins EDF+D and MFER pieces over gaps, and only warns of
wrong checksums. All that is refused here. Its rates are whole numbers; where a file states another
one, that one is taken. Names of patients and physicians are not taken over.
"""

import importlib.util
import math
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element

import numpy as np

from deepecg_jax.errors import UserError
from deepecg_jax.signals.leads import canonical_lead
from deepecg_jax.signals.people import parse_age, parse_sex
from deepecg_jax.signals.reading import cardiosoft, vendor_guards
from deepecg_jax.signals.reading.limits import check_file, check_values
from deepecg_jax.signals.reading.safe_xml import looks_like_xml, read_xml
from deepecg_jax.signals.recording import Recording, SignalError
from deepecg_jax.signals.units import millivolts_per_unit

if TYPE_CHECKING:
    from ecgdatakit.models import DeviceInfo, ECGRecord, Lead

FORMATS = {
    "ge_muse_xml": "GE MUSE XML",
    "hl7_aecg": "HL7 aECG",
    "sierra_xml": "Philips XML",
    "mortara_el250": "Mortara ELI XML",
    "scp_ecg": "SCP-ECG",
    "dicom_waveform": "DICOM waveform",
    "mfer": "MFER",
    "edf": "EDF",
    "edf_plus": "EDF+",
    "ishne_holter": "ISHNE Holter",
    "alivecor_kardia": "AliveCor Kardia JSON",
}
"""ecgdatakit's names of the formats that are read -> what people call them."""

SUPPORTED = ", ".join([*FORMATS.values(), "GE CardioSoft XML"])
MAX_VENDOR_BYTES = 64 * 2**20
"""12 leads of 16 bits at 500 Hz for 90 min; ecgdatakit makes doubles of all samples at once."""
_HEAD_BYTES = 4096
_PACKED = {
    b"\x1f\x8b\x08": "gzip",
    b"PK\x03\x04": "zip",
    b"7z\xbc\xaf": "7-Zip",
    b"Rar!": "RAR",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
}
_SUFFIXED = re.compile(r"(?P<name>.+)_\d+")


def read_vendor(path: Path) -> Recording:
    """Read one file of a device, whatever its extension.

    ``meta`` holds ``format``, ``microvolts_per_count`` and ``offset_millivolts`` (leads,), ``date``
    (ISO, empty if unknown), ``statements`` and ``machine_statements`` (what the device said if a
    physician changed it), ``measurements``, ``filters``, ``checksum_verified``,
    ``warnings`` and ``repairs`` (of age and sex).

    Raises:
        SignalError: ``unknown_format``, ``compressed`` (an archive), ``unreadable``, ``unit`` (the
            file states no voltage for its counts), ``unknown_rate``, ``checksum``, ``unsafe_xml``,
            ``too_large``, ``shape`` (leads that do not go together), ``gaps``.
        UserError: the extra ``formats`` is not installed.
    """
    check_file(path, MAX_VENDOR_BYTES)
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise SignalError("read", "unreadable", f"{path} cannot be read ({error}).") from error
    if packed := next((name for magic, name in _PACKED.items() if head.startswith(magic)), ""):
        raise SignalError(
            "read", "compressed", f"{path} is compressed ({packed}), not an ECG file; unpack it."
        )
    root = read_xml(path) if looks_like_xml(head) else None
    if root is not None and root.tag == cardiosoft.ROOT_TAG:
        return cardiosoft.read_cardiosoft(path, root)
    record, messages = _parse(path, root)
    vendor_guards.after_parsing(path, record, messages, root)
    return _recording(path, record, [str(message.message) for message in messages], root)


def _parse(path: Path, root: Element | None) -> "tuple[ECGRecord, list[warnings.WarningMessage]]":
    """ecgdatakit's record and its warnings."""
    if importlib.util.find_spec("ecgdatakit") is None:
        raise UserError(
            f"{path} is no WFDB record; files of ECG devices need the extra: "
            "pip install 'deepecg_jax[formats]'."
        )
    from ecgdatakit import FileParser

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = FileParser.detect_format(path)
            if found is None or found["name"] == "WFDB":
                raise SignalError(
                    "read",
                    "unknown_format",
                    f"{path} is none of the formats that are read: WFDB, {SUPPORTED}, and HDF5, "
                    ".npy or .csv with rate, unit and leads.",
                )
            vendor_guards.before_parsing(path, found["name"], root)
            record = found["parser_class"]().parse(path)
        except (SignalError, UserError):
            raise
        # Parsers raise anything on damaged files, also RecursionError and MemoryError.
        except Exception as error:
            what = " ".join(str(error).replace(str(path), "the file").split())[:300]
            raise SignalError(
                "read", "unreadable", f"{path} cannot be read ({type(error).__name__}: {what})."
            ) from error
    if record.source_format not in FORMATS:
        raise SignalError(
            "read",
            "unknown_format",
            f"{path} is of the format {record.source_format!r}, whose scale or leads are guesses.",
        )
    return record, caught


def _recording(
    path: Path, record: "ECGRecord", messages: list[str], root: Element | None
) -> Recording:
    leads = _leads_that_go_together(path, record.leads)
    check_values(path, len(leads[0].samples), len(leads))
    rate = _rate(path, record, leads[0])
    names, columns, steps, offsets = [], [], [], []
    for lead in leads:
        step, offset = _scale(path, lead)
        with np.errstate(over="ignore", invalid="ignore"):  # infinity, which the checks refuse
            column = (np.asarray(lead.samples, np.float64) * step + offset).astype(np.float32)
        base = _SUFFIXED.fullmatch(lead.label)
        if base and base["name"] in names:  # ecgdatakit numbers leads of one name
            if np.array_equal(column, columns[names.index(base["name"])], equal_nan=True):
                continue
            names.append(base["name"])  # two leads of one name: the checks refuse the recording
        else:
            names.append(lead.label)
        columns.append(column)
        steps.append(1000 * step)
        offsets.append(offset)
    device, interpretation = record.recording.device, record.interpretation
    statements = _lines(interpretation.statements)
    date = record.recording.date
    age, strange_age = parse_age("" if record.patient.age is None else str(record.patient.age))
    sex, strange_sex = parse_sex(record.patient.sex or "")
    return Recording(
        signal=np.stack(columns).T,
        leads=tuple(names),
        sampling_rate=rate,
        record_id=path.stem,
        patient_id=record.patient.patient_id.strip(),
        age=age,
        sex=sex,
        site=(device.institution or record.recording.location).strip(),
        device=_device(device),
        report="\n".join(statements),
        meta={
            "format": FORMATS[record.source_format],
            "microvolts_per_count": steps,
            "offset_millivolts": offsets,
            "date": date.isoformat(sep=" ") if date else _text(record, "acquisition_date"),
            "statements": statements,
            "repairs": (*strange_age, *strange_sex),
            "statements_by": interpretation.source,
            "machine_statements": _text(record, "", "machine_interpretation").splitlines(),
            "measurements": _stated(record.measurements.to_dict()),
            "filters": _stated(record.recording.acquisition.filters.to_dict()),
            "checksum_verified": record.raw_metadata.get("checksum_valid"),
            "warnings": messages,
        },
    )


def _leads_that_go_together(path: Path, leads: "list[Lead]") -> "list[Lead]":
    """All leads of the rate and length of the standard leads; other channels are left out.

    EDF files carry respiration or annotations beside the ECG, at their own rates and units.
    """
    ecg = [lead for lead in leads if canonical_lead(lead.label)] or list(leads)
    shapes = {(lead.sampling_rate, len(lead.samples)) for lead in ecg}
    starts = {lead.annotations.get("start_sample", "1") for lead in ecg}
    if not ecg or not ecg[0].samples.size:
        raise SignalError("read", "unreadable", f"{path} holds no samples.")
    if len(shapes) > 1 or len(starts) > 1:
        raise SignalError(
            "read",
            "shape",
            f"{path}: the leads differ in rate, length or start, so they were not recorded "
            "together.",
        )
    together = [
        lead for lead in leads if (lead.sampling_rate, len(lead.samples)) in shapes
    ]  # keeps the file's order
    return [lead for lead in together if canonical_lead(lead.label) or _is_voltage(lead)] or ecg


def _unit(lead: "Lead") -> str:
    return lead.resolution_unit if lead.is_raw else lead.units or lead.resolution_unit


def _is_voltage(lead: "Lead") -> bool:
    try:
        millivolts_per_unit(_unit(lead))
    except SignalError:
        return False
    return True


def _scale(path: Path, lead: "Lead") -> tuple[float, float]:
    """Millivolts a count, and at count 0."""
    unit = _unit(lead)
    if not unit or not math.isfinite(lead.resolution) or lead.resolution == 0:
        raise SignalError(
            "read",
            "unit",
            f"{path} does not state the voltage of a count for lead {lead.label}: it is not "
            "calibrated.",
        )
    try:
        factor = millivolts_per_unit(unit)
    except SignalError as error:
        raise SignalError("read", "unit", f"{path}, lead {lead.label}: {error}") from error
    if not lead.is_raw:
        return factor, 0.0
    return float(lead.resolution * factor), float(lead.offset * factor)


def _rate(path: Path, record: "ECGRecord", lead: "Lead") -> float:
    """The rate in Hz as the file states it; ecgdatakit's own is rounded to a whole number."""
    meta = record.raw_metadata
    stated: list[Any] = [
        meta.get("rhythm_time", {}).get("sampling_rate_exact"),
        meta.get("exact_sampling_rates", {}).get(lead.label),
        *(meta.get("sampling_rates") or [])[:1],
        *(group["sampling_frequency"] for group in meta.get("multiplex_groups", [])),
    ]
    if interval := meta.get("rhythm_sample_interval_us"):
        stated.append(1e6 / interval)
    exact = [rate for rate in stated if rate and abs(rate - lead.sampling_rate) <= 0.5]
    rate = float(round(exact[0], 6)) if exact else float(lead.sampling_rate)
    if not math.isfinite(rate) or rate <= 0 or meta.get("sampling_rate_stated") is False:
        raise SignalError("read", "unknown_rate", f"{path} does not state a sampling rate.")
    return rate


def _device(device: "DeviceInfo") -> str:
    parts: list[str] = []
    for part in (device.manufacturer, device.model or device.name, device.software_version):
        if part.strip() and part.strip() not in parts:
            parts.append(part.strip())
    return " ".join(parts)


def _lines(statements: list[tuple[str, str]]) -> list[str]:
    return [" ".join(filter(None, (left.strip(), right.strip()))) for left, right in statements]


def _stated(values: dict[str, float | bool | None]) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None}


def _text(record: "ECGRecord", key: str, annotation: str = "") -> str:
    value = record.raw_metadata.get(key, "") if key else record.annotations.get(annotation, "")
    return str(value)
