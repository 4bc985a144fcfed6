"""ISHNE Holter files, after version 1.0."""

import binascii
import struct
from pathlib import Path

import numpy as np

from ecg_devices.beats import RATE, counts


def write_ishne(path: Path, samples: np.ndarray | None = None) -> np.ndarray:
    """ISHNE 1.0: three leads, 5000 nV a count."""
    samples = counts()[:, [0, 1, 6]] if samples is None else samples
    body = bytearray(522 - 10)

    def put(at: int, layout: str, *values: object) -> None:
        struct.pack_into("<" + layout, body, at - 10, *values)

    put(10, "iiiih", 0, len(samples), 522, 522, 1)
    put(108, "20s", b"IS-2")
    put(128, "hh3h", 2, 0, 1, 2, 1950)
    put(138, "3h3h3h", 5, 6, 2012, 5, 6, 2012, 7, 8, 9)
    put(156, "h12h", 3, 5, 6, 11, *[-9] * 9)  # codes of I, II and V1
    put(182, "12h", *[1] * 3, *[-9] * 9)
    put(206, "12h", *[5000] * 3, *[-9] * 9)
    put(230, "h", 0)
    put(232, "40s", b"digital")
    put(272, "h", RATE)
    check = binascii.crc_hqx(bytes(body), 0xFFFF)
    path.write_bytes(
        b"ISHNE1.0" + struct.pack("<H", check) + body + samples.astype("<i2").tobytes()
    )
    return samples
