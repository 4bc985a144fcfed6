"""Recording and SignalError."""

import pickle

import numpy as np
import pytest

from deepecg_jax.signals.recording import Recording, SignalError


def test_signal_becomes_float32_and_keeps_unknowns_unknown():
    recording = Recording(np.zeros((500, 2)), ("I", "II"), 250.0, "r", "p")
    assert recording.signal.dtype == np.float32
    assert recording.seconds == 2
    assert np.isnan(recording.age)
    assert recording.sex == "unknown"


@pytest.mark.parametrize("shape", [(500,), (2, 500), (500, 3), (1, 500, 2)])
def test_array_that_does_not_fit_the_names_is_refused(shape):
    with pytest.raises(SignalError) as caught:
        Recording(np.zeros(shape), ("I", "II"), 250.0, "r7")
    assert (caught.value.stage, caught.value.reason) == ("read", "shape")
    assert "r7" in str(caught.value)


def test_error_survives_the_way_between_processes():
    error = pickle.loads(pickle.dumps(SignalError("check", "not_finite", "a sentence.")))
    assert isinstance(error, SignalError)
    assert (error.stage, error.reason, str(error)) == ("check", "not_finite", "a sentence.")


def test_recording_survives_the_way_between_processes():
    recording = Recording(np.ones((5, 1)), ("I",), 250.0, "r", meta={"a": 1})
    again = pickle.loads(pickle.dumps(recording))
    np.testing.assert_array_equal(again.signal, recording.signal)
    assert again.meta == {"a": 1}
