"""Several processes that train one model: how they find each other.

Each process drives its own devices and reads its own rows of every batch; JAX makes one program of
them. Process 0 runs the coordination service that the others connect to.
"""

import os
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from glob import glob
from importlib.util import find_spec
from typing import Any

import jax

from deepecg_jax.errors import UserError

JOIN_SECONDS = 300
_GRACE_SECONDS = 60  # JAX ends the process when its own time is up; ours is up first


@dataclass(frozen=True)
class Place:
    """Where a process stands among the others; what is None is found out, or it is alone.

    coordinator: ``HOST:PORT`` of process 0; the port must be free there and open to the others.
    processes: how many there are; 1 to be alone even inside a cluster's job.
    process_id: 0 to ``processes - 1``.
    timeout: seconds to wait for the others.
    """

    coordinator: str | None = None
    processes: int | None = None
    process_id: int | None = None
    timeout: int = JOIN_SECONDS


def join(place: Place) -> int:
    """Connect with the other processes, before JAX is used; returns how many there are.

    Under Slurm, Open MPI and on Cloud TPU the place is found out as `jax.distributed.initialize`
    does. UserError for a place that cannot be, or for a port that cannot be opened. When the time
    is up, this process ends with a sentence and exit code 2 (JAX itself would abort it).
    """
    cluster = find_cluster(os.environ)
    given = (place.coordinator, place.processes, place.process_id)
    if place.processes == 1 or (cluster is None and given == (None, None, None)):
        return 1
    _check(place, cluster)
    if place.process_id == 0 and place.coordinator is not None:
        _require_free(place.coordinator)
    detection = "deactivate" if None not in given and cluster is None else None
    with _deadline(place):
        try:
            jax.distributed.initialize(
                place.coordinator,
                place.processes,
                place.process_id,
                cluster_detection_method=detection,
                initialization_timeout=place.timeout + _GRACE_SECONDS,
            )
        except (RuntimeError, ValueError, OSError, ImportError) as error:
            first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UserError(
                f"cannot join the other processes ({first_line}); to train on this host alone "
                "give --processes 1."
            ) from error
        return jax.process_count()  # the first look at the devices, which is collective too


def leave() -> None:
    """Part in order: waits until every process is here."""
    jax.distributed.shutdown()


def is_first() -> bool:
    """Whether this process prints, and writes what is written once."""
    return jax.process_index() == 0


def coordination_client() -> Any:
    """The key-value store and barriers that the processes share.

    JAX has no public name for it; Orbax reaches it in the same way.
    """
    from jax._src import distributed

    return distributed.global_state.client


def find_cluster(environment: Mapping[str, str]) -> str | None:
    """Name of what started several processes here and tells JAX their places, or None."""
    if _above_one(environment.get("SLURM_STEP_NUM_TASKS")):
        return "Slurm"
    if _above_one(environment.get("OMPI_COMM_WORLD_SIZE")):
        return "Open MPI"
    if "MEGASCALE_COORDINATOR_ADDRESS" in environment:
        return "Cloud TPU"
    for name in ("TPU_PROCESS_ADDRESSES", "TPU_WORKER_HOSTNAMES"):
        if "," in environment.get(name, ""):
            return "Cloud TPU"
    # a TPU VM tells its neighbours through its metadata server, which JAX asks
    asked = "tpu" in (environment.get("JAX_PLATFORMS") or "tpu")
    chips = glob("/dev/accel[0-9]*") or glob("/dev/vfio/[0-9]*")
    if asked and chips and find_spec("libtpu") and "TPU_SKIP_MDS_QUERY" not in environment:
        return "Cloud TPU"
    return None


def _above_one(value: str | None) -> bool:
    return value is not None and value.isdigit() and int(value) > 1


def _check(place: Place, cluster: str | None) -> None:
    number, count = place.process_id, place.processes
    coordinator = place.coordinator or os.environ.get("JAX_COORDINATOR_ADDRESS")
    if cluster is None and None in (coordinator, count, number):
        raise UserError(
            "--coordinator HOST:PORT, --processes N and --process-id I belong together; only under "
            "Slurm, Open MPI and on Cloud TPU are they found out, and none of these is here."
        )
    if coordinator is not None and not coordinator.rpartition(":")[2].isdigit():
        raise UserError(f"--coordinator {coordinator} has no port; give HOST:PORT of process 0.")
    if count is not None and count < 1:
        raise UserError(f"--processes {count} must be 1 or more.")
    if number is not None and (number < 0 or (count is not None and number >= count)):
        last = "the number of processes - 1" if count is None else str(count - 1)
        raise UserError(f"--process-id {number} must be from 0 to {last}.")


def _require_free(coordinator: str) -> None:
    """UserError if the port of process 0 is in use here: the runtime would crash."""
    port = int(coordinator.rpartition(":")[2])
    with socket.socket() as probe:
        # a port that was in use a moment ago may be taken again
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except (OSError, OverflowError) as error:
            raise UserError(
                f"process 0 cannot open port {port} ({error}); give all processes another in "
                "--coordinator."
            ) from error


@contextmanager
def _deadline(place: Place) -> Iterator[None]:
    """End this process with a sentence when the block takes longer than ``place.timeout``."""

    def expire() -> None:
        print(f"error: {_why_nobody_came(place)}", file=sys.stderr, flush=True)
        os._exit(UserError.exit_code)  # the main thread waits inside the runtime

    timer = threading.Timer(place.timeout, expire)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _why_nobody_came(place: Place) -> str:
    from jax._src import distributed

    address = place.coordinator or distributed.global_state.coordinator_address or "?"
    host, _, port = address.rpartition(":")
    waited = f"this process waited {place.timeout} s for the others"
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=5):
            pass
    except (OSError, ValueError):
        return (
            f"{waited}, and nothing answers at {address}; check that process 0 runs there, and "
            f"that the firewall lets TCP port {port} through between the hosts (Cloud TPU uses "
            "8482 since jax 0.8.1; JAX_COORDINATOR_PORT or --coordinator choose another)."
        )
    return (
        f"{waited}; process 0 answers at {address}, but not all processes have come to it: start "
        "each one with the same --processes and its own --process-id, and check that the firewall "
        f"lets TCP port {port} through from every host."
    )
