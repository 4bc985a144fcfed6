"""Files of ECG devices: the file's own scale, rate and leads, or a refusal with a reason."""

import base64
import gzip
import lzma
import re

import numpy as np
import pytest
from ecg_devices import MUSE_LEADS, WRITERS, counts, write_edf, write_muse, write_philips

from deepecg_jax.errors import UserError
from deepecg_jax.signals.contract import STANDARD_LEADS
from deepecg_jax.signals.reading.read import read
from deepecg_jax.signals.recording import SignalError
from deepecg_jax.signals.standard.millivolt import standardize

pytest.importorskip("ecgdatakit", reason="needs the extra `formats`")
pytest.importorskip("defusedxml", reason="needs the extra `formats`")
pytest.importorskip("pydicom", reason="needs the extra `formats`")

PEOPLE = {  # format: patient id, age, sex, site, start of the date, report
    "muse": ("P7", 63, "female", "Mount Royal", "2019-03-21 08:15", "Sinus rhythm"),
    "cardiosoft": ("77", 64, "male", "", "2015-05-02 09:05", "Normal ECG"),
    "aecg": ("S-12", 60, "male", "", "2020-03-04 10:15", ""),
    "philips": ("PH-1", 41, "female", "", "2018-02-03 04:05", "Sinus rhythm"),
    "scp": ("SCP-5", 52, "female", "Ward 3", "2011-12-13 07:08", "Sinus rhythm"),
    "dicom": ("D-9", 70, "male", "Clinic", "2021-02-03 04:05", ""),
    "mfer": ("MF-3", np.nan, "female", "", "", ""),
    "edf": ("E-4", 44, "male", "", "2014-08-07 10:11", ""),
    "ishne": ("IS-2", 62, "female", "", "2012-06-05 07:08", ""),
    "mortara": ("MO-1", 33, "female", "", "2019-01-02 03:04", "Sinus rhythm"),
    "kardia": ("KA-1", np.nan, "unknown", "", "2022-03-04 05:06", "normal"),
}


def refused(path) -> SignalError:
    with pytest.raises(SignalError) as caught:
        read(path)
    assert caught.value.stage == "read"
    assert "\n" not in str(caught.value)
    return caught.value


def edited(path, *changes):
    """The file with texts replaced, each of which must be there."""
    data = path.read_bytes()
    for old, new in changes:
        assert old.encode() in data
        data = data.replace(old.encode(), new.encode())
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_files_own_millivolts(tmp_path, name):
    write, extension, millivolts = WRITERS[name]
    samples = write(tmp_path / f"ecg{extension}")
    recording = read(tmp_path / f"ecg{extension}")
    assert recording.signal.dtype == np.float32
    np.testing.assert_allclose(recording.signal, samples * millivolts, rtol=1e-6, atol=1e-9)
    some = {"muse": MUSE_LEADS, "ishne": ("I", "II", "V1"), "kardia": ("I",)}
    leads = some.get(name, STANDARD_LEADS)
    assert recording.leads == leads
    assert recording.sampling_rate == 500
    assert recording.record_id == "ecg"
    np.testing.assert_allclose(recording.meta["microvolts_per_count"], 1000 * millivolts)


@pytest.mark.parametrize("name", WRITERS)
def test_who_where_and_when(tmp_path, name):
    write, extension, _ = WRITERS[name]
    write(tmp_path / f"ecg{extension}")
    recording = read(tmp_path / f"ecg{extension}")
    patient, age, sex, site, date, report = PEOPLE[name]
    assert (recording.patient_id, recording.sex, recording.site) == (patient, sex, site)
    np.testing.assert_equal(recording.age, float(age))
    assert recording.meta["date"].startswith(date)
    assert recording.report == report
    assert recording.meta["statements"] == ([report] if report else [])
    assert "Doe" not in repr(recording.meta)  # names of patients stay out


@pytest.mark.parametrize("name", WRITERS)
def test_the_content_decides_not_the_extension(tmp_path, name):
    write, _, millivolts = WRITERS[name]
    for file_name in ("ecg", "ecg.bin", "ecg.xml"):
        samples = write(tmp_path / file_name)
        np.testing.assert_allclose(
            read(tmp_path / file_name).signal, samples * millivolts, rtol=1e-6, atol=1e-9
        )


@pytest.mark.parametrize("form", [{"packed": True}, {"utf16": True}])
def test_philips_files_packed_or_in_utf_16(tmp_path, form):
    samples = write_philips(tmp_path / "p.xml", **form)
    np.testing.assert_allclose(read(tmp_path / "p.xml").signal, samples * 5e-3, rtol=1e-6)


def test_eight_leads_of_muse_become_twelve(tmp_path):
    samples = write_muse(tmp_path / "m.xml") * 4.88e-3
    first, second = samples[:, 0], samples[:, 1]
    window = standardize(read(tmp_path / "m.xml"))[0]
    assert window.lead_mask.all()
    assert window.quality["n_derived_leads"] == 4
    # at 250 Hz every sample is a mean of neighbours, so compare a slow stretch: the relations hold
    signal = window.signal.astype(float)
    np.testing.assert_allclose(signal[:, 2], signal[:, 1] - signal[:, 0], atol=1e-5)
    np.testing.assert_allclose(signal[:, 3], -(signal[:, 0] + signal[:, 1]) / 2, atol=1e-5)
    np.testing.assert_allclose(signal[:, 4], signal[:, 0] - signal[:, 1] / 2, atol=1e-5)
    np.testing.assert_allclose(signal[:, 5], signal[:, 1] - signal[:, 0] / 2, atol=1e-5)
    assert abs(np.ptp(signal[:, 1]) - np.ptp(second)) < 0.1 * np.ptp(second)
    assert abs(np.ptp(signal[:, 0]) - np.ptp(first)) < 0.1 * np.ptp(first)


@pytest.mark.parametrize(
    ("name", "old", "new", "factor"),
    [
        ("muse", "<LeadAmplitudeUnitsPerBit>4.88<", "<LeadAmplitudeUnitsPerBit>2.44<", 2.44e-3),
        ("muse", "MICROVOLTS", "MILLIVOLTS", 4.88),
        ("cardiosoft", 'uVperLsb">5<', 'uVperLsb">2.5<', 2.5e-3),
        ("cardiosoft", 'uVperLsb">5<', 'mVperLsb">0.005<', 5e-3),
        ("aecg", 'value="5" unit="uV"', 'value="0.0025" unit="mV"', 2.5e-3),
        ("philips", 'resolution="5"', 'resolution="2.5"', 2.5e-3),
    ],
)
def test_another_scale_in_the_file_gives_other_millivolts(tmp_path, name, old, new, factor):
    write, extension, _ = WRITERS[name]
    samples = write(tmp_path / f"e{extension}")
    recording = read(edited(tmp_path / f"e{extension}", (old, new)))
    np.testing.assert_allclose(recording.signal, samples * factor, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        ("muse", [("<LeadAmplitudeUnits>MICROVOLTS</LeadAmplitudeUnits>", "")], "unit"),
        ("muse", [("<LeadAmplitudeUnitsPerBit>4.88</LeadAmplitudeUnitsPerBit>", "")], "unit"),
        ("muse", [("MICROVOLTS", "FURLONGS")], "unit"),
        ("muse", [("<SampleBase>500</SampleBase>", "")], "unreadable"),
        ("muse", [("<LeadSampleCountTotal>5000", "<LeadSampleCountTotal>4999")], "unreadable"),
        ("cardiosoft", [("uVperLsb", "mmHg")], "unit"),
        ("cardiosoft", [('units="uVperLsb">5<', 'units="uVperLsb">0<')], "unit"),
        ("cardiosoft", [('units="uVperLsb">5<', 'units="uVperLsb"><')], "unit"),
        ("cardiosoft", [('SampleRate units="Hz">500', 'SampleRate units="Hz">')], "unknown_rate"),
        ("cardiosoft", [('SampleRate units="Hz"', "SampleRate")], "unknown_rate"),
        ("cardiosoft", [("ChannelSampleCountTotal>5000", "ChannelSampleCountTotal>4999")], None),
        (
            "cardiosoft",
            [("ChannelSampleCountTotal>5000", "ChannelSampleCountTotal>9" + "9" * 11)],
            "too_large",
        ),
        ("cardiosoft", [("NumberOfLeads>12", "NumberOfLeads>11")], None),
        ("cardiosoft", [("StripData", "Strip")], None),
        ("aecg", [('<scale value="5" unit="uV"/>', "")], "unit"),
        ("aecg", [('value="0.002" unit="s"', 'value="0.002"')], "unreadable"),
        ("philips", [('resolution="5"', ""), ("<resolution>5</resolution>", "")], "unit"),
        ("philips", [("SierraECG", "OtherECG")], "unreadable"),
        ("mortara", [('UNITS_PER_MV="200" ', "")], "unit"),
        ("mortara", [('SAMPLE_FREQ="500" ', "")], "unreadable"),
        ("kardia", [('"amplitudeResolution": 5000,', "")], "unit"),
        ("edf", [("uV      ", "        ")], "unit"),
        ("edf", [("uV      ", "mmHg    ")], "unit"),
    ],
)
def test_what_a_file_does_not_state_is_not_assumed(tmp_path, name, changes, reason):
    write, extension, _ = WRITERS[name]
    write(tmp_path / f"e{extension}")
    assert refused(edited(tmp_path / f"e{extension}", *changes)).reason == (reason or "unreadable")


def test_rates_that_are_no_whole_number_stay_what_they_are(tmp_path):
    write, *_ = WRITERS["aecg"]
    write(tmp_path / "a.xml")
    path = edited(tmp_path / "a.xml", ('value="0.002"', 'value="0.0039"'))
    assert read(path).sampling_rate == pytest.approx(1 / 0.0039, abs=1e-6)
    write_edf(tmp_path / "e.edf")
    path = edited(tmp_path / "e.edf", ("10      1       14", "10      1.5     14"))
    assert refused(path).reason == "gaps"  # its time stamps say one second a record


def test_truncated_and_discontinuous_edf_is_refused_not_shortened(tmp_path):
    write_edf(tmp_path / "e.edf")
    data = (tmp_path / "e.edf").read_bytes()
    (tmp_path / "short.edf").write_bytes(data[: len(data) // 2])
    assert refused(tmp_path / "short.edf").reason == "unreadable"
    (tmp_path / "gap.edf").write_bytes(data.replace(b"+7\x14\x14", b"+9\x14\x14"))
    assert refused(tmp_path / "gap.edf").reason == "gaps"


def test_wrong_checksums_are_damage(tmp_path):
    scp, *_ = WRITERS["scp"]
    scp(tmp_path / "s.scp")
    data = bytearray((tmp_path / "s.scp").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "s.scp").write_bytes(data)
    assert refused(tmp_path / "s.scp").reason == "checksum"


def test_one_wrong_checksum_of_muse_is_damage_all_wrong_ones_another_checksum(tmp_path):
    write_muse(tmp_path / "m.xml")
    assert read(tmp_path / "m.xml").meta["checksum_verified"] is True
    text = (tmp_path / "m.xml").read_text("latin-1")
    one = re.sub(r"<LeadDataCRC32>\d+", "<LeadDataCRC32>1", text, count=1)
    (tmp_path / "one.xml").write_text(one)
    assert refused(tmp_path / "one.xml").reason == "checksum"
    (tmp_path / "all.xml").write_text(re.sub(r"<LeadDataCRC32>\d+", "<LeadDataCRC32>0", text))
    assert read(tmp_path / "all.xml").meta["checksum_verified"] is False


def test_a_lead_that_stands_twice(tmp_path):
    write_muse(tmp_path / "m.xml")
    with pytest.raises(SignalError, match="lead II occurs twice") as caught:
        standardize(read(edited(tmp_path / "m.xml", ("<LeadID>V1<", "<LeadID>II<"))))
    assert caught.value.reason == "duplicate_lead"
    samples = counts(n_leads=8)
    samples[:, 2] = samples[:, 1]
    write_muse(tmp_path / "same.xml", samples)
    recording = read(edited(tmp_path / "same.xml", ("<LeadID>V1<", "<LeadID>II<")))
    assert recording.leads == ("I", "II", "V2", "V3", "V4", "V5", "V6")


def test_leads_of_different_length_are_refused(tmp_path):
    samples = write_muse(tmp_path / "m.xml", crc=False)
    text = (tmp_path / "m.xml").read_text("latin-1")
    write_muse(tmp_path / "short.xml", samples[:2500], crc=False)
    short = (tmp_path / "short.xml").read_text("latin-1")
    pattern = re.compile(r"<LeadData>(?:(?!</LeadData>).)*<LeadID>V6<.*?</LeadData>")
    mixed = pattern.sub(lambda _: re.findall(pattern, short)[0], text)
    assert mixed != text
    (tmp_path / "mixed.xml").write_text(mixed)
    assert refused(tmp_path / "mixed.xml").reason == "shape"


BOMB = "<?xml version='1.0'?><!DOCTYPE x [{entities}]><RestingECG>{use}</RestingECG>"


@pytest.mark.parametrize("root", ["RestingECG", "CardiologyXML", "restingecgdata", "AnnotatedECG"])
@pytest.mark.parametrize(
    ("entities", "use"),
    [
        ("".join(f"<!ENTITY a{i + 1} '{f'&a{i};' * 10}'>" for i in range(20)), "&a20;"),
        ("<!ENTITY x SYSTEM 'file:///etc/passwd'>", "&x;"),
        ("<!ENTITY x SYSTEM 'http://192.0.2.1/ecg'>", "&x;"),
        ("<!ENTITY % x SYSTEM 'http://192.0.2.1/ecg'> %x;", ""),
        (f"<!ENTITY x '{'y' * 100_000}'>", "&x;" * 1000),
    ],
)
def test_xml_bombs_and_references_are_refused(tmp_path, root, entities, use):
    text = BOMB.format(entities=entities, use=use).replace("RestingECG", root)
    (tmp_path / "bomb.xml").write_text(text)
    assert refused(tmp_path / "bomb.xml").reason == "unsafe_xml"


def test_a_million_tags_are_refused_before_a_tree_is_built(tmp_path):
    (tmp_path / "wide.xml").write_text("<RestingECG>" + "<a/>" * 300_000 + "</RestingECG>")
    assert refused(tmp_path / "wide.xml").reason == "too_large"
    (tmp_path / "deep.xml").write_text("<RestingECG>" + "<a>" * 150_000)
    assert refused(tmp_path / "deep.xml").reason == "unreadable"


def test_sizes_are_checked_before_reading(tmp_path):
    for name, head, size in (
        ("huge.dcm", b"\0" * 128 + b"DICM", 65),
        ("huge.xml", b"<RestingECG>", 17),
        ("huge.mwf", b"\x40\x20MFR ".ljust(34) + b"\5\4\0\0\0\1", 5),  # 16 million channels
        ("huge.json", b'{"id": 1, "recordedAt": 1, "patientID": 1, "data": [', 17),
    ):
        with (tmp_path / name).open("wb") as file:
            file.write(head)
            file.truncate(size * 2**20)  # a hole, no bytes on the disk
        assert refused(tmp_path / name).reason == "too_large"


def test_philips_files_are_sized_before_they_are_unpacked(tmp_path):
    from deepecg_jax.signals.reading.philips import unpacked_size

    write_philips(tmp_path / "p.xml", packed=True)
    packed = re.search(r">([A-Za-z0-9+/=]{999,})<", (tmp_path / "p.xml").read_text())
    assert packed is not None
    assert unpacked_size(base64.b64decode(packed[1])) == 12 * 2 * 5000
    # The longest strings of LZW again and again: 10 bits for 767 bytes.
    growing = [0, *range(256, 1023)] + [1022] * 100_000
    bits = "".join(f"{code:010b}" for code in growing)
    chunk = int(bits, 2).to_bytes(len(bits) // 8, "big")
    bomb = base64.b64encode(len(chunk).to_bytes(4, "little") + bytes(4) + chunk).decode()
    (tmp_path / "b.xml").write_text((tmp_path / "p.xml").read_text().replace(packed[1], bomb))
    assert refused(tmp_path / "b.xml").reason == "too_large"
    write_philips(tmp_path / "c.xml")
    many = ("numberchannelsallocated>12", "numberchannelsallocated>2000000000")
    assert refused(edited(tmp_path / "c.xml", many)).reason == "too_large"


def test_deflated_dicom_is_refused_before_it_is_inflated(tmp_path):
    write, *_ = WRITERS["dicom"]
    write(tmp_path / "d.dcm")
    data = (tmp_path / "d.dcm").read_bytes()
    known, deflated = b"UI\x14\x001.2.840.10008.1.2.1\0", b"UI\x16\x001.2.840.10008.1.2.1.99"
    assert known in data
    (tmp_path / "d.dcm").write_bytes(data.replace(known, deflated))
    assert refused(tmp_path / "d.dcm").reason == "too_large"


@pytest.mark.parametrize("content", [b"", b"hello", b"<html></html>", b"\0" * 5000, b"{}"])
def test_anything_else_is_an_unknown_format_and_the_known_ones_are_named(tmp_path, content):
    (tmp_path / "x.bin").write_bytes(content)
    error = refused(tmp_path / "x.bin")
    assert error.reason == "unknown_format"
    assert "GE MUSE XML" in str(error) and "WFDB" in str(error)


@pytest.mark.parametrize(("pack", "name"), [(gzip.compress, "gzip"), (lzma.compress, "xz")])
def test_archives_are_said_to_be_archives(tmp_path, pack, name):
    write_muse(tmp_path / "m.xml")
    (tmp_path / "m.xml.gz").write_bytes(pack((tmp_path / "m.xml").read_bytes()))
    error = refused(tmp_path / "m.xml.gz")
    assert error.reason == "compressed" and f"({name}), not an ECG file" in str(error)


def test_absent_files_folders_and_superfluous_arguments(tmp_path):
    assert refused(tmp_path / "absent.xml").reason == "unreadable"
    (tmp_path / "folder.xml").mkdir()
    assert refused(tmp_path / "folder.xml").reason == "unreadable"
    write_muse(tmp_path / "m.xml")
    with pytest.raises(UserError, match="header states"):
        read(tmp_path / "m.xml", unit="mV")


def test_without_the_extra_one_sentence_says_what_to_install(tmp_path, monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "ecgdatakit" else find(name)
    )
    write_edf(tmp_path / "e.edf")
    with pytest.raises(UserError, match=r"deepecg_jax\[formats\]"):
        read(tmp_path / "e.edf")


@pytest.mark.real
def test_golden_files_give_their_integers_times_their_unit(shared):
    folder = shared / "golden" / "preprocessing"
    with np.load(folder / "xml_clsa_dummy.npz") as arrays:
        integers = arrays["raw_5000x12_int16"]
    recording = read(folder / "clsa_cardiosoft.xml")
    np.testing.assert_array_equal(recording.signal, (integers * 0.005).astype(np.float32))
    assert recording.leads == STANDARD_LEADS
    assert recording.sampling_rate == 500
    assert recording.meta["statements"][0] == "Normal sinus rhythm"
    with np.load(folder / "xml_muse_synthetic.npz") as arrays:
        integers = arrays["lsb_5000x12"]
    recording = read(folder / "xml_muse_synthetic_8lead.xml")
    stored = integers[:, [0, 1, 6, 7, 8, 9, 10, 11]]
    np.testing.assert_allclose(recording.signal, stored * 0.00488, rtol=1e-6)
    assert (recording.leads, recording.sampling_rate) == (MUSE_LEADS, 500)
    window = standardize(recording)[0]
    assert window.lead_mask.all()
    assert window.quality["n_derived_leads"] == 4
