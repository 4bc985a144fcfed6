"""The ``.mat`` files that fairseq-signals' preprocessing writes: ``feats`` and a sampling rate.

They are MATLAB 5 files, as SciPy writes them; WFDB's ``.mat`` files are MATLAB 4 with a header
beside them.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from deepecg_jax.signals.contract import STANDARD_LEADS
from deepecg_jax.signals.reading.limits import check_file
from deepecg_jax.signals.reading.mat5 import MAGIC, read_mat5
from deepecg_jax.signals.recording import Meta, Recording, SignalError
from deepecg_jax.signals.units import millivolts_per_unit


def is_fairseq_mat(path: Path) -> bool:
    """Whether this is a MATLAB 5 file, by its first bytes; false for what cannot be read."""
    try:
        check_file(path)
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except (SignalError, OSError):
        return False


def read_fairseq_mat(
    path: str | Path, *, unit: str, leads: Sequence[str] = STANDARD_LEADS
) -> Recording:
    """Read ``feats`` (leads, samples) at ``curr_sample_rate`` Hz.

    The files do not state unit and leads. A lead that is NaN throughout was not recorded.
    SignalError (``read``): ``unreadable``, ``too_large``, ``shape``, ``unit``, ``unknown_rate``.
    """
    path = Path(path)
    factor = millivolts_per_unit(unit)
    content = read_mat5(path, ("feats", "curr_sample_rate"))
    missing = [name for name in ("feats", "curr_sample_rate") if name not in content]
    if missing or content["curr_sample_rate"].size != 1:
        what = f"{' and '.join(missing)} is missing" if missing else "it has several rates"
        raise SignalError(
            "read", "unreadable", f"{path} cannot be read as fairseq-signals' .mat ({what})."
        )
    with np.errstate(invalid="ignore"):
        values = content["feats"].astype(np.float64)
        rate = float(content["curr_sample_rate"].item())
    if not 0 < rate < math.inf:
        raise SignalError("read", "unknown_rate", f"{path} states a sampling rate of {rate:g} Hz.")
    if values.ndim != 2 or values.shape[0] != len(leads):
        raise SignalError(
            "read", "shape", f"{path} has shape {values.shape}, not ({len(leads)}, samples)."
        )
    recorded = [row for row in range(len(leads)) if not np.isnan(values[row]).all()]
    names = tuple(leads[row] for row in recorded)
    # infinity and signalling NaNs, which the checks refuse
    with np.errstate(over="ignore", invalid="ignore"):
        signal = (values[recorded].T * factor).astype(np.float32)
    meta: Meta = {
        "format": "fairseq-signals .mat",
        "microvolts_per_count": [1000 * factor] * len(names),
    }
    return Recording(signal, names, rate, record_id=path.stem, meta=meta)
