"""EDF+, after its published specification."""

from pathlib import Path

import numpy as np

from deepecg_jax.signals.contract import STANDARD_LEADS
from ecg_devices.beats import RATE, counts


def write_edf(path: Path, samples: np.ndarray | None = None) -> np.ndarray:
    """EDF+C: 12 leads at 5 uV a count, respiration at 25 Hz, and the annotation signal."""
    samples = counts() if samples is None else samples
    seconds = len(samples) // RATE
    labels = [*(f"ECG {name}" for name in STANDARD_LEADS), "Resp", "EDF Annotations"]
    sizes = [RATE] * 12 + [25, 20]

    def fields(values: list[str], width: int) -> bytes:
        return "".join(f"{value:<{width}.{width}}" for value in values).encode()

    n = len(labels)
    head = fields(["0"], 8) + fields(["E-4 M 05-JUN-1970 X"], 80)
    head += fields(["Startdate 07-AUG-2014 X X Recorder"], 80)
    head += fields(["07.08.14", "10.11.12", str(256 * (n + 1))], 8) + fields(["EDF+C"], 44)
    head += fields([str(seconds), "1"], 8) + fields([str(n)], 4)
    head += fields(labels, 16) + fields([""] * n, 80) + fields(["uV"] * 12 + ["%", ""], 8)
    head += fields(["-163840"] * 12 + ["0", "-1"], 8) + fields(["163835"] * 12 + ["100", "1"], 8)
    head += fields(["-32768"] * 14, 8) + fields(["32767"] * 14, 8)
    head += fields([""] * n, 80) + fields([str(size) for size in sizes], 8) + fields([""] * n, 32)
    body = b""
    for second in range(seconds):
        part = samples[second * RATE : (second + 1) * RATE]
        body += part.T.astype("<i2").tobytes() + np.arange(25, dtype="<i2").tobytes()
        body += f"+{second}\x14\x14\x00".encode().ljust(40, b"\0")
    path.write_bytes(head + body)
    return samples
