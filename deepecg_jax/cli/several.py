"""Options of the commands that several processes may run together."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console

from deepecg_jax.cli.console import console
from deepecg_jax.cli.failing import explain
from deepecg_jax.errors import StoppedBySignal

_PANEL = "Several processes"
Coordinator = Annotated[
    str | None,
    typer.Option(
        "--coordinator",
        envvar=["DEEPECG_COORDINATOR", "JAX_COORDINATOR_ADDRESS"],
        help="HOST:PORT of process 0, the same for all; not needed under Slurm, Open MPI and on "
        "Cloud TPU.",
        rich_help_panel=_PANEL,
    ),
]
Processes = Annotated[
    int | None,
    typer.Option(
        "--processes",
        envvar="DEEPECG_PROCESSES",
        help="How many processes train together; 1: this one alone, also inside a cluster's job.",
        rich_help_panel=_PANEL,
    ),
]
ProcessId = Annotated[
    int | None,
    typer.Option(
        "--process-id",
        envvar="DEEPECG_PROCESS_ID",
        help="Number of this process, from 0.",
        rich_help_panel=_PANEL,
    ),
]
JoinTimeout = Annotated[
    int,
    typer.Option(
        "--join-timeout",
        envvar="DEEPECG_JOIN_TIMEOUT",
        min=1,
        help="Seconds to wait for the other processes.",
        rich_help_panel=_PANEL,
    ),
]


@contextmanager
def joined(
    coordinator: str | None, processes: int | None, process_id: int | None, timeout: int
) -> Iterator[Console]:
    """Join the other processes, if there are any; gives a console that only process 0 prints on.

    An error in one process ends them all. Stopped by a signal, all of them leave in order.
    """
    from deepecg_jax.training.processes.failures import shared_fate
    from deepecg_jax.training.processes.hosts import Place, is_first, join, leave

    if join(Place(coordinator, processes, process_id, timeout)) == 1:
        yield console
        return
    first, stopped = is_first(), None
    with shared_fate(explain):
        try:
            yield console if first else Console(quiet=True)
        except StoppedBySignal as stop:
            stopped = stop
    leave()
    if stopped is not None:
        raise stopped if first else typer.Exit(stopped.exit_code)
