"""Reading WFDB records and plain arrays, and refusing what cannot be trusted."""

from pathlib import Path

import numpy as np
import pytest

from deepecg_jax.errors import UserError
from deepecg_jax.signals.contract import STANDARD_LEADS
from deepecg_jax.signals.reading.read import read, read_array, read_wfdb
from deepecg_jax.signals.recording import SignalError

DIGITAL = np.random.default_rng(0).integers(-3000, 3000, size=(1000, 12), dtype=np.int16)


def write_record(
    folder: Path,
    record_line: str = "r1 12 500 1000",
    gain: str = "1000(0)/mV",
    comments: tuple[str, ...] = (),
    checksum: bool = True,
    digital: np.ndarray = DIGITAL,
) -> Path:
    """A WFDB record in format 16, written by the format's definition."""
    digital.astype("<i2").tofile(folder / "r1.dat")
    lines = [record_line]
    for lead, samples in zip(STANDARD_LEADS, digital.T, strict=True):
        total = int(samples.sum(dtype=np.int64)) % 65536
        fields = f"16 0 {samples[0]} {total} 0 {lead}" if checksum else ""
        lines.append(f"r1.dat 16 {gain} {fields}".rstrip())
    text = "\n".join([*lines, *(f"# {comment}" for comment in comments)]) + "\n"
    (folder / "r1.hea").write_text(text, encoding="utf-8")
    return folder / "r1"


def refused(path: Path) -> SignalError:
    with pytest.raises(SignalError) as caught:
        read(path)
    assert caught.value.stage == "read"
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("gain", "factor"),
    [
        ("1000(0)/mV", 1e-3),
        ("1000/mv", 1e-3),
        ("200", 5e-3),  # the format's default unit is mV
        ("1(0)/uV", 1e-3),
        ("1(0)/\u00b5V", 1e-3),
        ("1e6(0)/V", 1e-3),
        ("4.0(100)/uV", 0.25e-3),
    ],
)
def test_samples_become_millivolts_by_gain_baseline_and_unit(tmp_path, gain, factor):
    recording = read(write_record(tmp_path, gain=gain))
    baseline = 100 if "(100)" in gain else 0
    np.testing.assert_allclose(recording.signal, (DIGITAL - baseline) * factor, rtol=1e-6)
    assert recording.leads == STANDARD_LEADS
    assert recording.sampling_rate == 500
    assert recording.record_id == "r1"
    assert recording.meta["checksum_verified"] is True


@pytest.mark.parametrize("suffix", ["", ".hea", ".dat"])
def test_any_name_of_the_record_will_do(tmp_path, suffix):
    path = write_record(tmp_path)
    assert len(read(path.with_name(path.name + suffix)).signal) == 1000


def test_age_sex_and_comments(tmp_path):
    path = write_record(tmp_path, comments=("Age: 84", "Sex: Female", "Dx: 426783006,164889003"))
    recording = read_wfdb(path)
    assert (recording.age, recording.sex) == (84.0, "female")
    assert recording.meta["comments"]["dx"] == "426783006,164889003"


@pytest.mark.parametrize("age", ["NaN", "Unknown", "-1", ""])
def test_unknown_age_is_nan(tmp_path, age):
    recording = read_wfdb(write_record(tmp_path, comments=(f"Age: {age}", "Sex: Unknown")))
    assert np.isnan(recording.age)
    assert recording.sex == "unknown"


def test_the_code_for_a_missing_sample_becomes_nan(tmp_path):
    digital = DIGITAL.copy()
    digital[17, 3] = -32768
    recording = read_wfdb(write_record(tmp_path, digital=digital))
    assert np.argwhere(np.isnan(recording.signal)).tolist() == [[17, 3]]


@pytest.mark.parametrize("line", ["r1 12", "r1 12 0 1000", "r1 12 -500 1000", "r1 12 nan 1000"])
def test_a_header_without_sampling_rate_is_refused_not_taken_for_250_hz(tmp_path, line):
    assert refused(write_record(tmp_path, record_line=line)).reason == "unknown_rate"


@pytest.mark.parametrize("gain", ["0", "0(0)/mV", "1000(0)/mmHg", "1000/adu", "", "nan/mV"])
def test_uncalibrated_signals_are_refused(tmp_path, gain):
    checksum = gain != ""
    assert refused(write_record(tmp_path, gain=gain, checksum=checksum)).reason == "unit"


def test_changed_sample_is_found_by_the_checksum(tmp_path):
    path = write_record(tmp_path)
    data = path.with_suffix(".dat")
    changed = bytearray(data.read_bytes())
    changed[2 * (12 * 500 + 6)] ^= 1
    data.write_bytes(changed)
    error = refused(path)
    assert error.reason == "checksum"
    assert "signals 7 " in str(error)


def test_header_without_checksums_is_read_and_says_so(tmp_path):
    recording = read(write_record(tmp_path, checksum=False))
    assert recording.meta["checksum_verified"] is False


@pytest.mark.parametrize("checksum", [True, False])
@pytest.mark.parametrize("size", [0, 1, 23, 12_000, 23_999])
def test_truncated_data_is_refused(tmp_path, size, checksum):
    path = write_record(tmp_path, checksum=checksum)
    data = path.with_suffix(".dat")
    data.write_bytes(data.read_bytes()[:size])
    assert refused(path).reason == "unreadable"


def test_absent_files_are_refused(tmp_path):
    assert refused(tmp_path / "nothing").reason == "unreadable"
    path = write_record(tmp_path)
    path.with_suffix(".dat").unlink()
    assert refused(path).reason == "unreadable"


@pytest.mark.parametrize(
    "text", ["", "# only a comment\n", "\x00\x01\xff", "r1 13 500 1000\n", "r1/3 12 500 3000\n"]
)
def test_broken_header_is_refused(tmp_path, text):
    path = write_record(tmp_path)
    path.with_suffix(".hea").write_text(text, encoding="latin-1")
    assert refused(path).reason == "unreadable"


def test_arrays_need_rate_unit_and_leads(tmp_path):
    with pytest.raises(UserError, match="sampling_rate, leads"):
        read(tmp_path / "ecg.npy", unit="mV")
    with pytest.raises(UserError, match="header states"):
        read(write_record(tmp_path), unit="mV")


@pytest.mark.parametrize("transposed", [False, True])
def test_npy_in_either_orientation(tmp_path, transposed):
    values = DIGITAL.T if transposed else DIGITAL
    np.save(tmp_path / "a.npy", values)
    recording = read(tmp_path / "a.npy", sampling_rate=100, unit="uV", leads=STANDARD_LEADS)
    np.testing.assert_allclose(recording.signal, DIGITAL * 1e-3, rtol=1e-6)
    assert recording.sampling_rate == 100
    assert recording.record_id == "a"


@pytest.mark.parametrize("header", ["", "i,II\n", "\ufeffI,II\n"])
def test_csv_with_and_without_lead_names(tmp_path, header):
    (tmp_path / "a.csv").write_text(header + "0.5,1\n-2,3\n0,1e-1\n", encoding="utf-8")
    recording = read(tmp_path / "a.csv", sampling_rate=250, unit="mV", leads=["I", "II"])
    np.testing.assert_allclose(recording.signal, [[0.5, 1], [-2, 3], [0, 0.1]])


@pytest.mark.parametrize("text", ["I;II\n0,5;1\n-2;3\n0;0,1\n", "0,5\t1\n-2\t3\n0\t1e-1\n"])
def test_csv_of_spreadsheets_with_decimal_commas(tmp_path, text):
    (tmp_path / "a.csv").write_text(text)
    recording = read(tmp_path / "a.csv", sampling_rate=250, unit="mV", leads=["I", "II"])
    np.testing.assert_allclose(recording.signal, [[0.5, 1], [-2, 3], [0, 0.1]])


def test_contradicting_arguments_of_arrays(tmp_path):
    np.save(tmp_path / "a.npy", DIGITAL)
    with pytest.raises(UserError, match=r"\(1000, 12\).*2 lead names"):
        read_array(tmp_path / "a.npy", sampling_rate=500, unit="mV", leads=["I", "II"])
    np.save(tmp_path / "b.npy", np.zeros((2, 2)))
    with pytest.raises(UserError, match="unclear"):
        read_array(tmp_path / "b.npy", sampling_rate=500, unit="mV", leads=["I", "II"])
    (tmp_path / "a.csv").write_text("II,I\n1,2\n2,3\n3,4\n")
    with pytest.raises(UserError, match="II, I.*I, II"):
        read_array(tmp_path / "a.csv", sampling_rate=500, unit="mV", leads=["I", "II"])


def test_damaged_or_unsafe_arrays_are_refused(tmp_path):
    options = {"sampling_rate": 500, "unit": "mV", "leads": ["I", "II"]}
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY garbage")
    np.save(tmp_path / "pickled.npy", np.array([object()]), allow_pickle=True)
    (tmp_path / "a.csv").write_text("1,x\n2,3\n")
    (tmp_path / "ragged.csv").write_text("1,2\n2\n3,4\n")
    for name in ("a.npy", "pickled.npy", "a.csv", "ragged.csv", "absent.npy", "absent.csv"):
        with pytest.raises(SignalError) as caught:
            read_array(tmp_path / name, **options)
        assert caught.value.reason == "unreadable"
    with pytest.raises(SignalError, match="furlong") as caught:
        read_array(tmp_path / "a.csv", sampling_rate=500, unit="furlong", leads=["I", "II"])
    assert caught.value.reason == "unit"
    with pytest.raises(SignalError) as caught:
        read_array(tmp_path / "a.csv", sampling_rate=float("nan"), unit="mV", leads=["I", "II"])
    assert caught.value.reason == "unknown_rate"


@pytest.mark.real
def test_real_records_of_three_sources(shared):
    for pattern, count in (
        ("cinc2021/*.hea", 50),
        ("ptb/*.hea", 1),
        ("ptbxl_subset/records500/*/*.hea", 1625),
    ):
        headers = sorted((shared / "data").glob(pattern))
        assert len(headers) == count
        for header in headers[:: max(1, count // 10)]:
            recording = read(header)
            assert recording.meta["checksum_verified"] is True
            assert np.isfinite(recording.signal).all()
            assert recording.signal.shape == {
                "ptb": (38400, 15),
                "cinc2021": (5000, 12),
            }.get(header.parent.name, (5000, 12))


@pytest.mark.real
def test_ptb_by_its_own_header(shared):
    recording = read(shared / "data" / "ptb" / "s0010_re.hea")
    assert recording.leads[-3:] == ("vx", "vy", "vz")
    assert (recording.age, recording.sex, recording.sampling_rate) == (81.0, "female", 1000.0)
    # first samples: the header's initial values over the gain of 2000 per mV
    np.testing.assert_allclose(recording.signal[0, :3], [-489 / 2000, -458 / 2000, 31 / 2000])
