"""A small predictions table with everything that can go wrong in a real one."""

import numpy as np
import pytest

from deepecg_jax.evaluation.table.predictions import Predictions

NAMES = ("Afib", "Left bundle branch block", "superclass:NORM", "plain", "never")


@pytest.fixture(scope="session")
def predictions() -> Predictions:
    """400 ECGs of 150 patients: ties, unknown labels, unknown sex and age, a finding never seen."""
    rng = np.random.default_rng(7)
    n = 400
    patient = rng.integers(0, 150, n)
    severity = rng.normal(size=(150, len(NAMES)))[patient] + 0.7 * rng.normal(size=(n, len(NAMES)))
    labels = (severity > [1.2, 0.8, 0.0, -0.8, 99.0]).astype(np.int8)
    raw = severity - [1.2, 0.8, 0.0, -0.8, 1.0] + rng.normal(size=severity.shape)
    scores = np.round(1 / (1 + np.exp(-raw)), 2).astype(np.float32)
    labels[rng.random(labels.shape) < 0.05] = -1
    sex = np.array(["female", "male", "unknown"], dtype=object)[
        rng.choice(3, n, p=[0.45, 0.5, 0.05])
    ]
    age = rng.integers(20, 95, n).astype(float)
    age[:10] = np.nan
    age[10:14] = [55, 56, 75, 76]
    return Predictions(
        names=NAMES,
        labels=labels,
        scores=scores,
        record_id=np.array([f"r{i}" for i in range(n)], dtype=object),
        patient_id=np.array([f"p{i}" for i in patient], dtype=object),
        age=age,
        sex=sex,
    )
