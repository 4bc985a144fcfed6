"""DeepECG's batch standardisation against a plain restatement, and what it promises."""

import numpy as np
import pytest

from deepecg_jax.errors import UserError
from deepecg_jax.signals.standard.deepecg import application_order, standardize
from deepecg_jax.signals.standard.deepecg_peaks import find_peak_ranges
from deepecg_jax.signals.synthetic import generate

plain = pytest.importorskip("oracles.deepecg_plain", reason="the restatement needs statsmodels")

ECGS = generate(np.arange(12), seed=4).signal.astype(np.float64)
TIME = np.arange(2500) / 250
FREQUENCIES = plain.FREQUENCIES[:1250]


def with_lines(ecgs: np.ndarray, *lines: tuple[float, float]) -> np.ndarray:
    """Sines of (Hz, mV) on all leads, with another phase in every ECG."""
    phase = np.random.default_rng(1).uniform(0, 6.28, len(ecgs))[:, None]
    added = sum(mv * np.sin(2 * np.pi * hz * TIME + phase) for hz, mv in lines)
    return ecgs + np.asarray(added)[..., None] * np.linspace(0.7, 1.3, 12)


CASES = {
    "powerline": with_lines(ECGS, (60, 0.05)),
    "powerline_float32": with_lines(ECGS, (60, 0.05)).astype(np.float32),
    "single": with_lines(ECGS[3:4], (50, 0.05)),
    "single_as_it_is": ECGS[5:6],
    "as_they_are": ECGS,
    "between_bins": with_lines(ECGS[:5], (60.05, 0.08)),
    "harmonics": with_lines(ECGS[:6], (27.3, 0.05), (54.6, 0.004), (82, 0.005), (109.2, 0.003)),
    "inverted": with_lines(ECGS[:6], (30, 0.06), (61, 0.05), (62.4, 0.05)),
    "below_the_trend": with_lines(ECGS[:4], (23.4, 0.1)),
    "several": with_lines(ECGS[:4], (50, 0.05), (52.5, 0.03), (61.6, 0.04), (124.8, 0.03)),
    "digital_units": np.rint(with_lines(ECGS[:3], (60, 0.05)) * 205).astype(np.int16),
}


@pytest.mark.parametrize("name", CASES)
def test_the_plain_restatement_gives_the_same(name: str) -> None:
    cleaned, info = standardize(CASES[name])
    expected, factor, ranges, crossings = plain.standardize(CASES[name])
    assert info.factor == pytest.approx(factor, rel=1e-6)
    np.testing.assert_allclose(np.array(info.peak_ranges), np.array(ranges), atol=1e-6, rtol=0)
    assert len(info.crossings) == 12
    np.testing.assert_allclose(np.array(info.crossings), np.array(crossings), atol=1e-6, rtol=0)
    assert cleaned.dtype == np.float32 and cleaned.shape == CASES[name].shape
    np.testing.assert_allclose(cleaned, expected, atol=2e-6, rtol=0)


def test_the_cases_reach_what_they_are_for() -> None:
    ranges = {name: standardize(signals)[1].peak_ranges for name, signals in CASES.items()}
    assert (60.0, 60.0) in ranges["powerline"]
    assert (50.0, 50.0) in ranges["single"]
    assert any(low <= 60.05 <= high for low, high in ranges["between_bins"])
    assert len(ranges["harmonics"]) >= 3 and len(ranges["several"]) >= 3
    below = standardize(CASES["below_the_trend"])[1]
    assert any(high < 30 for _, high in below.peak_ranges)
    assert any(low > high for low, high in ranges["inverted"])


@pytest.mark.slow
def test_random_spectra_have_the_restatements_ranges() -> None:
    """Many peaks close together: repeated flags, steps back, inverted ranges, harmonics."""
    rng = np.random.default_rng(2)
    inverted = 0
    for _ in range(12):
        spectrum = (5 + rng.gamma(2.0, 1.0, 1250)).astype(np.float32)
        spikes = rng.integers(200, 1250, 14)
        spectrum[spikes] += rng.gamma(3.0, 8.0, 14).astype(np.float32)
        whole = np.concatenate([spectrum, np.zeros(1250, np.float32)])
        expected = plain.peak_ranges(whole)
        assert find_peak_ranges(FREQUENCIES, spectrum) == expected
        inverted += sum(low > high for low, high in expected)
    assert inverted > 0


def test_without_a_peak_the_ecgs_are_only_scaled() -> None:
    rng = np.random.default_rng(0)
    signals = rng.normal(size=(20, 2500, 12)) * 0.05
    cleaned, info = standardize(signals)
    assert info.peak_ranges == [] and info.crossings == [[]] * 12
    np.testing.assert_array_equal(cleaned, (signals * np.float32(info.factor)).astype(np.float32))


def test_the_line_goes_and_the_rest_stays() -> None:
    signals = CASES["powerline"]
    cleaned, info = standardize(signals)
    scaled = signals * info.factor
    before, after = np.abs(np.fft.rfft(scaled, axis=1)), np.abs(np.fft.rfft(cleaned, axis=1))
    assert (after[:, 600].mean(0) < 0.2 * before[:, 600].mean(0)).all()
    untouched = np.ones(1251, bool)
    for bands in info.crossings:
        for low, high in bands:
            untouched[int(10 * min(low, high)) - 12 : int(10 * max(low, high)) + 13] = False
    np.testing.assert_allclose(after[:, untouched], before[:, untouched], atol=2e-3)


def test_a_batch_decides_about_each_of_its_ecgs() -> None:
    """What the original does, and why the default standardisation does not."""
    together, info = standardize(CASES["powerline"])
    alone, own = standardize(CASES["powerline"][:1])
    assert abs(own.factor / info.factor - 1) > 0.01
    assert np.abs(alone[0] - together[0]).max() > 0.01
    shuffled, other = standardize(CASES["powerline"][::-1])
    assert other.peak_ranges == info.peak_ranges and other.crossings == info.crossings
    np.testing.assert_allclose(shuffled[::-1], together, atol=2e-6)


def test_overlapping_bands_are_applied_in_the_order_of_a_set() -> None:
    bands = [(60.0, 60.1), (61.5, 61.800000000000004), (49.1, 50.1)]
    order = application_order(bands)
    assert sorted(order) == [(48.1, 51.1), (59.0, 61.1), (60.5, 62.800000000000004)]
    assert order == list({(low - 1, high + 1) for low, high in bands}) != sorted(order)
    assert application_order([(60.0, 60.1)] * 3) == [(59.0, 61.1)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x[0], "shape"),
        (lambda x: x[:0], "at least one"),
        (lambda x: x[:, :2000], "shape"),
        (lambda x: x.astype(complex), "numbers"),
        (lambda x: np.where(np.arange(12) == 0, 0.0, x), "lead I is zero"),
        (lambda x: np.where(np.arange(12) == 7, np.nan, x), "ECG 0 .* lead V2"),
        (lambda x: np.where((np.arange(12) == 0)[None, None], np.inf, x), "ECG 0 .* lead I,"),
    ],
)
def test_bad_batches_are_refused(change, words: str) -> None:
    with pytest.raises(UserError, match=words):
        standardize(change(ECGS[:2]))


def test_one_nan_names_its_ecg() -> None:
    signals = ECGS.copy()
    signals[7, 100, 0] = np.nan
    with pytest.raises(UserError, match="ECG 7 of the batch .* lead I, .*leave it out"):
        standardize(signals)
