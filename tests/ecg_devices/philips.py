"""Philips XML, after the public SierraECG schema 1.03/1.04."""

import base64
import struct
from pathlib import Path

import numpy as np

from deepecg_jax.signals.contract import STANDARD_LEADS
from ecg_devices.beats import RATE, counts


def write_philips(
    path: Path, samples: np.ndarray | None = None, packed: bool = False, utf16: bool = False
) -> np.ndarray:
    """Philips SierraECG 1.04: 12 leads, 5 uV a count; ``packed``: XLI compression."""
    samples = counts() if samples is None else samples
    if packed:
        first, second = samples[:, 0].astype(int), samples[:, 1].astype(int)
        third = samples[:, 2].astype(int)
        stored = samples.astype(int).copy()  # III, aVR, aVL, aVF as rests of their prediction
        stored[:, 2] = second - first - third
        stored[:, 3] = -samples[:, 3].astype(int) - (first + second) // 2
        stored[:, 4] = (first - third) // 2 - samples[:, 4]
        stored[:, 5] = (second + third) // 2 - samples[:, 5]
        raw, how = b"".join(_xli(stored[:, i]) for i in range(12)), 'compression="XLI" '
    else:
        raw, how = samples.T.astype("<i2").tobytes(), ""
    text = (
        '<restingecgdata xmlns="http://www3.medical.philips.com"><documentinfo><documentname>x'
        "</documentname><documenttype>SierraECG</documenttype><documentversion>1.04"
        '</documentversion></documentinfo><dataacquisition date="2018-02-03" time="04:05:06">'
        "<machine>PageWriter TC</machine><signalcharacteristics><samplingrate>500</samplingrate>"
        "<resolution>5</resolution><acquisitiontype>STD-12</acquisitiontype>"
        "<numberchannelsvalid>12</numberchannelsvalid><numberchannelsallocated>12"
        "</numberchannelsallocated></signalcharacteristics></dataacquisition><patient>"
        "<generalpatientdata><patientid>PH-1</patientid><age><years>41</years></age>"
        "<sex>Female</sex></generalpatientdata></patient><interpretations><interpretation>"
        "<statement><leftstatement>Sinus rhythm</leftstatement></statement></interpretation>"
        f'</interpretations><waveforms><parsedwaveforms dataencoding="Base64" {how}'
        f'durationperchannel="{len(samples) * 1000 // RATE}" samplespersecond="{RATE}" '
        f'numberofleads="12" leadlabels="{" ".join(STANDARD_LEADS)}" resolution="5">'
        f"{base64.b64encode(raw).decode()}</parsedwaveforms></waveforms></restingecgdata>"
    )
    encoding = "utf-16" if utf16 else "utf-8"
    path.write_bytes(f'<?xml version="1.0" encoding="{encoding}"?>{text}'.encode(encoding))
    return samples


def _xli(column: np.ndarray) -> bytes:
    """One lead: second differences plus 64, high bytes before low bytes, LZW of 10 bits."""
    x = column.astype(int)
    bend = 2 * x[1:-1] - x[:-2] - x[2:]  # at samples 1 .. n - 2
    coded = np.concatenate([x[:2], bend[1:] + 64, [64]]).astype(np.int16).astype(np.uint16)
    packed = _lzw((coded >> 8).astype(np.uint8).tobytes() + (coded & 255).astype("u1").tobytes())
    return struct.pack("<iHh", len(packed), 0, int(bend[0])) + packed


def _lzw(data: bytes, bits: int = 10) -> bytes:
    table = {bytes([byte]): byte for byte in range(256)}
    codes, current = [], b""
    for byte in data:
        longer = current + bytes([byte])
        if longer in table:
            current = longer
            continue
        codes.append(table[current])
        if len(table) <= (1 << bits) - 2:
            table[longer] = len(table)
        current = bytes([byte])
    codes.append(table[current])
    text = "".join(f"{code:0{bits}b}" for code in codes)
    text += "1" * bits  # the code that ends a stream
    text += "0" * (-len(text) % 8)
    return bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8))
