"""Signals of one contract brought to another."""

import numpy as np
import pytest

from deepecg_jax.errors import UserError
from deepecg_jax.signals.contract import SignalContract
from deepecg_jax.signals.standard.convert import convert, in_millivolts, zscore
from deepecg_jax.signals.synthetic import generate

STANDARD = SignalContract()
ECG_FM = SignalContract(sampling_rate=500.0, seconds=5.0, scaling="fairseq")
ECGS = generate(np.arange(4), 1).signal
WHOLE = np.full(4, 2500)


def test_the_same_contract_changes_nothing() -> None:
    windows, valid = convert(ECGS, WHOLE, STANDARD, STANDARD)
    np.testing.assert_array_equal(windows[:, 0], ECGS)
    assert (valid == 2500).all()


def test_ecg_fm_windows_are_z_scores_of_the_whole_record() -> None:
    windows, valid = convert(ECGS, WHOLE, STANDARD, ECG_FM)
    assert windows.shape == (4, 2, 2500, 12) and (valid == 2500).all()
    joined = windows.reshape(4, 5000, 12).astype(np.float64)
    np.testing.assert_allclose(joined.mean(1), 0, atol=1e-5)
    np.testing.assert_allclose(joined.std(1), 1, atol=1e-5)
    # every second sample is the record as it was, apart from offset and scale
    for i in range(4):
        for lead in range(12):
            pair = np.corrcoef(joined[i, 100:-100:2, lead], ECGS[i, 50:-50, lead])
            assert pair[0, 1] > 0.98


def test_leads_are_chosen_by_name() -> None:
    target = SignalContract(leads=("V6", "II"))
    windows, _ = convert(ECGS, WHOLE, STANDARD, target)
    np.testing.assert_array_equal(windows[:, 0], ECGS[:, :, [11, 1]])


def test_padding_stays_padding() -> None:
    padded = ECGS.copy()
    padded[0, 1000:] = 0.0
    windows, valid = convert(padded, np.array([1000, 2500, 2500, 2500]), STANDARD, ECG_FM)
    assert valid.tolist() == [[2000, 0], [2500, 2500], [2500, 2500], [2500, 2500]]
    assert not windows[0, 0, 2000:].any() and not windows[0, 1].any()
    assert windows[0, 0, :2000].std() == pytest.approx(1.0, abs=1e-3)
    longer, valid = convert(ECGS, WHOLE, STANDARD, SignalContract(seconds=12.0))
    assert longer.shape[1:3] == (1, 3000) and (valid == 2500).all()
    assert not longer[:, :, 2500:].any()


def test_a_constant_lead_becomes_zero() -> None:
    windows = np.ones((1, 2, 50, 3), np.float32) * 0.7
    windows[..., 1] = np.arange(50)
    scaled = zscore(windows, np.full((1, 2), 50))
    assert not scaled[..., [0, 2]].any() and scaled[..., 1].std() == pytest.approx(1.0)


def test_no_way_back() -> None:
    with pytest.raises(UserError, match="from the scaling fairseq to millivolt"):
        convert(ECGS, WHOLE, ECG_FM, STANDARD)
    assert in_millivolts(ECG_FM) == SignalContract(sampling_rate=500.0, seconds=5.0)
    with pytest.raises(UserError, match="there is no lead III, aVR, .* V6"):
        convert(ECGS[..., :2], WHOLE, SignalContract(leads=("I", "II")), STANDARD)
    with pytest.raises(UserError, match="their unit is uV"):
        convert(ECGS, WHOLE, SignalContract(unit="uV"), STANDARD)


def test_filters_cannot_be_made_up_afterwards() -> None:
    with pytest.raises(UserError, match="nothing was filtered out of them, not powerline"):
        convert(ECGS, WHOLE, STANDARD, SignalContract(filters=("powerline",)))
