"""``deepecg inspect``: what a data set holds, or what was understood of one ECG file."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from deepecg_jax.cli.console import console
from deepecg_jax.cli.summary_table import print_summary
from deepecg_jax.errors import UserError


def command(
    path: Annotated[
        Path, typer.Argument(help="A data set (DATA_DIR/NAME, or with /VERSION) or one ECG file.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="The drawing of an ECG file; default: ./RECORD.png.")
    ] = None,
) -> None:
    """Describe a built data set, or read one ECG file, draw it, and say what was understood."""
    # here, not above: every command imports this module, and scipy takes a third of a second
    from deepecg_jax.cli.inspect_file import inspect_file
    from deepecg_jax.signals.reading.hdf5 import is_hdf5

    if path.is_dir():
        _dataset(path)
    elif path.is_file() or path.with_name(path.name + ".hea").is_file() or is_hdf5(path):
        inspect_file(path, out)
    else:
        raise UserError(f"{path} is neither a folder nor an ECG file.")


def _dataset(path: Path) -> None:
    from deepecg_jax.data.shards.index import REBUILD, SUMMARY_FILE, read_rejects
    from deepecg_jax.data.shards.split import dataset_folder, open_split
    from deepecg_jax.files import read_json

    path = path.resolve()
    if (path / "dataset_info.json").is_file():
        path, version = path.parent, path.name
    else:
        version = None
    folder = dataset_folder(path.parent, path.name, version)
    summary = read_json(folder / SUMMARY_FILE, remedy=REBUILD)
    # Opening checks the shards against index, labels and contract.
    opened = [open_split(path.parent, path.name, split, folder.name) for split in summary["splits"]]
    print_summary(summary, folder)
    contract = opened[0].contract
    console.print(
        f"signal: {contract.n_samples} samples ({contract.seconds:g} s at "
        f"{contract.sampling_rate:g} Hz) x {' '.join(contract.leads)}, after "
        f"conversion {contract.scaling_in_words} (scaling {contract.scaling})",
        highlight=False,
    )
    rejects = read_rejects(folder)
    if rejects.num_rows:
        table = Table("path", "reason", title="first rejects", title_justify="left")
        for row in rejects.slice(0, 5).to_pylist():
            table.add_row(escape(row["path"]), escape(f"{row['reason']}: {row['message']}"))
        console.print(table)
