"""Opening files that strangers made: only regular files, and only up to a stated size."""

import stat
from pathlib import Path

from deepecg_jax.signals.recording import SignalError

MAX_BYTES = 256 * 2**20
"""A file larger than this is refused before it is read: 12 leads of 16 bits at 500 Hz for 6 h."""

MAX_VALUES = 2**26
"""Samples times leads of one recording: 12 leads at 500 Hz for 3 h. Refused before allocation."""


def check_file(path: Path, max_bytes: int | None = MAX_BYTES) -> int:
    """Size of a regular file in bytes; ``max_bytes`` None where it may hold many recordings.

    SignalError (``read``): ``unreadable`` if it is absent or no regular file (a pipe would block
    the reader for ever), ``too_large`` beyond
    ``max_bytes``.
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise SignalError("read", "unreadable", f"{path} cannot be read ({error}).") from error
    if not stat.S_ISREG(status.st_mode):
        raise SignalError("read", "unreadable", f"{path} is not a file.")
    if max_bytes is not None and status.st_size > max_bytes:
        raise SignalError(
            "read",
            "too_large",
            f"{path} has {status.st_size / 2**20:.0f} MiB; an ECG file may have "
            f"{max_bytes // 2**20} MiB.",
        )
    return status.st_size


def check_values(path: Path, n_samples: int, n_leads: int) -> None:
    """SignalError (``too_large``) if a recording of this shape is beyond MAX_VALUES."""
    if n_samples * n_leads > MAX_VALUES:
        raise SignalError(
            "read",
            "too_large",
            f"{path} announces {n_samples} samples of {n_leads} leads; at most {MAX_VALUES} "
            "values are read from one file.",
        )


def read_bytes(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """The content of a regular file; SignalError as in :func:`check_file`."""
    check_file(path, max_bytes)
    try:
        return path.read_bytes()
    except OSError as error:
        raise SignalError("read", "unreadable", f"{path} cannot be read ({error}).") from error
