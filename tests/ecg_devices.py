"""Files of ECG devices written by the definitions of their formats, for tests.

Only the MUSE and CardioSoft forms follow files seen; the others follow the published standards
(aECG: HL7 V3 R1; SCP-ECG: EN 1064; MFER: ISO 22077-1; EDF+; ISHNE 1.0; DICOM PS3.3 C.10.9; Philips:
the public SierraECG schema 1.03/1.04; Mortara and Kardia: what public readers expect), not files
of real devices.
"""

import base64
import binascii
import json
import struct
import zlib
from pathlib import Path

import numpy as np

from deepecg_jax.signals.contract import STANDARD_LEADS

RATE = 500
MUSE_LEADS = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")


def counts(n_samples: int = 5000, n_leads: int = 12, seed: int = 0) -> np.ndarray:
    """(T, L) int16: a beat a second of about 1 mV at 5 uV a count, limb leads by Einthoven."""
    t = np.arange(n_samples) / RATE
    beat = np.exp(-(((t % 1) - 0.4) ** 2) / 2e-4) + 0.2 * np.exp(-(((t % 1) - 0.65) ** 2) / 2e-3)
    rng = np.random.default_rng(seed)
    sizes = np.array([0.7, 1.1, *rng.uniform(0.5, 1.5, 6)])
    waves = 200 * beat[:, None] * sizes + rng.normal(0, 3, (n_samples, 8))
    eight = np.rint(waves).astype(np.int64)
    if n_leads == 8:
        return eight.astype("<i2")
    first, second, chest = eight[:, 0] // 2 * 2, eight[:, 1] // 2 * 2, eight[:, 2:]
    limb = [first, second, second - first, -(first + second) // 2]
    limb += [first - second // 2, second - first // 2]
    return np.column_stack([*limb, chest]).astype("<i2")


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


def write_aecg(path: Path, samples: np.ndarray | None = None) -> np.ndarray:
    """HL7 aECG: 12 leads, 5 uV a digit, 2 ms steps."""
    samples = counts() if samples is None else samples
    leads = "".join(
        f'<component><sequence><code code="MDC_ECG_LEAD_{name}"/><value xsi:type="SLIST_PQ">'
        '<origin value="0" unit="uV"/><scale value="5" unit="uV"/>'
        f"<digits>{' '.join(map(str, samples[:, i]))}</digits></value></sequence></component>"
        for i, name in enumerate(STANDARD_LEADS)
    )
    subject = "componentOf/timepointEvent/componentOf/subjectAssignment/subject/trialSubject"
    tags = subject.split("/")
    opened, closed = "".join(f"<{t}>" for t in tags), "".join(f"</{t}>" for t in tags[::-1])
    path.write_text(
        '<?xml version="1.0" encoding="UTF-8"?><AnnotatedECG xmlns="urn:hl7-org:v3" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><id root="1.2.3"/>'
        f'{opened}<id extension="S-12"/><subjectDemographicPerson>'
        '<administrativeGenderCode code="M"/><birthTime value="19600102"/>'
        f"</subjectDemographicPerson>{closed}"
        '<effectiveTime><low value="20200304101500"/></effectiveTime>'
        '<component><series><code code="RHYTHM"/><effectiveTime><low value="20200304101500"/>'
        "</effectiveTime><component><sequenceSet>"
        '<component><sequence><code code="TIME_ABSOLUTE"/><value xsi:type="GLIST_TS">'
        '<head value="20200304101500"/><increment value="0.002" unit="s"/></value></sequence>'
        f"</component>{leads}</sequenceSet></component></series></component></AnnotatedECG>",
        encoding="utf-8",
    )
    return samples


def write_philips(
    path: Path, samples: np.ndarray | None = None, packed: bool = False, utf16: bool = False
) -> np.ndarray:
    """Philips SierraECG 1.04: 12 leads, 5 uV a count; ``packed``: XLI compression."""
    samples = counts() if samples is None else samples
    if packed:
        first, second = samples[:, 0].astype(int), samples[:, 1].astype(int)
        third = samples[:, 2].astype(int)
        stored = samples.astype(int).copy()  # III, aVR, aVL, aVF as rests of their prediction
        stored[:, 2] = second - first - third
        stored[:, 3] = -samples[:, 3].astype(int) - (first + second) // 2
        stored[:, 4] = (first - third) // 2 - samples[:, 4]
        stored[:, 5] = (second + third) // 2 - samples[:, 5]
        raw, how = b"".join(_xli(stored[:, i]) for i in range(12)), 'compression="XLI" '
    else:
        raw, how = samples.T.astype("<i2").tobytes(), ""
    text = (
        '<restingecgdata xmlns="http://www3.medical.philips.com"><documentinfo><documentname>x'
        "</documentname><documenttype>SierraECG</documenttype><documentversion>1.04"
        '</documentversion></documentinfo><dataacquisition date="2018-02-03" time="04:05:06">'
        "<machine>PageWriter TC</machine><signalcharacteristics><samplingrate>500</samplingrate>"
        "<resolution>5</resolution><acquisitiontype>STD-12</acquisitiontype>"
        "<numberchannelsvalid>12</numberchannelsvalid><numberchannelsallocated>12"
        "</numberchannelsallocated></signalcharacteristics></dataacquisition><patient>"
        "<generalpatientdata><patientid>PH-1</patientid><age><years>41</years></age>"
        "<sex>Female</sex></generalpatientdata></patient><interpretations><interpretation>"
        "<statement><leftstatement>Sinus rhythm</leftstatement></statement></interpretation>"
        f'</interpretations><waveforms><parsedwaveforms dataencoding="Base64" {how}'
        f'durationperchannel="{len(samples) * 1000 // RATE}" samplespersecond="{RATE}" '
        f'numberofleads="12" leadlabels="{" ".join(STANDARD_LEADS)}" resolution="5">'
        f"{base64.b64encode(raw).decode()}</parsedwaveforms></waveforms></restingecgdata>"
    )
    encoding = "utf-16" if utf16 else "utf-8"
    path.write_bytes(f'<?xml version="1.0" encoding="{encoding}"?>{text}'.encode(encoding))
    return samples


def _xli(column: np.ndarray) -> bytes:
    """One lead: second differences plus 64, high bytes before low bytes, LZW of 10 bits."""
    x = column.astype(int)
    bend = 2 * x[1:-1] - x[:-2] - x[2:]  # at samples 1 .. n - 2
    coded = np.concatenate([x[:2], bend[1:] + 64, [64]]).astype(np.int16).astype(np.uint16)
    packed = _lzw((coded >> 8).astype(np.uint8).tobytes() + (coded & 255).astype("u1").tobytes())
    return struct.pack("<iHh", len(packed), 0, int(bend[0])) + packed


def _lzw(data: bytes, bits: int = 10) -> bytes:
    table = {bytes([byte]): byte for byte in range(256)}
    codes, current = [], b""
    for byte in data:
        longer = current + bytes([byte])
        if longer in table:
            current = longer
            continue
        codes.append(table[current])
        if len(table) <= (1 << bits) - 2:
            table[longer] = len(table)
        current = bytes([byte])
    codes.append(table[current])
    text = "".join(f"{code:0{bits}b}" for code in codes)
    text += "1" * bits  # the code that ends a stream
    text += "0" * (-len(text) % 8)
    return bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8))


def write_scp(path: Path, samples: np.ndarray | None = None) -> np.ndarray:
    """SCP-ECG 2.0: sections 0, 1, 3, 6 and 8, amplitudes of 16 bits, 5000 nV a count."""
    samples = counts() if samples is None else samples
    codes = (1, 2, 61, 62, 63, 64, 3, 4, 5, 6, 7, 8)

    def section(number: int, body: bytes) -> bytes:
        body += b"\0" * (len(body) % 2)
        reserved = b"SCPECG" if number == 0 else b"\0" * 6
        rest = struct.pack("<HIBB", number, 16 + len(body), 20, 20) + reserved + body
        return struct.pack("<H", binascii.crc_hqx(rest, 0xFFFF)) + rest

    def tag(number: int, value: bytes) -> bytes:
        return struct.pack("<BH", number, len(value)) + value

    one = tag(2, b"SCP-5\0") + tag(4, struct.pack("<HB", 52, 1)) + tag(8, b"\2")
    one += tag(16, b"Ward 3\0") + tag(25, struct.pack("<HBB", 2011, 12, 13))
    one += tag(26, bytes([7, 8, 9])) + tag(255, b"")
    n = len(samples)
    three = bytes([12, 0x04 | 12 << 3 & 0xFF]) + b"".join(
        struct.pack("<IIB", 1, n, code) for code in codes
    )
    columns = [samples[:, i].astype("<i2").tobytes() for i in range(12)]
    six = struct.pack("<HHBB", 5000, 1_000_000 // RATE, 0, 0)
    six += struct.pack("<12H", *map(len, columns)) + b"".join(columns)
    statement = b"Sinus rhythm\0"
    eight = b"\0" + struct.pack("<HBB", 2011, 12, 13) + bytes([7, 8, 9, 1])
    eight += struct.pack("<BH", 1, len(statement)) + statement
    sections = {1: section(1, one), 3: section(3, three), 6: section(6, six), 8: section(8, eight)}
    pointers, at = [], 7 + 16 + 10 * 12
    for number in range(1, 12):
        size = len(sections.get(number, b""))
        pointers.append(struct.pack("<HII", number, size, at if size else 0))
        at += size
    zero = struct.pack("<HII", 0, 16 + 120, 7) + b"".join(pointers)
    record = struct.pack("<I", at - 1) + section(0, zero) + b"".join(sections.values())
    path.write_bytes(struct.pack("<H", binascii.crc_hqx(record, 0xFFFF)) + record)
    return samples


def write_dicom(path: Path, samples: np.ndarray | None = None) -> np.ndarray:
    """DICOM 12-lead ECG storage: one multiplex group, 5 uV a count."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.sequence import Sequence
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

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
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.9.1.1"
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


def write_mfer(path: Path, samples: np.ndarray | None = None) -> np.ndarray:
    """MFER: 12 channels in one frame, 5 uV a count, little endian."""
    samples = counts() if samples is None else samples
    codes = (1, 2, 61, 62, 63, 64, 3, 4, 5, 6, 7, 8)

    def tag(number: int, value: bytes) -> bytes:
        size = len(value)
        length = bytes([size]) if size < 128 else b"\x84" + struct.pack(">I", size)
        return bytes([number]) + length + value

    out = bytes([0x40, 32]) + b"MFR Standard 12 leads ECG".ljust(32)
    out += tag(0x01, b"\1") + tag(0x82, b"MF-3\0") + tag(0x84, b"\2")
    out += tag(0x0B, struct.pack("<Bbi", 1, -3, 2))  # 2 ms
    out += tag(0x0C, struct.pack("<Bbi", 0, -6, 5))  # 5 uV
    out += tag(0x04, struct.pack("<I", len(samples))) + tag(0x05, b"\x0c")
    out += tag(0x06, struct.pack("<I", 1))
    for channel, code in enumerate(codes):
        inner = tag(0x09, struct.pack("<H", code))
        out += bytes([0x3F, channel, len(inner)]) + inner
    out += tag(0x1E, samples.T.astype("<i2").tobytes()) + b"\x80\x00"
    path.write_bytes(out)
    return samples


def write_edf(path: Path, samples: np.ndarray | None = None) -> np.ndarray:
    """EDF+C: 12 leads at 5 uV a count, respiration at 25 Hz, and the annotation signal."""
    samples = counts() if samples is None else samples
    seconds = len(samples) // RATE
    labels = [*(f"ECG {name}" for name in STANDARD_LEADS), "Resp", "EDF Annotations"]
    sizes = [RATE] * 12 + [25, 20]

    def fields(values: list[str], width: int) -> bytes:
        return "".join(f"{value:<{width}.{width}}" for value in values).encode()

    n = len(labels)
    head = fields(["0"], 8) + fields(["E-4 M 05-JUN-1970 X"], 80)
    head += fields(["Startdate 07-AUG-2014 X X Recorder"], 80)
    head += fields(["07.08.14", "10.11.12", str(256 * (n + 1))], 8) + fields(["EDF+C"], 44)
    head += fields([str(seconds), "1"], 8) + fields([str(n)], 4)
    head += fields(labels, 16) + fields([""] * n, 80) + fields(["uV"] * 12 + ["%", ""], 8)
    head += fields(["-163840"] * 12 + ["0", "-1"], 8) + fields(["163835"] * 12 + ["100", "1"], 8)
    head += fields(["-32768"] * 14, 8) + fields(["32767"] * 14, 8)
    head += fields([""] * n, 80) + fields([str(size) for size in sizes], 8) + fields([""] * n, 32)
    body = b""
    for second in range(seconds):
        part = samples[second * RATE : (second + 1) * RATE]
        body += part.T.astype("<i2").tobytes() + np.arange(25, dtype="<i2").tobytes()
        body += f"+{second}\x14\x14\x00".encode().ljust(40, b"\0")
    path.write_bytes(head + body)
    return samples


def write_ishne(path: Path, samples: np.ndarray | None = None) -> np.ndarray:
    """ISHNE 1.0: three leads, 5000 nV a count."""
    samples = counts()[:, [0, 1, 6]] if samples is None else samples
    body = bytearray(522 - 10)

    def put(at: int, layout: str, *values: object) -> None:
        struct.pack_into("<" + layout, body, at - 10, *values)

    put(10, "iiiih", 0, len(samples), 522, 522, 1)
    put(108, "20s", b"IS-2")
    put(128, "hh3h", 2, 0, 1, 2, 1950)
    put(138, "3h3h3h", 5, 6, 2012, 5, 6, 2012, 7, 8, 9)
    put(156, "h12h", 3, 5, 6, 11, *[-9] * 9)  # codes of I, II and V1
    put(182, "12h", *[1] * 3, *[-9] * 9)
    put(206, "12h", *[5000] * 3, *[-9] * 9)
    put(230, "h", 0)
    put(232, "40s", b"digital")
    put(272, "h", RATE)
    check = binascii.crc_hqx(bytes(body), 0xFFFF)
    path.write_bytes(
        b"ISHNE1.0" + struct.pack("<H", check) + body + samples.astype("<i2").tobytes()
    )
    return samples


def write_mortara(path: Path, samples: np.ndarray | None = None) -> np.ndarray:
    """Mortara ELI: 12 channels, 200 units a millivolt."""
    samples = counts() if samples is None else samples
    channels = "".join(
        f'<CHANNEL NAME="{name}" BITS="16" FORMAT="SIGNED" ENCODING="BASE64" UNITS_PER_MV="200" '
        f'SAMPLE_FREQ="{RATE}" DURATION="{len(samples)}" OFFSET="0" '
        f'DATA="{base64.b64encode(samples[:, i].astype("<i2").tobytes()).decode()}"/>'
        for i, name in enumerate(STANDARD_LEADS)
    )
    path.write_text(
        '<?xml version="1.0"?><ECG NUM_QRS="10" VENT_RATE="60" ACQUISITION_TIME="20190102030405" '
        'AGE="33" AGE_UNITS="YEARS"><SUBJECT ID="MO-1" GENDER="Female"/>'
        '<SOURCE MANUFACTURER="Mortara Instrument"/>'
        '<AUTOMATIC_INTERPRETATION><STATEMENT TEXT="Sinus rhythm"/></AUTOMATIC_INTERPRETATION>'
        f"{channels}</ECG>"
    )
    return samples


def write_kardia(path: Path, samples: np.ndarray | None = None) -> np.ndarray:
    """AliveCor Kardia: lead I, 5000 nV a count."""
    samples = counts()[:, :1] if samples is None else samples
    block = {
        "frequency": RATE,
        "amplitudeResolution": 5000,
        "numLeads": 1,
        "samples": {"leadI": samples[:, 0].tolist()},
    }
    document = {
        "id": "k", "patientID": "KA-1", "recordedAt": "2022-03-04T05:06:07Z", "duration": 10000,
        "data": {"raw": block}, "algorithmDetermination": "normal",
    }  # fmt: skip
    path.write_text(json.dumps(document))
    return samples


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
