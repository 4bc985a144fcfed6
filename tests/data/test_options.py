"""Options of a build: read once, of their own types, recorded as they were given."""

import pickle
from pathlib import Path

import pytest

from deepecg_jax.data import options as known
from deepecg_jax.data.building.builder import make_builder
from deepecg_jax.data.catalogue import builder_file, builder_names, load_builder_class
from deepecg_jax.data.options import COMMON_OPTIONS, BuildOptions, resolve_options, whole_number
from deepecg_jax.errors import UserError
from deepecg_jax.signals.contract import SignalContract
from deepecg_jax.signals.standard import fairseq
from deepecg_jax.signals.standard.choose import DeepECG, Fairseq, Millivolt
from deepecg_jax.signals.standard.site_profile import ProfileFile

COUNT = whole_number("n", "12", "a number", 1)


def resolved(**given: str) -> BuildOptions:
    return resolve_options((*COMMON_OPTIONS, known.SHARES, COUNT), given, "x")


def test_options_are_checked_by_name_and_value() -> None:
    assert resolved(windows="all")[known.WINDOWS] == "all"
    with pytest.raises(UserError, match="Builder x has no option 'window'; did you mean 'windows'"):
        resolved(window="all")
    with pytest.raises(UserError, match="windows of builder x is 'two', but must be first or all"):
        resolved(windows="two")
    for bad in ("0", "-3", "1.5", "many"):
        with pytest.raises(UserError, match=f"Option n is '{bad}', but .* whole number >= 1"):
            resolved(n=bad)
    with pytest.raises(UserError, match="Option batch is '0'"):
        resolved(batch="0")
    with pytest.raises(UserError, match="Option shares is '1/2'"):
        resolved(shares="1/2")


def test_values_have_types_and_texts_stay_as_given() -> None:
    options = resolved(shares="1/1/2", n="007", batch="16")
    assert options[COUNT] == 7 and options[known.BATCH] == 16
    assert options[known.SHARES] == (0.25, 0.25, 0.5)
    assert options[known.SITE_PROFILE] is None
    assert list(options.texts) == [option.name for option in (*COMMON_OPTIONS, known.SHARES, COUNT)]
    assert options.texts["n"] == "007" and options.texts["windows"] == "first"
    again = pickle.loads(pickle.dumps(options))  # as workers and machines get them
    assert again == options and again[COUNT] == 7


def test_the_options_say_the_contract_and_the_standardisation(tmp_path) -> None:
    plain = resolved()
    assert plain.contract == SignalContract() and plain.removed == ()
    assert plain.standardisation == Millivolt(SignalContract(), "first", "pad")
    scaled = resolved(standardisation="deepecg", batch="9", windows="all", short="reject")
    assert scaled.contract == SignalContract(scaling="deepecg")
    assert scaled.standardisation == DeepECG(scaled.contract, "all", "reject", 9)
    pieces = resolved(standardisation="fairseq")
    assert pieces.standardisation == Fairseq(fairseq.CONTRACT, "first", "pad")
    fit = resolved(site_profile="fit", powerline="remove")
    assert fit[known.SITE_PROFILE] == known.FIT and fit.profile is None
    assert fit.contract.filters == ("powerline",)


def test_a_profile_is_a_file(tmp_path) -> None:
    builder = make_builder(builder_file("synthetic"), data_dir=tmp_path, options={"n": "4"})
    with pytest.raises(UserError, match="does not exist; `deepecg profile` makes one"):
        resolved(site_profile=str(tmp_path / "none.json"))
    ecgs = [made for made in builder.examples(builder.plan(Path()).records, builder.options)]
    assert len(ecgs) == 4
    from deepecg_jax.data.building.site_profiles import fitted_profile

    file = fitted_profile(builder, builder.plan(Path()), tmp_path)
    builder.take_profile(file)
    assert builder.options.profile == ProfileFile(file)
    assert builder.options.texts["site_profile"] == str(file)
    assert builder.options.texts["n"] == "4"
    filtered = resolved(site_profile=str(file), baseline="remove").standardisation
    assert filtered.profiles == ProfileFile(file) and filtered.contract.filters == ("baseline",)


@pytest.mark.parametrize("name", builder_names())
def test_defaults_of_every_builder_are_values(name: str) -> None:
    builder = load_builder_class(builder_file(name))
    options = resolve_options((*COMMON_OPTIONS, *builder.OPTIONS), {}, name)
    for option in builder.OPTIONS:
        assert options.texts[option.name] == option.default
        assert not option.choices or option.default in option.choices
