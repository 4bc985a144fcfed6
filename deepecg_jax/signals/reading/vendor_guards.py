"""What is refused of a device's file although ecgdatakit reads it, or before it may try."""

import importlib.util
import math
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element

from deepecg_jax.errors import UserError
from deepecg_jax.signals.reading.limits import check_file
from deepecg_jax.signals.reading.philips import check_philips
from deepecg_jax.signals.reading.safe_xml import MAX_XML_BYTES
from deepecg_jax.signals.recording import SignalError

if TYPE_CHECKING:
    from ecgdatakit.models import ECGRecord

_DEFLATED = b"1.2.840.10008.1.2.1.99"  # DICOM PS3.5 A.5


_MAX_BYTES = {
    "MFER": 4 * 2**20,  # may announce a channel for each byte, and each takes 300 bytes of memory
    "AliveCor Kardia JSON": MAX_XML_BYTES,
}
_XML_FORMATS = ("GE MUSE XML", "HL7 aECG", "Philips Sierra XML", "Mortara ELI (EL250/ELI280)")


def before_parsing(path: Path, format_name: str, root: Element | None) -> None:
    """Refuse what would fill the memory; ``format_name`` is ecgdatakit's, ``root`` of XML.

    SignalError: ``too_large``, or ``unreadable`` for XML that was not parsed safely before.
    """
    if format_name in _MAX_BYTES:
        check_file(path, _MAX_BYTES[format_name])
    if format_name in _XML_FORMATS:
        if root is None:
            raise SignalError("read", "unreadable", f"{path} does not begin like XML.")
        check_philips(path, root)
    if format_name == "DICOM Waveform":
        _refuse_deflated(path)


def _refuse_deflated(path: Path) -> None:
    if importlib.util.find_spec("pydicom") is None:
        raise UserError(
            f"{path} is DICOM, which needs the extra: pip install 'deepecg_jax[formats]'."
        )
    # Anywhere: where exactly it has to stand depends on how forgiving the parser is.
    if _DEFLATED in path.read_bytes():
        raise SignalError(
            "read", "too_large", f"{path} is deflated DICOM, whose size in memory is unknown."
        )


def after_parsing(
    path: Path,
    record: "ECGRecord",
    messages: list[warnings.WarningMessage],
    root: Element | None,
) -> None:
    """SignalError for damage and gaps that the parser only warned of."""
    meta = record.raw_metadata
    if meta.get("checksum_valid") is False:
        _check_checksums(path, record, messages, root)
    if record.source_format in ("edf", "edf_plus"):
        _check_edf(path, meta)
    if record.source_format == "mfer":
        _check_mfer(path, meta)
    if meta.get("resolution_stated") is False or meta.get("scale_warning"):
        raise SignalError("read", "unit", f"{path} does not state the voltage of a count.")


def _check_checksums(
    path: Path,
    record: "ECGRecord",
    messages: list[warnings.WarningMessage],
    root: Element | None,
) -> None:
    """Wrong checksums are damage, but for MUSE files in which not a single one is right.

    GE does not say which CRC ``LeadDataCRC32`` is, and converters write 0 there: if no lead agrees
    with the usual CRC-32, it is another one, and the recording is only marked as not verified.
    """
    if record.source_format == "ge_muse_xml" and root is not None:
        stated = sum((tag.text or "").strip().isdigit() for tag in root.iter("LeadDataCRC32"))
        wrong = sum("CRC32 mismatch" in str(message.message) for message in messages)
        if wrong >= stated:
            return
    raise SignalError(
        "read", "checksum", f"{path}: its samples do not match its checksums; it is damaged."
    )


def _check_edf(path: Path, meta: dict[str, Any]) -> None:
    with path.open("rb") as file:
        announced = file.read(256)[236:244].decode("ascii", "replace").strip()
    if re.fullmatch(r"\d+", announced) and int(announced) != meta["num_records"]:
        raise SignalError(
            "read",
            "unreadable",
            f"{path} holds {meta['num_records']} data records, but its header says {announced}.",
        )
    onsets, duration = meta.get("record_onsets"), meta["record_duration"]
    if onsets and any(
        not math.isclose(onset, onsets[0] + number * duration, abs_tol=1e-6)
        for number, onset in enumerate(onsets)
    ):
        raise _gaps(path)


def _check_mfer(path: Path, meta: dict[str, Any]) -> None:
    end = None
    for frame in meta.get("frames", []):
        if end is not None and frame["pointer"] != end:
            raise _gaps(path)
        end = frame["pointer"] + frame["samples"]


def _gaps(path: Path) -> SignalError:
    return SignalError("read", "gaps", f"{path} has gaps between its pieces.")
