"""Data sets whose powerline and baseline are removed with a site profile."""

import json

import numpy as np
import pytest
from ecg_sources import write_ptb_xl, write_wfdb

from deepecg_jax.data.building.build import build
from deepecg_jax.data.building.site_profiles import profile_of_dataset
from deepecg_jax.data.catalogue import builder_file, load_builder_class
from deepecg_jax.data.shards.split import open_split
from deepecg_jax.errors import UserError
from deepecg_jax.signals.contract import load as load_contract
from deepecg_jax.signals.reading.read import read_wfdb
from deepecg_jax.signals.standard import site_profile
from deepecg_jax.signals.standard.millivolt import standardize, to_microvolts

BOTH = {"site_profile": "fit", "powerline": "remove", "baseline": "remove"}


@pytest.fixture
def humming_source(tmp_path, signals):
    """PTB-XL's layout, 24 ECGs with 60 Hz and wander, all of site 2."""
    time = np.arange(2500) / 250
    added = 0.1 * np.sin(2 * np.pi * 60 * time) + 0.3 * np.sin(2 * np.pi * 0.2 * time)
    gains = np.array([1, 0.8, -0.2, -0.9, 0.6, 0.3, *[1] * 6])  # as Einthoven and Goldberger say
    return write_ptb_xl(tmp_path / "source", signals + added[:, None] * gains, list(range(1, 11)))


def stored(folder, name: str = "ptb_xl") -> dict[str, dict]:
    found = {}
    for split in ("train", "validation", "test"):
        part = open_split(folder, name, split)
        found |= {part[i]["record_id"]: part[i] for i in range(len(part))}
    return found


def test_a_profile_of_the_source_itself(humming_source, tmp_path) -> None:
    built = build("ptb_xl", tmp_path / "d", humming_source, options=BOTH)
    assert load_contract(built.folder).filters == ("baseline", "powerline")
    profiles = site_profile.load(built.folder / "site_profile.json")
    profile = profiles.of("2")
    assert 60.0 in profile.powerline and profiles.provenance["seed"] == 0
    assert profiles.overall.n_ecgs == 20  # folds 1 to 8 train
    for number, ecg in stored(tmp_path / "d").items():
        path = humming_source / f"records500/00000/{int(number):05d}_hr"
        window = standardize(read_wfdb(path))[0]
        expected = site_profile.remove(window.signal, profile, ("baseline", "powerline"))
        np.testing.assert_array_equal(ecg["signal"], to_microvolts(expected))
    again = build("ptb_xl", tmp_path / "d", humming_source, options=BOTH)
    assert again.reused


def test_the_source_is_planned_once(humming_source, tmp_path, monkeypatch) -> None:
    builder = load_builder_class(builder_file("ptb_xl"))
    planned: list[object] = []
    plan = builder.plan

    def counted(self, source):
        planned.append(source)
        return plan(self, source)

    monkeypatch.setattr(builder, "plan", counted)
    assert not build("ptb_xl", tmp_path, humming_source, options=BOTH).reused
    assert planned == [humming_source]


@pytest.mark.slow
def test_one_ecg_is_the_same_whatever_its_neighbours(humming_source, signals, tmp_path) -> None:
    build("ptb_xl", tmp_path / "plain", humming_source)
    file = profile_of_dataset(tmp_path / "plain", "ptb_xl").save(tmp_path / "p.json")
    options = {**BOTH, "site_profile": str(file)}
    build("ptb_xl", tmp_path / "all", humming_source, options=options, workers=2)
    for number in range(2, 20):
        other = 1.5 * signals[number, ::-1]
        write_wfdb(humming_source / f"records500/00000/{number:05d}_hr", other)
    build("ptb_xl", tmp_path / "few", humming_source, options=options)
    among, alone = stored(tmp_path / "all"), stored(tmp_path / "few")
    for number in ("1", "20", "24"):
        np.testing.assert_array_equal(among[number]["signal"], alone[number]["signal"])


def test_padding_stays_zero_and_missing_leads_too(humming_source, signals, tmp_path) -> None:
    short = signals[2][:1700].copy()
    short[:, 10] = 0
    write_wfdb(humming_source / "records500/00000/00003_hr", short)
    build("ptb_xl", tmp_path / "d", humming_source, options=BOTH)
    ecg = stored(tmp_path / "d")["3"]
    assert (ecg["signal"][1700:] == 0).all() and (ecg["signal"][:, 10] == 0).all()
    assert ecg["signal"][:1700, 0].any() and not ecg["lead_mask"][10]


def test_a_profile_alone_is_kept_beside_the_shards(humming_source, tmp_path) -> None:
    plain = build("ptb_xl", tmp_path / "plain", humming_source)
    fitted = build("ptb_xl", tmp_path / "fitted", humming_source, options={"site_profile": "fit"})
    assert (fitted.folder / "site_profile.json").is_file()
    assert not (plain.folder / "site_profile.json").exists()
    one, other = stored(tmp_path / "plain"), stored(tmp_path / "fitted")
    for name, ecg in one.items():
        np.testing.assert_array_equal(ecg["signal"], other[name]["signal"])
    assert load_contract(fitted.folder) == load_contract(plain.folder)


def test_the_profile_of_a_data_set_is_that_of_its_source(humming_source, tmp_path) -> None:
    build("ptb_xl", tmp_path / "plain", humming_source)
    folder = build("ptb_xl", tmp_path / "d", humming_source, options=BOTH).folder
    ours = profile_of_dataset(tmp_path / "plain", "ptb_xl")
    theirs = site_profile.load(folder / "site_profile.json")
    assert ours.overall.powerline == theirs.overall.powerline
    assert ours.overall.baseline == theirs.overall.baseline
    small = profile_of_dataset(tmp_path / "plain", "ptb_xl", sample=5, seed=1)
    assert small.provenance["n_ecgs"] == 5 and small.provenance["seed"] == 1
    with pytest.raises(UserError, match="filters is baseline powerline in .* but none in"):
        profile_of_dataset(tmp_path / "d", "ptb_xl")


def test_a_profile_that_is_fitted_again_is_read_again(humming_source, signals, tmp_path) -> None:
    build("ptb_xl", tmp_path / "d", humming_source, options=BOTH)
    before = stored(tmp_path / "d")["1"]["signal"]
    quiet = write_ptb_xl(tmp_path / "quiet", signals, list(range(1, 11)))
    folder = build("ptb_xl", tmp_path / "d", quiet, options=BOTH, overwrite=True).folder
    profile = site_profile.load(folder / "site_profile.json").of("2")
    window = standardize(read_wfdb(quiet / "records500/00000/00001_hr"))[0]
    expected = site_profile.remove(window.signal, profile, ("baseline", "powerline"))
    after = stored(tmp_path / "d")["1"]["signal"]
    np.testing.assert_array_equal(after, to_microvolts(expected))
    assert not np.array_equal(before, after)


def test_synthetic_ecgs_can_be_filtered(tmp_path) -> None:
    folder = build("synthetic", tmp_path, options={"n": "40", **BOTH}).folder
    provenance = json.loads((folder / "site_profile.json").read_text())["provenance"]
    assert provenance["source"] == "synthetic" and provenance["n_ecgs"] > 20


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"powerline": "remove"}, "powerline=remove needs --option site_profile"),
        (
            {**BOTH, "standardisation": "deepecg"},
            "baseline=remove goes with standardisation=m",
        ),
        ({**BOTH, "standardisation": "fairseq"}, "goes with standardisation=millivolt"),
        ({"baseline": "yes"}, "keep or remove"),
        ({"site_profile": "nowhere.json"}, "nowhere.json does not exist"),
    ],
)
def test_options_that_contradict_each_other(tmp_path, options, words) -> None:
    with pytest.raises(UserError, match=words):
        build("synthetic", tmp_path, options={"n": "20", **options})
    assert not (tmp_path / "synthetic/1.0.0").exists()
