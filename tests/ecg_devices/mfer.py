"""MFER, after ISO 22077-1."""

import struct
from pathlib import Path

import numpy as np

from ecg_devices.beats import counts


def write_mfer(path: Path, samples: np.ndarray | None = None) -> np.ndarray:
    """MFER: 12 channels in one frame, 5 uV a count, little endian."""
    samples = counts() if samples is None else samples
    codes = (1, 2, 61, 62, 63, 64, 3, 4, 5, 6, 7, 8)

    def tag(number: int, value: bytes) -> bytes:
        size = len(value)
        length = bytes([size]) if size < 128 else b"\x84" + struct.pack(">I", size)
        return bytes([number]) + length + value

    out = bytes([0x40, 32]) + b"MFR Standard 12 leads ECG".ljust(32)
    out += tag(0x01, b"\1") + tag(0x82, b"MF-3\0") + tag(0x84, b"\2")
    out += tag(0x0B, struct.pack("<Bbi", 1, -3, 2))  # 2 ms
    out += tag(0x0C, struct.pack("<Bbi", 0, -6, 5))  # 5 uV
    out += tag(0x04, struct.pack("<I", len(samples))) + tag(0x05, b"\x0c")
    out += tag(0x06, struct.pack("<I", 1))
    for channel, code in enumerate(codes):
        inner = tag(0x09, struct.pack("<H", code))
        out += bytes([0x3F, channel, len(inner)]) + inner
    out += tag(0x1E, samples.T.astype("<i2").tobytes()) + b"\x80\x00"
    path.write_bytes(out)
    return samples
