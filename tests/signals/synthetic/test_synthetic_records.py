"""Generated recordings as data: shape, determinism, lead algebra, patients, prevalences, speed."""

import numpy as np
import pytest

from deepecg_jax.errors import UserError
from deepecg_jax.labels.findings import FINDINGS as FINDINGS_77
from deepecg_jax.signals.contract import SignalContract
from deepecg_jax.signals.synthetic import FINDINGS, generate, patient_of
from deepecg_jax.signals.synthetic.findings import label
from deepecg_jax.signals.synthetic.generate import plan
from deepecg_jax.signals.synthetic.rng import Draws, mix

FIELDS = ("signal", "labels", "age", "sex", "patient_id", "record_id")
COUNT = 140  # several chunks of the generator


@pytest.fixture(scope="module")
def batch():
    return generate(np.arange(COUNT))


@pytest.fixture(scope="module")
def truth():
    return plan(np.arange(2000))


@pytest.fixture(scope="module")
def labels(truth):
    return label(truth.traits, truth.rhythm, truth.beats, truth.fields)


def test_shapes_and_types(batch):
    contract = SignalContract()
    assert batch.signal.shape == (COUNT, contract.n_samples, len(contract.leads))
    assert batch.signal.dtype == np.float32
    assert batch.labels.shape == (COUNT, len(FINDINGS))
    assert batch.labels.dtype == np.int8
    assert set(np.unique(batch.labels)) == {0, 1}
    assert batch.age.dtype == np.float32
    assert batch.age.min() >= 18 and batch.age.max() <= 95
    assert set(batch.sex) == {"female", "male"}
    assert len(set(batch.record_id)) == COUNT


def test_amplitudes_are_those_of_millivolts(batch):
    assert np.isfinite(batch.signal).all()
    assert np.abs(batch.signal).max() < 10.0
    spread = np.ptp(batch.signal, axis=1)
    assert 0.8 < np.median(spread) < 3.0
    assert spread.min() > 0.05, "no lead may be flat"


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_limb_leads_obey_einthoven_and_goldberger(noise):
    signal = generate(np.arange(40), noise=noise).signal
    one, two, three, right, left, foot = np.moveaxis(signal[:, :, :6], 2, 0)
    ulp = np.spacing(np.abs(signal[:, :, :6]).max())
    assert np.array_equal(three, two - one)
    assert np.abs(right + (one + two) / 2).max() <= 2 * ulp
    assert np.abs(left - (one - two / 2)).max() <= 2 * ulp
    assert np.abs(foot - (two - one / 2)).max() <= 2 * ulp


def test_a_record_does_not_depend_on_its_company(batch):
    order = np.random.default_rng(0).permutation(COUNT)
    shuffled = generate(order)
    alone = [generate(np.array([index])) for index in (0, 17, COUNT - 1)]
    for field in FIELDS:
        assert np.array_equal(getattr(shuffled, field), getattr(batch, field)[order])
        for index, single in zip((0, 17, COUNT - 1), alone, strict=True):
            assert np.array_equal(getattr(single, field)[0], getattr(batch, field)[index])


def test_threads_do_not_matter(batch):
    for threads in (1, 3):
        assert np.array_equal(generate(np.arange(COUNT), threads=threads).signal, batch.signal)


def test_seed_changes_everything(batch):
    other = generate(np.arange(COUNT), seed=1)
    assert not np.array_equal(other.age, batch.age)
    assert not set(other.patient_id) & set(batch.patient_id)
    assert not set(other.record_id) & set(batch.record_id)
    correlation = np.corrcoef(other.signal[:, :, 1].ravel(), batch.signal[:, :, 1].ravel())
    assert abs(correlation[0, 1]) < 0.1


def test_large_indices_and_empty_calls():
    far = generate(np.array([2**40, 2**40 + 1]), seed=2**62)
    assert np.isfinite(far.signal).all()
    assert generate(np.array([], dtype=np.int64)).signal.shape == (0, 2500, 12)
    with pytest.raises(UserError, match="negative"):
        generate(np.array([3, -1]))


def test_splitmix_reference_values():
    """The first outputs of SplitMix64 with state 0, as published with the algorithm."""
    gamma = np.uint64(0x9E3779B97F4A7C15)
    outputs = mix(np.arange(1, 4, dtype=np.uint64) * gamma)
    assert [hex(int(v)) for v in outputs] == [
        "0xe220a8397b1dcdaf",
        "0x6e789e6aa1b965f4",
        "0x6c45d188009454f",
    ]


def test_draws_are_uniform_normal_and_uncorrelated():
    numbers = np.arange(4000)
    uniform = Draws(3, 1, numbers).uniform(8)
    assert uniform.min() > 0.0 and uniform.max() < 1.0
    assert abs(uniform.mean() - 0.5) < 0.01
    assert np.abs(np.corrcoef(uniform.T) - np.eye(8)).max() < 0.06
    assert abs(np.corrcoef(uniform[:-1, 0], uniform[1:, 0])[0, 1]) < 0.06
    other = Draws(3, 2, numbers).uniform(8)
    assert abs(np.corrcoef(uniform[:, 0], other[:, 0])[0, 1]) < 0.06
    for values in (Draws(3, 1, numbers).normal(10), Draws(3, 1, numbers).fast_normal(10)):
        assert values.shape == (4000, 10)
        assert abs(values.mean()) < 0.02 and abs(values.std() - 1.0) < 0.02


def test_about_two_records_a_patient_with_their_traits(truth):
    index = np.arange(2000)
    patients = patient_of(index)
    assert np.array_equal(patients[:10], [int(patient_of(i)) for i in range(10)])
    assert 1.8 < 2000 / len(np.unique(patients)) < 2.2
    assert np.array_equal(patients // 4, index // 4), "blocks of four must be closed"
    _, first, inverse = np.unique(patients, return_index=True, return_inverse=True)
    for trait in ("age", "female", "axis", "qtc", "left_block", "shape"):
        values = getattr(truth.traits, trait)
        assert np.array_equal(values, values[first][inverse]), trait
    rates = truth.rhythm.mean_rate
    assert (rates != rates[first][inverse]).mean() > 0.4, "the rhythm varies within a patient"


def test_names_come_from_the_77_where_they_exist():
    own = set(FINDINGS) - set(FINDINGS_77)
    assert own == {"Sinus tachycardia", "Normal"}
    assert len(set(FINDINGS)) == len(FINDINGS)


def test_prevalences(labels):
    prevalence = dict(zip(FINDINGS, labels.mean(axis=0), strict=True))
    for name, share in prevalence.items():
        if name in ("Sinusal", "Regular"):
            assert 0.6 < share < 0.95, name
        else:
            assert 0.03 <= share <= 0.27, (name, share)
    first_thousand = labels[:1000].sum(axis=0)
    assert first_thousand.min() >= 20, dict(zip(FINDINGS, first_thousand, strict=True))


def test_labels_are_consistent_with_each_other(labels):
    column = {name: labels[:, place] == 1 for place, name in enumerate(FINDINGS)}
    assert not (column["Bradycardia"] & column["Sinus tachycardia"]).any()
    assert not (column["Afib"] & column["Sinusal"]).any()
    assert not (column["Left bundle branch block"] & column["Right bundle branch block"]).any()
    assert not (column["Left axis deviation"] & column["Right axis deviation"]).any()
    assert (column["Afib"] | ~column["Irregularly irregular"]).all()
    ill = labels[:, 2:-1].any(axis=1)
    assert not (column["Normal"] & ill).any()
    healthy = ~ill & column["Sinusal"] & column["Regular"]
    assert np.array_equal(column["Normal"], healthy)


def test_severity_reaches_the_borderline(truth):
    """A task of clear-cut cases only would be solved to 1.0 by anything."""

    def share_near(values, threshold, width, among):
        return (np.abs(values - threshold) < width)[among].mean()

    beats, sinus = truth.beats, truth.rhythm.p_wave
    assert share_near(beats.pr, 0.200, 0.010, sinus) > 0.04
    assert share_near(beats.qtc, 0.455, 0.010, sinus) > 0.025
    assert share_near(truth.rhythm.mean_rate, 60.0, 3.0, sinus) > 0.08
    injured = (beats.inferior + beats.anterior) > 0
    assert share_near(beats.inferior + beats.anterior, 0.1, 0.03, injured) > 0.2
    block = beats.left_block | beats.right_block
    assert share_near(beats.qrs, 0.120, 0.010, block) > 0.1


def test_age_and_sex_shift_the_ecg(truth, labels):
    who, beats = truth.traits, truth.beats
    column = {name: labels[:, place] for place, name in enumerate(FINDINGS)}
    old, young = who.age > 70, who.age < 45

    def shift(values, a, b):
        error = np.sqrt(values[a].var() / a.sum() + values[b].var() / b.sum())
        return (values[a].mean() - values[b].mean()) / error

    assert shift(who.rate, who.female, ~who.female) > 3
    assert shift(beats.qtc, who.female, ~who.female) > 3
    assert shift(who.gain, ~who.female, who.female) > 3
    assert shift(who.axis, young, old) > 3
    assert shift(beats.pr, old, young) > 3
    for name in ("Afib", "Left bundle branch block", "Ventricular paced"):
        assert shift(column[name].astype(float), old, young) > 3, name
