"""GE MUSE XML, after files seen."""

import base64
import zlib
from pathlib import Path

import numpy as np

from ecg_devices.beats import RATE, counts

MUSE_LEADS = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")


def write_muse(path: Path, samples: np.ndarray | None = None, crc: bool = True) -> np.ndarray:
    """GE MUSE: 8 leads, 4.88 uV a count, with CRC-32."""
    samples = counts(n_leads=8) if samples is None else samples

    def lead(name: str, column: np.ndarray) -> str:
        raw = column.astype("<i2").tobytes()
        check = f"<LeadDataCRC32>{zlib.crc32(raw)}</LeadDataCRC32>" if crc else ""
        return (
            f"<LeadData><LeadByteCountTotal>{len(raw)}</LeadByteCountTotal>"
            f"<LeadSampleCountTotal>{len(column)}</LeadSampleCountTotal>"
            "<LeadAmplitudeUnitsPerBit>4.88</LeadAmplitudeUnitsPerBit>"
            "<LeadAmplitudeUnits>MICROVOLTS</LeadAmplitudeUnits>"
            f"<LeadID>{name}</LeadID><LeadSampleSize>2</LeadSampleSize>{check}"
            f"<WaveFormData>{base64.b64encode(raw).decode()}</WaveFormData></LeadData>"
        )

    leads = "".join(lead(name, samples[:, i]) for i, name in enumerate(MUSE_LEADS))
    path.write_text(
        "<?xml version='1.0' encoding='ISO-8859-1'?><!DOCTYPE RestingECG SYSTEM 'restecg.dtd'>"
        "<RestingECG><PatientDemographics><PatientID>P7</PatientID><PatientAge>63</PatientAge>"
        "<AgeUnits>YEARS</AgeUnits><Gender>FEMALE</Gender><PatientLastName>Doe</PatientLastName>"
        "</PatientDemographics><TestDemographics><AcquisitionDate>03-21-2019</AcquisitionDate>"
        "<AcquisitionTime>08:15:00</AcquisitionTime><SiteName>Mount Royal</SiteName>"
        "<AcquisitionDevice>MAC55</AcquisitionDevice></TestDemographics>"
        "<RestingECGMeasurements><VentricularRate>60</VentricularRate></RestingECGMeasurements>"
        "<Diagnosis><Modality>RESTING</Modality><DiagnosisStatement><StmtText>Sinus rhythm"
        "</StmtText></DiagnosisStatement></Diagnosis>"
        f"<Waveform><WaveformType>Rhythm</WaveformType><SampleBase>{RATE}</SampleBase>"
        f"<SampleExponent>0</SampleExponent>{leads}</Waveform></RestingECG>",
        encoding="latin-1",
    )
    return samples
