"""DeepECG's standardisation against what the original computed from real ECGs."""

import json

import numpy as np
import pytest

from deepecg_jax.signals.standard.deepecg import application_order, standardize
from deepecg_jax.signals.standard.deepecg_peaks import find_crossings, find_peak_ranges
from deepecg_jax.signals.standard.lowess import lowess

pytestmark = pytest.mark.real


@pytest.fixture(scope="module", params=["real50", "line60"])
def case(request, shared):
    """(signals in mV, numbers of cases.json, arrays of the case)."""
    folder = shared / "golden" / "preprocessing"
    signals = np.load(folder / "pre_inputs_cinc50_int16.npz")["digital"] / 1000.0
    if request.param == "line60":
        noise = np.load(folder / "pre_noise_params.npz")
        time = np.arange(2500) / 250
        line = np.sin(2 * np.pi * 60 * time + noise["phase"][:, :1])
        signals = signals + 0.05 * noise["gain"] * line[..., None]
    numbers = json.loads((folder / "cases.json").read_text())[request.param]
    return signals, numbers, dict(np.load(folder / f"pre_case_{request.param}.npz"))


def test_factor_ranges_crossings_and_signals(case) -> None:
    signals, numbers, arrays = case
    cleaned, info = standardize(signals)
    assert info.factor == pytest.approx(numbers["factor"], rel=1e-6)
    np.testing.assert_allclose(info.peak_ranges, numbers["peak_ranges"], atol=1e-6, rtol=0)
    np.testing.assert_allclose(info.crossings, numbers["crossings"], atol=1e-6, rtol=0)
    order = [application_order(bands) for bands in info.crossings]
    np.testing.assert_allclose(order, numbers["set_iteration_order"], atol=1e-6, rtol=0)
    near = {"atol": 2e-6, "rtol": 0}
    np.testing.assert_allclose(cleaned[arrays["full_idx"]], arrays["cleaned_full"], **near)
    samples = cleaned[:, arrays["sample_idx"]]
    np.testing.assert_allclose(samples, arrays["cleaned_sample"], **near)
    np.testing.assert_allclose(cleaned.max(axis=1), arrays["cleaned_mx"], **near)
    np.testing.assert_allclose(cleaned.min(axis=1), arrays["cleaned_mn"], **near)
    norm = np.sqrt((cleaned.astype(np.float64) ** 2).sum(axis=1))
    np.testing.assert_allclose(norm, arrays["cleaned_l2"], rtol=1e-6, atol=1e-9)


def test_steps_from_the_original_spectra(case) -> None:
    _, numbers, arrays = case
    frequencies = arrays["freq"][:1250]
    spectra = arrays["spec_leads"][:, :1250].astype(np.float32)
    ranges = find_peak_ranges(frequencies, spectra[0])
    np.testing.assert_allclose(ranges, numbers["peak_ranges"], atol=1e-6, rtol=0)
    trend = lowess(frequencies[frequencies >= 30], arrays["medfilt"], 0.1)
    np.testing.assert_allclose(trend, arrays["loess"], rtol=1e-9)
    crossings = find_crossings(frequencies, spectra, ranges)
    np.testing.assert_allclose(crossings, numbers["crossings"], atol=1e-6, rtol=0)


def test_a_batch_of_one(shared) -> None:
    folder = shared / "golden" / "preprocessing"
    signal = np.load(folder / "xml_clsa_dummy.npz")["processed_2500x12"]
    expected = np.load(folder / "xml_clsa_dummy_cleaned.npz")["cleaned"]
    cleaned, info = standardize(signal[None])
    assert info.peak_ranges == [] and info.factor == pytest.approx(0.003289, abs=5e-7)
    np.testing.assert_allclose(cleaned[0], expected, atol=2e-6, rtol=0)
