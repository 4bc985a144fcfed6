"""From the heart dipole to electrode potentials to twelve leads.

The dipole and the lead field (Dower's matrix) are those of `signals.vectorcardiogram`, rewritten as
the potentials of nine electrodes against Wilson's central terminal.
"""

import numpy as np

from deepecg_jax.signals.vectorcardiogram import DOWER

ELECTRODES = ("RA", "LA", "LL", "V1", "V2", "V3", "V4", "V5", "V6")

_LEAD_I, _LEAD_II, _CHEST = DOWER[0], DOWER[1], DOWER[2:]
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
