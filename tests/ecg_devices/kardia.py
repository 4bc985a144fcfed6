"""AliveCor Kardia JSON, as public readers expect it."""

import json
from pathlib import Path

import numpy as np

from ecg_devices.beats import RATE, counts


def write_kardia(path: Path, samples: np.ndarray | None = None) -> np.ndarray:
    """AliveCor Kardia: lead I, 5000 nV a count."""
    samples = counts()[:, :1] if samples is None else samples
    block = {
        "frequency": RATE,
        "amplitudeResolution": 5000,
        "numLeads": 1,
        "samples": {"leadI": samples[:, 0].tolist()},
    }
    document = {
        "id": "k",
        "patientID": "KA-1",
        "recordedAt": "2022-03-04T05:06:07Z",
        "duration": 10000,
        "data": {"raw": block},
        "algorithmDetermination": "normal",
    }
    path.write_text(json.dumps(document))
    return samples
