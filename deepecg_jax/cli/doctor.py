"""``deepecg doctor``: what this installation is and can do."""

import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from deepecg_jax.cli.console import console
from deepecg_jax.cli.extras import EXTRAS
from deepecg_jax.cli.several import Coordinator, JoinTimeout, Processes, ProcessId, joined

CORE = (
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "grain",
    "tensorflow-datasets",
    "numpy",
    "scipy",
    "wfdb",
)


def command(
    multihost: Annotated[
        bool,
        typer.Option(
            "--multihost",
            help="Join the other processes, as a training would, and time a sum over all devices.",
            rich_help_panel="Several processes",
        ),
    ] = False,
    coordinator: Coordinator = None,
    processes: Processes = None,
    process_id: ProcessId = None,
    join_timeout: JoinTimeout = 300,
) -> None:
    """Print versions, devices, and which optional parts are missing."""
    if multihost:
        from deepecg_jax.cli.doctor_hosts import check_hosts

        with joined(coordinator, processes, process_id, join_timeout) as shown:
            check_hosts(shown)
        return
    import jax
    from rich.table import Table

    import deepecg_jax
    from deepecg_jax.resources import builders_dir, configs_dir

    table = Table(title=f"deepecg_jax {deepecg_jax.__version__}", title_justify="left")
    table.add_column("part")
    table.add_column("found")
    table.add_row("Python", f"{platform.python_version()} on {platform.platform()}")
    for name in CORE:
        table.add_row(name, _version(name) or "[red]missing[/red]")
    for extra in EXTRAS:
        versions = {name: _version(name) for name in extra.packages}
        missing = [name for name, found in versions.items() if found is None]
        if missing:
            said = f"{', '.join(missing)} not installed; for {extra.use}"
        else:
            said = ", ".join(f"{name} {found}" for name, found in versions.items())
        table.add_row(f"deepecg_jax\\[{extra.name}]", said)
    devices = jax.devices()
    table.add_row("devices", f"{len(devices)} x {devices[0].device_kind} ({jax.default_backend()})")
    table.add_row("processes", str(jax.process_count()))
    free = shutil.disk_usage(".").free / 1e9
    table.add_row(
        "free disk here", f"{free:.0f} GB, about {int(free * 1e9 / 6.5e4):,} ECGs as shards"
    )
    table.add_row("configs", str(configs_dir()))
    table.add_row(
        "builders", ", ".join(p.name for p in sorted(builders_dir().iterdir()) if p.is_dir())
    )
    console.print(table)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
