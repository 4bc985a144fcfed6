"""Resamples: whole patients, the right size, a function of the seed."""

import numpy as np
import pytest

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.resampling.draws import Resampler, narrow

PATIENTS = np.array(["b", "a", "b", "c", "a", "b"], dtype=object)


def test_records_of_a_patient_come_together_and_patients_add_up():
    counts = Resampler.of_patients(PATIENTS, 0).counts(0, 200)
    assert counts.shape == (200, 6)
    np.testing.assert_array_equal(counts[:, 0], counts[:, 2])
    np.testing.assert_array_equal(counts[:, 0], counts[:, 5])
    np.testing.assert_array_equal(counts[:, 1], counts[:, 4])
    np.testing.assert_array_equal(counts[:, 0].astype(int) + counts[:, 1] + counts[:, 3], 3)


def test_a_resample_depends_on_seed_and_number_only():
    resampler = Resampler.of_records(50, 3)
    whole = resampler.counts(0, 10)
    np.testing.assert_array_equal(whole[4:7], resampler.counts(4, 7))
    assert not np.array_equal(whole[0], whole[1])
    assert not np.array_equal(whole, Resampler.of_records(50, 4).counts(0, 10))
    assert (whole.sum(axis=1) == 50).all()


def test_counts_have_the_multinomial_mean_and_variance():
    counts = Resampler.of_records(40, 1).counts(0, 5000).astype(float)
    assert counts.mean() == pytest.approx(1.0)
    assert counts.var() == pytest.approx(1 - 1 / 40, rel=0.02)


def test_a_single_patient_is_drawn_every_time():
    counts = Resampler.of_patients(np.array(["x"] * 3), 0).counts(0, 5)
    assert (counts == 1).all()


def test_an_unknown_patient_is_refused_with_the_way_out():
    with pytest.raises(UserError, match="--cluster none"):
        Resampler.of_patients(np.array(["a", ""], dtype=object), 0)


def test_narrow_takes_the_smallest_type():
    assert narrow(np.array([[255]])).dtype == np.uint8
    assert narrow(np.array([[256]])).dtype == np.uint16
    assert narrow(np.array([[70_000]])).dtype == np.uint32
    with pytest.raises(UserError, match="below 2"):
        narrow(np.array([[2**32]]))
