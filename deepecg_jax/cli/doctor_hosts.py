"""``deepecg doctor --multihost``: do all processes come together, and how fast do they talk?"""

import socket
import time

from rich.console import Console
from rich.table import Table

from deepecg_jax.errors import UserError

_MEGABYTES = 16
_REPEATS = 5


def check_hosts(console: Console) -> None:
    """Print every process and the time of a sum over all devices; called by all of them.

    UserError if versions or numbers of devices differ, or if the sum is wrong.
    """
    import jax

    from deepecg_jax import __version__
    from deepecg_jax.training.processes.agreement import all_say, require_agreement

    own = {
        "host": socket.gethostname(),
        "devices": f"{jax.local_device_count()} x {jax.local_devices()[0].device_kind}",
    }
    versions = {"deepecg_jax": __version__, "jax": jax.__version__, "devices": own["devices"]}
    require_agreement("the installation", versions, "give all hosts the same software and devices")
    count = jax.process_count()
    title = f"{count} processes" if count > 1 else "1 process: no others were asked for"
    table = Table(title=title, title_justify="left")
    for column in ("process", "host", "devices"):
        table.add_column(column)
    for number, said in enumerate(all_say("doctor", own)):
        table.add_row(str(number), said["host"], said["devices"])
    console.print(table)
    seconds = _sum_over_devices()
    console.print(
        f"a sum of {_MEGABYTES} MB over {jax.device_count()} device(s): {1000 * seconds:.1f} ms"
    )


def _sum_over_devices() -> float:
    """Fastest of a few all-reduces, s."""
    import jax
    import numpy as np

    from deepecg_jax.config import MeshConfig
    from deepecg_jax.training.mesh import batch_rows, make_mesh, on_devices, replicated

    mesh = make_mesh(MeshConfig())
    rows = batch_rows(mesh, mesh.size)
    numbers = np.broadcast_to(rows[:, None].astype(np.float32), (len(rows), _MEGABYTES * 250_000))
    batch = on_devices({"x": numbers}, mesh, mesh.size)
    total = jax.jit(lambda batch: batch["x"].sum(0), out_shardings=replicated(mesh))
    expected = mesh.size * (mesh.size - 1) / 2
    if not np.all(np.asarray(total(batch)) == expected):
        raise UserError(
            "the sum over all devices is wrong; the network or a device is broken: run again on "
            "fewer hosts to find which."
        )
    times = []
    for _ in range(_REPEATS):
        before = time.perf_counter()
        jax.block_until_ready(total(batch))
        times.append(time.perf_counter() - before)
    return min(times)
