"""GE CardioSoft XML, after files seen."""

from pathlib import Path

import numpy as np

from deepecg_jax.signals.contract import STANDARD_LEADS
from ecg_devices.beats import RATE, counts


def write_cardiosoft(path: Path, samples: np.ndarray | None = None) -> np.ndarray:
    """GE CardioSoft: 12 leads, 5 uV a count."""
    samples = counts() if samples is None else samples
    leads = "".join(
        f'<WaveformData lead="{name}">{",".join(map(str, samples[:, i]))}</WaveformData>'
        for i, name in enumerate(STANDARD_LEADS)
    )
    path.write_text(
        '<?xml version="1.0" encoding="ISO8859-1" ?><CardiologyXML><ObservationDateTime>'
        "<Hour>9</Hour><Minute>5</Minute><Second>0</Second><Day>2</Day><Month>5</Month>"
        "<Year>2015</Year></ObservationDateTime><ClinicalInfo><DeviceInfo><Desc>CardioSoft</Desc>"
        "<SoftwareVer>V6.71</SoftwareVer></DeviceInfo></ClinicalInfo><PatientInfo><PID>77</PID>"
        "<BirthDateTime><Day>3</Day><Month>5</Month><Year>1950</Year></BirthDateTime>"
        "<Gender>MALE</Gender></PatientInfo><Interpretation><Diagnosis><DiagnosisText>Normal ECG"
        "</DiagnosisText></Diagnosis></Interpretation><RestingECGMeasurements>"
        '<VentricularRate units="BPM">60</VentricularRate></RestingECGMeasurements><StripData>'
        f'<NumberOfLeads>12</NumberOfLeads><SampleRate units="Hz">{RATE}</SampleRate>'
        f"<ChannelSampleCountTotal>{len(samples)}</ChannelSampleCountTotal>"
        f'<Resolution units="uVperLsb">5</Resolution>{leads}</StripData></CardiologyXML>',
        encoding="latin-1",
    )
    return samples
