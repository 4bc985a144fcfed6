"""SCP-ECG, after EN 1064."""

import binascii
import struct
from pathlib import Path

import numpy as np

from ecg_devices.beats import RATE, counts


def write_scp(path: Path, samples: np.ndarray | None = None) -> np.ndarray:
    """SCP-ECG 2.0: sections 0, 1, 3, 6 and 8, amplitudes of 16 bits, 5000 nV a count."""
    samples = counts() if samples is None else samples
    codes = (1, 2, 61, 62, 63, 64, 3, 4, 5, 6, 7, 8)

    def section(number: int, body: bytes) -> bytes:
        body += b"\0" * (len(body) % 2)
        reserved = b"SCPECG" if number == 0 else b"\0" * 6
        rest = struct.pack("<HIBB", number, 16 + len(body), 20, 20) + reserved + body
        return struct.pack("<H", binascii.crc_hqx(rest, 0xFFFF)) + rest

    def tag(number: int, value: bytes) -> bytes:
        return struct.pack("<BH", number, len(value)) + value

    one = tag(2, b"SCP-5\0") + tag(4, struct.pack("<HB", 52, 1)) + tag(8, b"\2")
    one += tag(16, b"Ward 3\0") + tag(25, struct.pack("<HBB", 2011, 12, 13))
    one += tag(26, bytes([7, 8, 9])) + tag(255, b"")
    n = len(samples)
    three = bytes([12, 0x04 | 12 << 3 & 0xFF]) + b"".join(
        struct.pack("<IIB", 1, n, code) for code in codes
    )
    columns = [samples[:, i].astype("<i2").tobytes() for i in range(12)]
    six = struct.pack("<HHBB", 5000, 1_000_000 // RATE, 0, 0)
    six += struct.pack("<12H", *map(len, columns)) + b"".join(columns)
    statement = b"Sinus rhythm\0"
    eight = b"\0" + struct.pack("<HBB", 2011, 12, 13) + bytes([7, 8, 9, 1])
    eight += struct.pack("<BH", 1, len(statement)) + statement
    sections = {1: section(1, one), 3: section(3, three), 6: section(6, six), 8: section(8, eight)}
    pointers, at = [], 7 + 16 + 10 * 12
    for number in range(1, 12):
        size = len(sections.get(number, b""))
        pointers.append(struct.pack("<HII", number, size, at if size else 0))
        at += size
    zero = struct.pack("<HII", 0, 16 + 120, 7) + b"".join(pointers)
    record = struct.pack("<I", at - 1) + section(0, zero) + b"".join(sections.values())
    path.write_bytes(struct.pack("<H", binascii.crc_hqx(record, 0xFFFF)) + record)
    return samples
