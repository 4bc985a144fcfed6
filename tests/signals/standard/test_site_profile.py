"""Site profiles: what is fitted, what is removed, and that ECGs do not depend on each other."""

import json

import numpy as np
import pytest

from deepecg_jax.errors import UserError
from deepecg_jax.signals.quality.einthoven import check_limb_leads
from deepecg_jax.signals.quality.interference import interference
from deepecg_jax.signals.standard import site_profile
from deepecg_jax.signals.synthetic import generate

TIME = np.arange(2500) / 250
ECGS = generate(np.arange(60), seed=4).signal
# without their own lines
CLEAN = np.stack([ecg for ecg in ECGS if interference(ecg, 250)["powerline"] == 0][:40])
MASKS = np.ones((len(CLEAN), 12), bool)


def humming(hz: float, mv: float, every: int = 1) -> np.ndarray:
    """The clean ECGs, each ``every``-th of them with a line."""
    ecgs = CLEAN.copy()
    ecgs[::every] += (mv * np.sin(2 * np.pi * hz * TIME)).astype(np.float32)[:, None]
    return ecgs


def profile(ecgs: np.ndarray) -> site_profile.SiteProfile:
    return site_profile.fit(ecgs, np.ones((len(ecgs), 12), bool), [""] * len(ecgs)).overall


@pytest.mark.parametrize("hz", [50.0, 60.0])
def test_the_line_of_a_site_is_found_if_a_tenth_of_its_ecgs_have_it(hz: float) -> None:
    assert profile(CLEAN).powerline == ()
    assert profile(humming(hz, 0.03, every=4)).powerline == (hz,)
    assert profile(humming(hz, 0.03, every=20)).powerline == ()
    assert profile(humming(hz, 0.03, every=4)).line_share[f"{hz:g}"] == 0.25


def test_a_harmonic_counts_only_with_its_line() -> None:
    both = humming(50, 0.05) + (0.03 * np.sin(2 * np.pi * 100 * TIME)).astype(np.float32)[:, None]
    assert profile(both).powerline == (50.0, 100.0)
    assert profile(humming(100, 0.05)).powerline == ()


def test_single_bad_records_change_nothing() -> None:
    good = profile(CLEAN)
    spoiled = CLEAN.copy()
    spoiled[3] = 8 * np.sin(2 * np.pi * 60 * TIME)[:, None]
    spoiled[7] = np.random.default_rng(0).normal(size=(2500, 12))
    bad = profile(spoiled)
    assert bad.powerline == good.powerline and bad.baseline == good.baseline
    for lead, values in good.spectrum.items():
        np.testing.assert_allclose(bad.spectrum[lead], values, rtol=0.5)


def test_the_cut_off_lies_between_wander_and_heartbeats() -> None:
    rng = np.random.default_rng(0)
    ecgs = CLEAN.copy()
    for ecg in ecgs:
        for hz in (0.1, 0.2, 0.3):
            ecg += (0.3 * np.sin(2 * np.pi * hz * TIME + rng.uniform(0, 6))).astype("f4")[:, None]
    assert 0.4 <= profile(ecgs).baseline <= 0.67
    for one in (CLEAN, ecgs, rng.normal(size=(30, 2500, 12))):
        assert 0.3 <= profile(one).baseline <= 0.67


def test_small_sites_take_the_profile_of_all() -> None:
    ecgs = np.concatenate([humming(50, 0.05)[:25], CLEAN[:5]])
    sites = ["a"] * 25 + ["b"] * 5
    fitted = site_profile.fit(ecgs, np.ones((30, 12), bool), sites)
    assert list(fitted.sites) == ["a"] and fitted.sites["a"].n_ecgs == 25
    assert fitted.of("b") is fitted.overall is fitted.of("never seen")
    assert fitted.of("a").powerline == (50.0,)


def test_missing_leads_are_left_out_of_the_spectrum() -> None:
    masks = MASKS.copy()
    masks[:, 8] = False
    masks[::2, 3] = False
    ecgs = np.where(masks[:, None], CLEAN, 0)
    fitted = site_profile.fit(ecgs, masks, [""] * len(ecgs)).overall
    assert "V3" not in fitted.spectrum and len(fitted.spectrum) == 11
    whole = profile(CLEAN[1::2]).spectrum["aVR"]
    np.testing.assert_allclose(fitted.spectrum["aVR"], whole, rtol=1e-3)


def test_the_line_goes_and_the_ecg_stays() -> None:
    found = profile(humming(60, 0.1))
    for clean, noisy in zip(CLEAN[:6], humming(60, 0.1)[:6], strict=True):
        cleaned = site_profile.remove(noisy, found, ("powerline",))
        assert cleaned.dtype == np.float32
        assert interference(cleaned, 250)["powerline"] == 0
        # a tenth of what was added, and the ECG's own noise between 59 and 61 Hz
        error = np.sqrt(np.mean((cleaned - clean) ** 2))
        assert error < 0.1 * 0.1 / np.sqrt(2) + 0.1 * interference(clean, 250)["noise"]


def test_wander_goes_and_the_waves_stay() -> None:
    found = profile(CLEAN)
    beats = np.exp(-(((np.arange(2500) % 210) - 100) ** 2) / 30)[:, None].repeat(12, 1)
    wander = 0.6 * np.sin(2 * np.pi * 0.12 * TIME)[:, None]
    cleaned = site_profile.remove(beats + wander, found, ("baseline",))
    assert interference(cleaned, 250)["baseline_wander"] < 0.1 * 0.6
    middle = slice(250, -250)
    rest = cleaned[middle] - (beats - beats.mean(0))[middle]
    assert np.sqrt(np.mean(rest**2)) < 0.06
    assert np.argmax(cleaned[210:420, 0]) == np.argmax(beats[210:420, 0])  # no phase shift


def test_an_ecg_does_not_depend_on_others_nor_on_order() -> None:
    found = profile(humming(50, 0.05))
    what = ("baseline", "powerline")
    alone = site_profile.remove(CLEAN[4], found, what)
    among = [site_profile.remove(ecg, found, what) for ecg in CLEAN[::-1]]
    np.testing.assert_array_equal(alone, among[len(CLEAN) - 5])


def test_filters_keep_einthoven_and_empty_leads() -> None:
    ecg = CLEAN[2].copy()
    ecg[:, 9] = 0
    cleaned = site_profile.remove(ecg, profile(humming(50, 0.05)), ("baseline", "powerline"))
    assert (cleaned[:, 9] == 0).all()
    names = ("I", "II", "III", "aVR", "aVL", "aVF")
    limbs = {name: cleaned[:, i] for i, name in enumerate(names)}
    assert check_limb_leads(limbs, False, None)["einthoven_residual"] < 1e-3


def test_nothing_asked_for_is_nothing_done() -> None:
    found = profile(CLEAN)
    np.testing.assert_array_equal(site_profile.remove(CLEAN[0], found, ()), CLEAN[0])
    np.testing.assert_array_equal(site_profile.remove(CLEAN[0], found, ("powerline",)), CLEAN[0])
    assert site_profile.remove(CLEAN[0][:30], found, ("baseline",)).shape == (30, 12)


def test_json_round_trip(tmp_path) -> None:
    fitted = site_profile.fit(
        humming(50, 0.05), MASKS, ["a"] * len(CLEAN), {"source": "x", "seed": 3}
    )
    path = fitted.save(tmp_path / "new" / "site_profile.json")
    assert site_profile.load(path) == fitted
    other = site_profile.fit(CLEAN, MASKS, ["a"] * len(CLEAN), fitted.provenance)
    assert fitted.fingerprint == site_profile.load(path).fingerprint != other.fingerprint
    values = json.loads(path.read_text())
    assert values["provenance"] == {
        "n_ecgs": len(CLEAN),
        "date_range": None,
        "source": "x",
        "seed": 3,
    }
    assert path.stat().st_size < 100_000


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"sites": []}', '{"sites": [], "overall": {}, "provenance": {}}']
)
def test_files_that_are_no_profile(tmp_path, text: str) -> None:
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(UserError, match=r"p\.json is no site profile"):
        site_profile.load(tmp_path / "p.json")
    with pytest.raises(UserError, match=r"none\.json does not exist; `deepecg profile`"):
        site_profile.load(tmp_path / "none.json")


def test_impossible_frequencies_are_refused(tmp_path) -> None:
    path = site_profile.fit(CLEAN, MASKS, [""] * len(CLEAN)).save(tmp_path / "p.json")
    values = json.loads(path.read_text())
    values["overall"]["powerline"] = [250]
    path.write_text(json.dumps(values))
    with pytest.raises(UserError, match="frequencies outside"):
        site_profile.load(path)


def test_an_empty_sample_is_refused() -> None:
    with pytest.raises(UserError, match="sample is empty"):
        site_profile.fit(CLEAN[:0], MASKS[:0], [])
