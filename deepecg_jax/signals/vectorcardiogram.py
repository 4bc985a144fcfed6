"""Between the heart's dipole and the twelve leads.

The dipole has the Frank axes: x to the patient's left, y to the feet, z to the back. The matrix is
Dower's (G. Dower, H. Machado, J. Osborne, "On deriving the electrocardiogram from
vectorcardiographic leads", Clin. Cardiol. 1980). The way back is its least-squares inverse, which
agrees to the third decimal with what L. Edenbrandt and O. Pahlm published ("Vectorcardiogram
synthesized from a 12-lead ECG: superiority of the inverse Dower matrix", J. Electrocardiol. 1988).
"""

import numpy as np

from deepecg_jax.signals.contract import STANDARD_LEADS
from deepecg_jax.signals.leads import LIMB_FROM_I_II

INDEPENDENT: tuple[int, ...] = (0, 1, *range(6, 12))
"""Columns of I, II and V1 to V6 in the standard order; the other four follow from I and II."""

DOWER = np.array(
    [
        [0.632, -0.235, 0.059],  # I
        [0.235, 1.066, -0.132],  # II
        [-0.515, 0.157, -0.917],  # V1
        [0.044, 0.164, -1.387],
        [0.882, 0.098, -1.277],
        [1.213, 0.127, -0.601],
        [1.125, 0.127, -0.086],
        [0.831, 0.076, 0.230],  # V6
    ]
)
"""(8, 3): the independent leads of a unit dipole along x, y, z."""

INVERSE_DOWER = np.linalg.pinv(DOWER)
"""(3, 8): the dipole that explains eight independent leads best."""

FROM_INDEPENDENT = np.zeros((len(STANDARD_LEADS), len(INDEPENDENT)))
"""(12, 8): all leads from the independent ones."""
FROM_INDEPENDENT[:6, :2] = LIMB_FROM_I_II
FROM_INDEPENDENT[6:, 2:] = np.eye(6)
