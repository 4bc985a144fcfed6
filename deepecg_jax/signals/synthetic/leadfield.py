"""From the heart dipole to electrode potentials to twelve leads.

The dipole has the Frank axes: x to the patient's left, y to the feet, z to the back. The lead field
is Dower's matrix (G. Dower, H. Machado, J. Osborne, "On deriving the electrocardiogram from
vectorcardiographic leads", Clin. Cardiol. 1980), rewritten as the potentials of nine electrodes
against Wilson's central terminal.
"""

import numpy as np

ELECTRODES = ("RA", "LA", "LL", "V1", "V2", "V3", "V4", "V5", "V6")

_LEAD_I = np.array([0.632, -0.235, 0.059])
_LEAD_II = np.array([0.235, 1.066, -0.132])
_CHEST = np.array(
    [
        [-0.515, 0.157, -0.917],
        [0.044, 0.164, -1.387],
        [0.882, 0.098, -1.277],
        [1.213, 0.127, -0.601],
        [1.125, 0.127, -0.086],
        [0.831, 0.076, 0.230],
    ]
)
# With RA + LA + LL = 0, leads I = LA - RA and II = LL - RA fix the three limb potentials.
_RA = -(_LEAD_I + _LEAD_II) / 3.0
FIELD = np.vstack([_RA, _RA + _LEAD_I, _RA + _LEAD_II, _CHEST])


def placed_fields(jitter: np.ndarray) -> np.ndarray:
    """Lead fields (N, 9, 3) of recordings whose chest electrodes sit a little off.

    `jitter` is standard normal, (N, 6, 3). Limb electrodes, far out on the limbs, see no such
    error. Any field is consistent with Einthoven, as it acts on electrodes.
    """
    fields = np.repeat(FIELD[None], len(jitter), axis=0)
    fields[:, 3:] += 0.09 * jitter
    return fields


def to_leads(potentials: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Electrode potentials (N, 9, T) -> leads (N, T, 12) of the same dtype, in the standard order.

    III and the augmented leads are computed from I and II, so Einthoven's and Goldberger's
    equations hold to rounding whatever the electrodes picked up. Written into `out` if given.
    """
    right, left, foot = potentials[:, 0], potentials[:, 1], potentials[:, 2]
    n, _, samples = potentials.shape
    leads = np.empty((n, samples, 12), dtype=potentials.dtype) if out is None else out
    half = potentials.dtype.type(0.5)
    one, two = left - right, foot - right
    terminal = (right + left + foot) * potentials.dtype.type(1.0 / 3.0)
    limbs = (one, two, two - one, -half * (one + two), one - half * two, two - half * one)
    for column, limb in enumerate(limbs):
        leads[:, :, column] = limb
    for column in range(6):
        np.subtract(potentials[:, 3 + column], terminal, out=leads[:, :, 6 + column])
    return leads


LEAD_FIELD = to_leads(FIELD[None])[0].T
"""The standard lead field (12, 3): leads of a unit dipole along x, y, z."""
