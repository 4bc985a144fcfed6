"""DICOM waveforms, after PS3.3 C.10.9."""

from pathlib import Path

import numpy as np

from deepecg_jax.signals.contract import STANDARD_LEADS
from ecg_devices.beats import RATE, counts


def write_dicom(path: Path, samples: np.ndarray | None = None) -> np.ndarray:
    """DICOM 12-lead ECG storage: one multiplex group, 5 uV a count."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.sequence import Sequence
    from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

    samples = counts() if samples is None else samples

    def code(value: str, scheme: str, meaning: str) -> Dataset:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
        return item

    channels = []
    for name in STANDARD_LEADS:
        channel = Dataset()
        channel.ChannelSourceSequence = Sequence([code(f"MDC_ECG_LEAD_{name}", "MDC", name)])
        channel.ChannelSensitivity, channel.ChannelSensitivityCorrectionFactor = "5", "1"
        channel.ChannelSensitivityUnitsSequence = Sequence([code("uV", "UCUM", "microvolt")])
        channel.ChannelBaseline, channel.WaveformBitsStored = "0", 16
        channels.append(channel)
    group = Dataset()
    group.MultiplexGroupLabel, group.WaveformOriginality = "RHYTHM", "ORIGINAL"
    group.NumberOfWaveformChannels, group.NumberOfWaveformSamples = 12, len(samples)
    group.SamplingFrequency = str(RATE)
    group.ChannelDefinitionSequence = Sequence(channels)
    group.WaveformBitsAllocated, group.WaveformSampleInterpretation = 16, "SS"
    group.add_new(0x54001010, "OW", samples.astype("<i2").tobytes())
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = UID("1.2.840.10008.5.1.4.1.1.9.1.1")
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid(
        entropy_srcs=["deepecg"]
    )
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.PatientID, dataset.PatientSex, dataset.PatientAge = "D-9", "M", "070Y"
    dataset.AcquisitionDateTime, dataset.Manufacturer = "20210203040506", "Acme"
    dataset.InstitutionName, dataset.Modality = "Clinic", "ECG"
    dataset.WaveformSequence = Sequence([group])
    dataset.save_as(path, enforce_file_format=True)
    return samples
