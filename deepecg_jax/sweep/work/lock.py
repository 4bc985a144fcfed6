"""One process at a time in a folder, by a lock that the system drops with the process."""

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deepecg_jax.errors import UserError

_POLL_SECONDS = 0.1


@contextmanager
def alone(folder: Path, what: str, patience: float = 0.0) -> Iterator[None]:
    """Make the folder and hold its lock until the block ends.

    Args:
        folder: what nobody else may use meanwhile.
        what: what sentences call the holder, such as "a sweep".
        patience: seconds to wait for a holder to end.

    Raises:
        UserError: another process holds it; its id is named.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("a+", encoding="utf-8")
    except OSError as error:
        raise UserError(f"the folder {folder} cannot be used: {error}.") from error
    with file:
        end = time.monotonic() + patience
        while not _locked(file.fileno()):
            if time.monotonic() >= end:
                file.seek(0)
                holder = file.read().strip() or "another process"
                raise UserError(
                    f"{what} of {folder} is running already ({holder}); wait until it has ended, "
                    "or stop it."
                )
            time.sleep(_POLL_SECONDS)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
