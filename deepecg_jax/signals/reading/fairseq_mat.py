"""The ``.mat`` files that fairseq-signals' preprocessing writes: ``feats`` and a sampling rate."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from deepecg_jax.signals.contract import STANDARD_LEADS
from deepecg_jax.signals.recording import Recording, SignalError
from deepecg_jax.signals.units import millivolts_per_unit


def read_fairseq_mat(
    path: str | Path, *, unit: str, leads: Sequence[str] = STANDARD_LEADS
) -> Recording:
    """Read ``feats`` (leads, samples) at ``curr_sample_rate`` Hz.

    The files do not state unit and leads. A lead that is NaN throughout was not recorded.
    SignalError (``read``): ``unreadable``, ``shape``, ``unit``.
    """
    import scipy.io

    path = Path(path)
    try:
        content = scipy.io.loadmat(path, variable_names=["feats", "curr_sample_rate"])
        values = np.asarray(content["feats"], np.float64)
        rate = float(np.asarray(content["curr_sample_rate"]).item())
    except Exception as error:  # scipy raises anything on damaged files
        raise SignalError(
            "read",
            "unreadable",
            f"{path} cannot be read as fairseq-signals' .mat ({type(error).__name__}: {error}).",
        ) from error
    if values.ndim != 2 or values.shape[0] != len(leads):
        raise SignalError(
            "read", "shape", f"{path} has shape {values.shape}, not ({len(leads)}, samples)."
        )
    recorded = [row for row in range(len(leads)) if not np.isnan(values[row]).all()]
    names = tuple(leads[row] for row in recorded)
    signal = (values[recorded].T * millivolts_per_unit(unit)).astype(np.float32)
    return Recording(signal, names, rate, record_id=path.stem)
