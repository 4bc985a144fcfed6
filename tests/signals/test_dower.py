"""The matrices between dipole and leads against what was published."""

import numpy as np

from deepecg_jax.signals.contract import STANDARD_LEADS
from deepecg_jax.signals.synthetic.leadfield import LEAD_FIELD
from deepecg_jax.signals.vectorcardiogram import DOWER, FROM_INDEPENDENT, INDEPENDENT, INVERSE_DOWER

# Edenbrandt and Pahlm 1988, table: X, Y, Z of V1 to V6, I, II
PUBLISHED = np.array(
    [
        [-0.172, -0.074, 0.122, 0.231, 0.239, 0.194, 0.156, -0.010],
        [0.057, -0.019, -0.106, -0.022, 0.041, 0.048, -0.227, 0.887],
        [-0.229, -0.310, -0.246, -0.063, 0.055, 0.108, 0.022, 0.102],
    ]
)


def test_the_way_back_is_the_published_inverse() -> None:
    chest_last = np.concatenate([PUBLISHED[:, 6:], PUBLISHED[:, :6]], 1)
    np.testing.assert_allclose(INVERSE_DOWER, chest_last, atol=1.5e-3)
    np.testing.assert_allclose(INVERSE_DOWER @ DOWER, np.eye(3), atol=1e-12)


def test_twelve_leads_follow_from_eight() -> None:
    assert [STANDARD_LEADS[i] for i in INDEPENDENT] == [
        "I",
        "II",
        "V1",
        "V2",
        "V3",
        "V4",
        "V5",
        "V6",
    ]
    np.testing.assert_allclose(FROM_INDEPENDENT @ DOWER, LEAD_FIELD, atol=1e-12)
    one, two = FROM_INDEPENDENT[0], FROM_INDEPENDENT[1]
    np.testing.assert_array_equal(FROM_INDEPENDENT[2], two - one)
    np.testing.assert_array_equal(FROM_INDEPENDENT[3:6].sum(0), 0)
