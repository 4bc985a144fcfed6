"""Plain WFDB records are read without wfdb, to the same bits; everything else through it."""

import warnings

import numpy as np
import pytest
import soundfile

from deepecg_jax.signals.reading import wfdb_record
from deepecg_jax.signals.reading.read import read_wfdb
from deepecg_jax.signals.recording import SignalError

N = 257


def wfdb_module():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import wfdb
    return wfdb


def by_wfdb(path, factors):
    """What wfdb itself makes of a record, in millivolts."""
    record = wfdb_module().rdrecord(str(path), physical=False, return_res=32)
    return (record.dac(return_res=64) * np.array(factors)).astype(np.float32), record.sig_name


def write(folder, files, gains, names=None, extra=""):
    """A record of ``files`` [(name, format text, digital (T, L), bytes before)]."""
    lines = [f"r {sum(f[2].shape[1] for f in files)} 500 {N}{extra}"]
    number = 0
    for name, format_, digital, before in files:
        path = folder / name
        if format_.startswith("516"):
            soundfile.write(path, digital, 500, format="FLAC", subtype="PCM_16")
        else:
            path.write_bytes(b"\x7f" * before + digital.astype("<i2").tobytes())
        for column in digital.T:
            total = int(column.sum(dtype=np.int64)) % 65536
            label = names[number] if names else f"lead{number}"
            lines.append(
                f"{name} {format_} {gains[number % len(gains)]} 16 7 {column[0]} {total} 0 {label}"
            )
            number += 1
    (folder / "r.hea").write_text("\n".join(lines) + "\n# Age: 5\n")
    return folder / "r"


def digital(seed, n_leads, missing=True):
    samples = np.random.default_rng(seed).integers(-32767, 32768, (N, n_leads)).astype(np.int16)
    if missing:
        samples[3, 0] = -32768
    return samples


CASES = {
    "format_16": ([("r.dat", "16", digital(0, 12), 0)], ["1000(0)/mV"], 1.0),
    "one_sample_a_frame_and_offset": ([("r.mat", "16x1+24", digital(1, 12), 24)], ["1000/mV"], 1.0),
    "gain_of_a_float": ([("r.dat", "16", digital(2, 3), 0)], ["204.8(-12)/uV"], 1e-3),
    "baseline_is_the_zero_of_the_converter": ([("r.dat", "16", digital(3, 2), 0)], ["200"], 1.0),
    "every_lead_its_own_gain": (
        [("r.dat", "16", digital(4, 3), 0)],
        ["200(0)/mV", "0.2048(5)/mV", "333.333(-400)/mV"],
        1.0,
    ),
    "two_files": (
        [("a.dat", "16", digital(5, 8), 0), ("b.xyz", "16+2", digital(6, 3), 2)],
        ["2000(0)/mV"],
        1.0,
    ),
    "flac": ([("r.dat", "516", digital(7, 8), 0)], ["1000(0)/mV"], 1.0),
    "two_flac_files": (
        [("r_1.dat", "516", digital(8, 8), 0), ("r_2.dat", "516", digital(9, 4), 0)],
        ["1000.0(0)/mV", "4.88(3)/mV"],
        1.0,
    ),
    "flac_and_binary": (
        [("a.dat", "516", digital(10, 2), 0), ("b.dat", "16", digital(11, 2), 0)],
        ["0.001(0)/V"],
        1e3,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_plain_records_are_read_to_the_bit_like_wfdb_but_without_it(tmp_path, case, monkeypatch):
    files, gains, factor = CASES[case]
    path = write(tmp_path, files, gains)
    expected, names = by_wfdb(path, [factor])
    monkeypatch.setattr(wfdb_record, "_import_wfdb", lambda: pytest.fail("wfdb was asked"))
    recording = read_wfdb(path)
    assert recording.signal.dtype == np.float32
    np.testing.assert_array_equal(recording.signal, expected)
    assert np.isnan(expected).any()
    assert recording.leads == tuple(names)
    assert recording.meta["checksum_verified"] is True


def test_a_file_name_may_have_any_letters(tmp_path):
    """wfdb drops those that are not ASCII, and then misses the file."""
    plain = write(tmp_path, [("r.dat", "16", digital(12, 2), 0)], ["200(0)/mV"])
    expected = read_wfdb(plain).signal
    header = plain.with_name(plain.name + ".hea")
    header.write_text(header.read_text().replace("r.dat", "Müller.dat"), "utf-8")
    (tmp_path / "r.dat").rename(tmp_path / "Müller.dat")
    np.testing.assert_array_equal(read_wfdb(plain).signal, expected)


@pytest.mark.parametrize("seed", range(20))
def test_random_gains_and_baselines_give_the_bits_of_wfdb(tmp_path, seed):
    rng = np.random.default_rng(seed)
    n_leads = int(rng.integers(1, 15))
    gains = [
        f"{rng.choice([rng.integers(1, 5000), round(rng.uniform(0.01, 3000), 5)])}"
        f"{rng.choice(['', f'({rng.integers(-40000, 40000)})'])}/mV"
        for _ in range(n_leads)
    ]
    before = int(rng.integers(0, 100))
    path = write(tmp_path, [("x.dat", f"16+{before}", digital(seed, n_leads), before)], gains)
    np.testing.assert_array_equal(read_wfdb(path).signal, by_wfdb(path, [1.0])[0])


@pytest.mark.parametrize("format_", ["212", "80", "24", "32", "508", "524"])
def test_other_formats_go_through_wfdb(tmp_path, format_):
    signals = np.random.default_rng(0).integers(-100, 100, (N, 3))
    wfdb_module().wrsamp(
        "r",
        fs=500,
        units=["mV"] * 3,
        sig_name=["I", "II", "V1"],
        d_signal=signals,
        fmt=[format_] * 3,
        adc_gain=[200.0] * 3,
        baseline=[0] * 3,
        write_dir=str(tmp_path),
    )
    recording = read_wfdb(tmp_path / "r")
    np.testing.assert_array_equal(recording.signal, (signals / 200).astype(np.float32))
    assert recording.leads == ("I", "II", "V1")


@pytest.mark.parametrize(
    "change",
    [
        ("16 ", "16:3 "),  # skew
        (f" {N}", ""),  # no length: wfdb takes it from the file
        ("lead0", "lead with blanks"),
        (" 16 7 ", " "),  # fields left out
    ],
)
def test_records_with_a_peculiarity_are_what_wfdb_makes_of_them(tmp_path, change):
    path = write(tmp_path, [("r.dat", "16", digital(0, 4), 0)], ["1000(0)/mV"])
    header = path.with_suffix(".hea")
    header.write_text(header.read_text().replace(*change))
    expected, names = by_wfdb(path, [1.0])
    recording = read_wfdb(path)
    np.testing.assert_array_equal(recording.signal, expected)
    assert recording.leads == tuple(names)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ((f" {N}", " 99999999999"), "too_large"),
        (("16 ", "16x999999999 "), "unreadable"),
        (("16 ", "16:999999999999 "), "unreadable"),
        ((" 4 500", " \u00b2 500"), "unreadable"),
        ((" 4 500", " 99999999999999999999 500"), "unreadable"),
        (("r.dat", "../r.dat"), "unreadable"),
        (("1000(0)", "1e999(0)"), "unit"),
    ],
)
def test_absurd_headers_are_refused_before_anything_is_allocated(tmp_path, change, reason):
    path = write(tmp_path, [("r.dat", "16", digital(0, 4), 0)], ["1000(0)/mV"])
    header = path.with_suffix(".hea")
    header.write_text(header.read_text().replace(*change), encoding="utf-8")
    with pytest.raises(SignalError) as caught:
        read_wfdb(path)
    assert caught.value.reason == reason


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path):
    import os

    path = write(tmp_path, [("r.dat", "16", digital(0, 4), 0)], ["1000(0)/mV"])
    (tmp_path / "r.dat").unlink()
    os.mkfifo(tmp_path / "r.dat")
    with pytest.raises(SignalError, match="not a file"):
        read_wfdb(path)


@pytest.mark.real
def test_real_records_are_read_like_wfdb(shared):
    for pattern in ("cinc2021/*.hea", "ptb/*.hea", "ptbxl_subset/records500/*/*.hea"):
        headers = sorted((shared / "data").glob(pattern))
        for header in headers[:: max(1, len(headers) // 8)]:
            expected, names = by_wfdb(header.with_suffix(""), [1.0])
            recording = read_wfdb(header)
            np.testing.assert_array_equal(recording.signal, expected)
            assert recording.leads == tuple(names)
