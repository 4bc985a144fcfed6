"""How a job is started: here as a process of its own. (Through Slurm: `slurm`.)"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import forkserver, get_context, parent_process
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Protocol

from deepecg_jax.sweep.work.attempts import attempt
from deepecg_jax.sweep.work.job_folder import JobFolder

Commands = Sequence[Sequence[str]]
Execute = Callable[[Commands], int]
"""Runs ``deepecg`` commands one after another in this process, until one fails: its exit code."""
_IMPORTS = "deepecg_jax.sweep.work.child_imports"
_GPUS = "CUDA_VISIBLE_DEVICES"


class Handle(Protocol):
    """A job that was started."""

    def poll(self) -> int | None:
        """Its exit code, negative for a signal, or None while it runs."""
        ...

    def stop(self) -> None:
        """Ask it to save and end."""
        ...

    def kill(self) -> None:
        """End it now."""
        ...


class Launcher(Protocol):
    """Starts jobs."""

    ends_with_sweep: bool  # whether jobs are stopped with the sweep, or go on elsewhere

    def start(self, folder: JobFolder, place: int) -> Handle:
        """Start a job. ``place``: which of the jobs at a time it is, from 0."""
        ...


class Local:
    """Processes on this machine, forked by a server that imported what all of them need.

    They end with the sweep, even where that is killed: the next sweep then finds nobody at work.
    """

    ends_with_sweep = True

    def __init__(self, execute: Execute, at_once: int = 1):
        """``execute``: what a process does with its commands; ``at_once``: how many may run."""
        self._execute = execute
        self._gpus = _shared(os.environ.get(_GPUS), at_once)
        self._context = get_context("forkserver")
        self._context.set_forkserver_preload([_IMPORTS])
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # the sweep answers Ctrl-C for all
        try:
            forkserver.ensure_running()
        finally:
            signal.signal(signal.SIGINT, before)

    def start(self, folder: JobFolder, place: int) -> "LocalJob":
        """A new process; what it prints goes to the log."""
        environment = {_GPUS: self._gpus[place]} if self._gpus else {}
        process = self._context.Process(
            target=_child,
            args=(self._execute, folder.commands(), folder.path, folder.log, environment),
            name=folder.job.name,
        )
        process.start()
        return LocalJob(process)


class LocalJob:
    """A process of `Local`."""

    def __init__(self, process: BaseProcess):
        self._process = process

    def poll(self) -> int | None:
        """See `Handle`."""
        return self._process.exitcode

    def stop(self) -> None:
        """See `Handle`."""
        self._process.terminate()

    def kill(self) -> None:
        """See `Handle`."""
        self._process.kill()


def _child(
    execute: Execute,
    commands: Commands,
    folder: Path,
    log: Path,
    environment: Mapping[str, str],
) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ.update(environment)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    with attempt(folder):
        code = execute(commands)
    sys.exit(code)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGKILL)


def _shared(gpus: str | None, at_once: int) -> list[str]:
    """The visible GPUs, the same number for each job at a time; empty if there are too few."""
    names = [name for name in (gpus or "").split(",") if name]
    each = len(names) // at_once
    if at_once == 1 or not each:
        return []
    return [",".join(names[i * each : (i + 1) * each]) for i in range(at_once)]
