"""Files of ECG devices written by the definitions of their formats, one format a file, for tests.

Only the MUSE and CardioSoft forms follow files seen; the others follow the published standards or
what public readers expect, not files of real devices.
"""

from ecg_devices.aecg import write_aecg
from ecg_devices.beats import RATE, counts
from ecg_devices.cardiosoft import write_cardiosoft
from ecg_devices.dicom import write_dicom
from ecg_devices.edf import write_edf
from ecg_devices.ishne import write_ishne
from ecg_devices.kardia import write_kardia
from ecg_devices.mfer import write_mfer
from ecg_devices.mortara import write_mortara
from ecg_devices.muse import MUSE_LEADS, write_muse
from ecg_devices.philips import write_philips
from ecg_devices.scp import write_scp

__all__ = [
    "MUSE_LEADS",
    "RATE",
    "WRITERS",
    "counts",
    "write_aecg",
    "write_cardiosoft",
    "write_dicom",
    "write_edf",
    "write_ishne",
    "write_kardia",
    "write_mfer",
    "write_mortara",
    "write_muse",
    "write_philips",
    "write_scp",
]

WRITERS = {
    "muse": (write_muse, ".xml", 4.88e-3),
    "cardiosoft": (write_cardiosoft, ".xml", 5e-3),
    "aecg": (write_aecg, ".xml", 5e-3),
    "philips": (write_philips, ".xml", 5e-3),
    "scp": (write_scp, ".scp", 5e-3),
    "dicom": (write_dicom, ".dcm", 5e-3),
    "mfer": (write_mfer, ".mwf", 5e-3),
    "edf": (write_edf, ".edf", 5e-3),
    "ishne": (write_ishne, ".ecg", 5e-3),
    "mortara": (write_mortara, ".xml", 5e-3),
    "kardia": (write_kardia, ".json", 5e-3),
}
"""Format -> (writer, usual extension, millivolts a count)."""
