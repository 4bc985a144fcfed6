"""Mortara ELI XML, as public readers expect it."""

import base64
from pathlib import Path

import numpy as np

from deepecg_jax.signals.contract import STANDARD_LEADS
from ecg_devices.beats import RATE, counts


def write_mortara(path: Path, samples: np.ndarray | None = None) -> np.ndarray:
    """Mortara ELI: 12 channels, 200 units a millivolt."""
    samples = counts() if samples is None else samples
    channels = "".join(
        f'<CHANNEL NAME="{name}" BITS="16" FORMAT="SIGNED" ENCODING="BASE64" UNITS_PER_MV="200" '
        f'SAMPLE_FREQ="{RATE}" DURATION="{len(samples)}" OFFSET="0" '
        f'DATA="{base64.b64encode(samples[:, i].astype("<i2").tobytes()).decode()}"/>'
        for i, name in enumerate(STANDARD_LEADS)
    )
    path.write_text(
        '<?xml version="1.0"?><ECG NUM_QRS="10" VENT_RATE="60" ACQUISITION_TIME="20190102030405" '
        'AGE="33" AGE_UNITS="YEARS"><SUBJECT ID="MO-1" GENDER="Female"/>'
        '<SOURCE MANUFACTURER="Mortara Instrument"/>'
        '<AUTOMATIC_INTERPRETATION><STATEMENT TEXT="Sinus rhythm"/></AUTOMATIC_INTERPRETATION>'
        f"{channels}</ECG>"
    )
    return samples
