"""One choice of a standardisation, for data sets and for models."""

import numpy as np
import pytest

from deepecg_jax.errors import UserError
from deepecg_jax.signals.contract import STANDARD_LEADS, SignalContract
from deepecg_jax.signals.recording import Recording, SignalError
from deepecg_jax.signals.standard import deepecg, fairseq, site_profile
from deepecg_jax.signals.standard.choose import (
    DeepECG,
    Fairseq,
    Millivolt,
    Standardisation,
    ZScored,
    choose,
    require_profiles,
)
from deepecg_jax.signals.standard.millivolt import standardize
from deepecg_jax.signals.standard.site_profile import ProfileFile
from deepecg_jax.signals.synthetic.generate import generate

FILTERED = SignalContract(filters=("baseline", "powerline"))
ECG_FM_LIKE = SignalContract(sampling_rate=100.0, seconds=5.0, scaling="fairseq")


@pytest.fixture(scope="module")
def recordings() -> list[Recording]:
    """Six ECGs of 10 s, and one of 20 s made of two of them."""
    signal = generate(np.arange(6), seed=2).signal
    long = np.concatenate([signal[0], signal[1]])
    return [Recording(one, STANDARD_LEADS, 250.0) for one in (*signal, long)]


@pytest.fixture(scope="module")
def profiles() -> site_profile.SiteProfiles:
    signal = generate(np.arange(30), seed=4).signal
    return site_profile.fit(signal, np.ones((30, 12), bool), ["h"] * 30)


@pytest.mark.parametrize(
    ("contract", "kind"),
    [
        (SignalContract(), Millivolt),
        (SignalContract(sampling_rate=500.0), Millivolt),
        (SignalContract(scaling="deepecg"), DeepECG),
        (fairseq.CONTRACT, Fairseq),
        (ECG_FM_LIKE, ZScored),
    ],
)
def test_the_contract_chooses(contract: SignalContract, kind: type[Standardisation]) -> None:
    for keep in ("first", "all"):
        chosen = choose(contract, keep)
        assert type(chosen) is kind and chosen.contract == contract
        assert chosen.numbered == (keep == "all" or kind is Fairseq)
    assert choose(contract, batch=7).batch == (7 if kind is DeepECG else 1)


def test_windows_of_each_are_those_of_its_function(recordings) -> None:
    long = recordings[-1]
    millivolts = choose(SignalContract()).windows(long, "")
    expected = standardize(long, windows="all")
    assert len(millivolts) == 2
    for window, other in zip(millivolts, expected, strict=True):
        np.testing.assert_array_equal(window.signal, other.signal)
    assert len(choose(SignalContract(), "first").windows(long, "")) == 1
    pieces = choose(fairseq.CONTRACT).windows(long, "")
    for piece, other in zip(pieces, fairseq.standardize(long, "all"), strict=True):
        np.testing.assert_array_equal(piece.signal, other.signal)
    scaled = np.concatenate([w.signal for w in choose(ECG_FM_LIKE).windows(long, "")])
    assert scaled.shape == (2000, 12)
    np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(0), 1, atol=1e-5)


def test_only_deepecg_looks_at_the_neighbours(recordings) -> None:
    contract = SignalContract(scaling="deepecg")
    chosen = choose(contract)
    waiting = [window for one in recordings for window in chosen.windows(one, "")]
    together = chosen.together(waiting)
    expected, info = deepecg.standardize(np.stack([window.signal for window in waiting]))
    for window, signal in zip(together, expected, strict=True):
        np.testing.assert_array_equal(window.signal, signal)
        assert window.quality["batch_factor"] == info.factor
        assert window.quality["batch_records"] == len(waiting) == 8
    assert chosen.together([]) == []
    for other in (SignalContract(), fairseq.CONTRACT):
        windows = choose(other).windows(recordings[0], "")
        assert all(a is b for a, b in zip(choose(other).together(windows), windows, strict=True))
    short = Recording(recordings[0].signal[:2000], STANDARD_LEADS, 250.0)
    with pytest.raises(SignalError, match="only 2000 samples are recorded"):
        chosen.windows(short, "")
    assert choose(SignalContract(), short="pad").windows(short, "")[0].valid_samples == 2000
    with pytest.raises(SignalError, match="less than the 10 s"):
        choose(SignalContract(), short="reject").windows(short, "")


def test_batches_are_nearly_equal() -> None:
    chosen = choose(SignalContract(scaling="deepecg"), batch=10)
    sizes = [batch.stop - batch.start for batch in chosen.batches(31)]
    assert sizes == [7, 8, 8, 8] and sum(sizes) == 31
    assert list(chosen.batches(0)) == []
    assert [b.stop - b.start for b in choose(fairseq.CONTRACT, batch=10).batches(3)] == [1] * 3


def test_filters_are_those_of_the_site(recordings, profiles, tmp_path) -> None:
    with pytest.raises(UserError, match="without baseline and powerline; give --site-profile"):
        choose(FILTERED)
    require_profiles(SignalContract(), None)
    here = choose(FILTERED, "first", profiles=profiles).windows(recordings[0], "h")[0].signal
    plain = standardize(recordings[0])[0].signal
    expected = site_profile.remove(plain, profiles.of("h"), FILTERED.filters)
    np.testing.assert_array_equal(here, expected)
    assert not np.array_equal(here, plain)
    file = ProfileFile(profiles.save(tmp_path / "p.json"))
    told = choose(FILTERED, "first", profiles=file).windows(recordings[0], "h")[0].signal
    np.testing.assert_array_equal(told, here)
    other = site_profile.fit(
        generate(np.arange(30), seed=8).signal + 0.5 * np.sin(0.3 * np.arange(2500))[:, None],
        np.ones((30, 12), bool),
        ["h"] * 30,
    )
    other.save(file.path)  # fitted again: the file is read again
    again = choose(FILTERED, "first", profiles=file).windows(recordings[0], "h")[0].signal
    expected = site_profile.remove(plain, other.of("h"), FILTERED.filters)
    np.testing.assert_array_equal(again, expected)
