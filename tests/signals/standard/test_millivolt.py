"""Standardisation: windows, padding, masks, order of the steps."""

import dataclasses

import numpy as np
import pytest

from deepecg_jax.errors import UserError
from deepecg_jax.signals.contract import STANDARD_LEADS, SignalContract
from deepecg_jax.signals.quality.check import QualityLimits
from deepecg_jax.signals.reading.read import read
from deepecg_jax.signals.recording import Recording, SignalError
from deepecg_jax.signals.resample import resample
from deepecg_jax.signals.standard.millivolt import standardize, to_microvolts
from deepecg_jax.signals.synthetic import generate

ECGS = generate(np.arange(6), seed=11).signal
LONG = np.concatenate(list(ECGS[:4]))  # 40 s


def recording(signal: np.ndarray, leads=STANDARD_LEADS, rate: float = 250.0) -> Recording:
    return Recording(signal, tuple(leads), rate, "r")


def test_a_recording_in_the_contract_form_stays_as_it_is():
    (window,) = standardize(recording(ECGS[0]))
    np.testing.assert_array_equal(window.signal, ECGS[0])
    assert window.signal.dtype == np.float32
    assert window.lead_mask.all()
    assert (window.valid_samples, window.index) == (2500, 0)


@pytest.mark.parametrize("rate", [500, 1000, 400, 257, 360])
def test_other_rates_give_the_same_ecg(rate):
    source = resample(ECGS[1], 250, rate)
    (window,) = standardize(recording(source, rate=rate))
    assert window.signal.shape == (2500, 12)
    error = (window.signal - ECGS[1])[50:-50]
    # what differs is the transition band, 100 to 125 Hz: little of an ECG with its noise
    assert np.sqrt(np.mean(error**2)) < 0.05 * ECGS[1].std()


def test_leads_are_found_by_name_in_any_order():
    order = np.random.default_rng(0).permutation(12)
    shuffled = recording(ECGS[2][:, order], [STANDARD_LEADS[i].upper() for i in order])
    (window,) = standardize(shuffled)
    np.testing.assert_array_equal(window.signal, ECGS[2])


def test_long_recordings_give_the_first_or_all_whole_windows():
    source = recording(LONG[:9800])  # 39.2 s
    (first,) = standardize(source)
    np.testing.assert_array_equal(first.signal, ECGS[0])
    windows = standardize(source, windows="all")
    assert [window.index for window in windows] == [0, 1, 2]
    for window in windows:
        np.testing.assert_array_equal(window.signal, ECGS[window.index])
        assert window.valid_samples == 2500


def test_windows_of_a_rate_without_whole_samples_start_at_their_time():
    rate = 256.5
    source = resample(LONG, 250, rate)
    for window in standardize(recording(source, rate=rate), windows="all"):
        expected = ECGS[window.index]
        error = (window.signal - expected)[100:-100]
        assert np.sqrt(np.mean(error**2)) < 0.08 * expected.std()


def test_short_recordings_are_padded_with_zeros_or_refused():
    source = recording(ECGS[3][:1834])
    (window,) = standardize(source)
    assert window.valid_samples == 1834
    np.testing.assert_array_equal(window.signal[:1834], ECGS[3][:1834])
    assert not window.signal[1834:].any()
    with pytest.raises(SignalError) as caught:
        standardize(source, short="reject")
    assert (caught.value.stage, caught.value.reason) == ("standardize", "too_short")
    assert len(standardize(source, windows="all")) == 1


def test_under_a_second_is_too_short_even_with_padding():
    with pytest.raises(SignalError) as caught:
        standardize(recording(ECGS[3][:200]))
    assert caught.value.reason == "too_short"


def test_missing_limb_leads_are_derived_and_missing_chest_leads_masked():
    keep = [0, 1, 6, 7, 8, 10, 11]
    (window,) = standardize(recording(ECGS[4][:, keep], [STANDARD_LEADS[i] for i in keep]))
    np.testing.assert_allclose(window.signal[:, :6], ECGS[4][:, :6], atol=1e-5)
    assert np.flatnonzero(~window.lead_mask).tolist() == [9]
    assert not window.signal[:, 9].any()
    assert window.quality["n_derived_leads"] == 4


def test_a_flat_limb_lead_is_derived_again_and_a_flat_chest_lead_masked():
    signal = ECGS[4].copy()
    signal[:, 1] = 0.0
    signal[:, 8] = 0.4
    (window,) = standardize(recording(signal))
    np.testing.assert_allclose(window.signal[:, 1], ECGS[4][:, 1], atol=1e-5)
    assert np.flatnonzero(~window.lead_mask).tolist() == [8]
    assert not window.signal[:, 8].any()
    assert window.quality["n_flat_leads"] == 2
    with pytest.raises(SignalError):
        standardize(recording(signal), limits=QualityLimits(max_flat_leads=1))


def test_nothing_is_derived_from_leads_that_were_normalised_one_by_one():
    signal = ECGS[4] / ECGS[4].std(axis=0) * 0.2
    signal[:, 5] = 0.0
    (window,) = standardize(recording(signal))
    assert window.quality["lead_gains_normalised"] is True
    assert np.flatnonzero(~window.lead_mask).tolist() == [5]


def test_a_bad_window_is_left_out_and_counted():
    signal = LONG.copy()
    signal[3000, 5] = np.nan
    windows = standardize(recording(signal), windows="all")
    assert [window.index for window in windows] == [0, 2, 3]
    assert all(window.quality["windows_rejected"] == 1 for window in windows)
    np.testing.assert_array_equal(windows[1].signal, ECGS[2])
    assert len(standardize(recording(signal))) == 1  # the first window is intact
    signal[100, 5] = np.nan
    with pytest.raises(SignalError) as caught:
        standardize(recording(signal))
    assert caught.value.reason == "not_finite"


def test_other_contracts():
    contract = SignalContract(100, 5, leads=("V5", "II"))
    (window,) = standardize(recording(ECGS[5]), contract)
    assert window.signal.shape == (500, 2)
    np.testing.assert_allclose(
        window.signal, resample(ECGS[5][:1250, [10, 1]], 250, 100), atol=1e-6
    )
    assert window.lead_mask.tolist() == [True, True]


@pytest.mark.parametrize(
    "options",
    [
        {"windows": "last"},
        {"short": "stretch"},
        {"contract": SignalContract(unit="uV")},
        {"contract": SignalContract(scaling="deepecg")},
    ],
)
def test_impossible_options_are_user_errors(options):
    with pytest.raises(UserError):
        standardize(recording(ECGS[0]), **options)


def test_the_recording_is_not_changed():
    signal = ECGS[0].copy()
    (window,) = standardize(recording(signal))
    window.signal[:] = 0
    np.testing.assert_array_equal(signal, ECGS[0])


def test_microvolts_round_to_nearest_and_never_clip():
    values = np.array([[0.0, 0.0014, -0.0016, 32.767, -32.767]])
    np.testing.assert_array_equal(to_microvolts(values), [[0, 1, -2, 32767, -32767]])
    assert to_microvolts(values).dtype == np.int16
    assert np.abs(to_microvolts(ECGS[0]) / 1000 - ECGS[0]).max() <= 0.000501
    for bad, reason in ((32.768, "amplitude"), (-40.0, "amplitude"), (np.nan, "not_finite")):
        with pytest.raises(SignalError) as caught:
            to_microvolts(np.array([bad]))
        assert caught.value.reason == reason


@pytest.mark.real
def test_real_recordings_are_accepted(shared):
    data = shared / "data"
    headers = [
        *sorted((data / "cinc2021").glob("*.hea")),
        *sorted((data / "ptbxl_subset").glob("records500/*/*.hea"))[::40],
    ]
    masked = {}
    for header in headers:
        (window,) = standardize(read(header))
        assert window.valid_samples == 2500
        to_microvolts(window.signal)
        if not window.lead_mask.all():
            masked[header.stem] = [STANDARD_LEADS[i] for i in np.flatnonzero(~window.lead_mask)]
    assert masked == {"JS20004": ["V2", "V4", "V6"], "JS20008": ["V2", "V4", "V6"]}


@pytest.mark.real
def test_ptb_at_1000_hz_with_frank_leads(shared):
    source = read(shared / "data" / "ptb" / "s0010_re.hea")
    windows = standardize(source, windows="all")
    assert [window.index for window in windows] == [0, 1, 2]
    for window in windows:
        begin = window.index * 10_000
        piece = source.signal[begin : begin + 10_000 : 4, :12]
        # the source is already quiet above 100 Hz, so decimation nearly agrees
        assert np.sqrt(np.mean((window.signal - piece) ** 2)) < 0.02
    short = dataclasses.replace(source, signal=source.signal[:5000])
    assert standardize(short)[0].valid_samples == 1250
