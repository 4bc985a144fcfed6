"""Signal and lead mask of a stored ECG, copied from its bytes into a batch.

`schema.decode` parses everything with protobuf, and copies the signal three times on the way. A
step reads two features only, and in an ECG of this schema both have a fixed size: the entries of
the message are walked over by their lengths, and the two are recognised by every byte before
their values. Whatever looks otherwise is left to `schema.decode`, which reads any such message
and says what is wrong with it.
"""

import numpy as np

from deepecg_jax.data.shards.schema import SIGNAL_SHAPE, decode

_SAMPLES = SIGNAL_SHAPE[0] * SIGNAL_SHAPE[1]
_LEADS = SIGNAL_SHAPE[1]
_FIELD_1, _FIELD_2, _FIELD_3 = (
    b"\x0a",
    b"\x12",
    b"\x1a",
)  # with a length, as messages and bytes have


def _varint(number: int) -> bytes:
    """Protobuf's form of a number: seven bits a byte, the lowest first, the last below 128."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def _entry_before_value(name: bytes, kind: bytes, size: int) -> bytes:
    """What stands in a map entry before a value of ``size`` bytes: its key, and three lengths."""
    innermost = _FIELD_1 + _varint(size)  # BytesList.value or Int64List.value
    feature = kind + _varint(len(innermost) + size) + innermost
    return _FIELD_1 + _varint(len(name)) + name + _FIELD_2 + _varint(len(feature) + size) + feature


_SIGNAL = _entry_before_value(b"signal", _FIELD_1, 2 * _SAMPLES)
_MASK = _entry_before_value(b"lead_mask", _FIELD_3, _LEADS)
_SIGNAL_ENTRY, _MASK_ENTRY = len(_SIGNAL) + 2 * _SAMPLES, len(_MASK) + _LEADS


def copy_ecg(record: bytes, signal: np.ndarray, lead_mask: np.ndarray) -> None:
    """Write an ECG to its row of a batch.

    Args:
        record: the bytes of a shard's record.
        signal: int16 (30000,), the row of (B, 2500, 12) microvolts in one piece.
        lead_mask: bool (12,), seen as uint8.

    Raises:
        ValueError: the bytes are not an example of this schema.
    """
    found = _places(record)
    if found is None:
        example = decode(record)
        signal[:] = example["signal"].reshape(-1)
        lead_mask[:] = example["lead_mask"]
    else:
        at, mask_at = found
        signal[:] = np.frombuffer(record, "<i2", _SAMPLES, at)
        lead_mask[:] = np.frombuffer(record, np.uint8, _LEADS, mask_at)


def _places(record: bytes) -> tuple[int, int] | None:
    """Where signal and lead mask begin, or None if the message is not laid out as usual."""
    signal_at = mask_at = 0
    try:
        at, end = _field(record, 0)
        if end != len(record):
            return None
        while not (signal_at and mask_at):
            size = record[at + 1]
            if size < 128 and record[at] == _FIELD_1[0]:  # most are that short
                at += 2
                end = at + size
            else:
                at, end = _field(record, at)
                size = end - at
            if size == _SIGNAL_ENTRY and record.startswith(_SIGNAL, at):
                signal_at = at + len(_SIGNAL)
            elif size == _MASK_ENTRY and record.startswith(_MASK, at):
                mask_at = at + len(_MASK)
            at = end
    except IndexError:  # the message ended, or is not of this kind
        return None
    # cut short, or numbers of several bytes, or others than 0 and 1
    if end > len(record) or max(record[mask_at : mask_at + _LEADS]) > 1:
        return None
    return signal_at, mask_at


def _field(record: bytes, at: int) -> tuple[int, int]:
    """Begin and end of what the field 1 at ``at`` holds; IndexError if another field is there."""
    if record[at] != _FIELD_1[0]:
        raise IndexError
    size = shift = 0
    while (byte := record[at := at + 1]) > 127:
        size |= (byte & 127) << shift
        shift += 7
    at += 1
    return at, at + (size | byte << shift)
