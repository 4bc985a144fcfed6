"""``deepecg export``: hand a bundle to other runtimes."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from deepecg_jax.cli.console import console


class Layout(StrEnum):
    """Files of a PyTorch export."""

    native = "native"
    fairseq = "fairseq"


class ExportFormat(StrEnum):
    """Where a bundle can go."""

    torch = "torch"
    onnx = "onnx"
    stablehlo = "stablehlo"


def command(
    bundle: Annotated[Path, typer.Argument(help="A bundle folder or a finished run.")],
    format: Annotated[
        ExportFormat, typer.Option("--format", help="The runtime that will use the model.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The folder to write.")],
    layout: Annotated[
        Layout,
        typer.Option(help="--format torch: fairseq adds checkpoint.pt as fairseq-signals has it."),
    ] = Layout.native,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify/--no-verify",
            help="Run both sides on realistic ECGs and refuse an export that differs.",
        ),
    ] = True,
) -> None:
    """Export a bundle to PyTorch, ONNX or StableHLO, with a parity certificate."""
    from functools import partial

    from deepecg_jax.errors import UserError

    if layout is Layout.fairseq and format is not ExportFormat.torch:
        raise UserError(f"--layout fairseq is a PyTorch file; it does not go with {format.value}.")
    if format is ExportFormat.torch:
        from deepecg_jax.interop.torch_export import export_torch

        export = partial(export_torch, layout=layout.value)
    elif format is ExportFormat.onnx:
        from deepecg_jax.interop.onnx_export import export_onnx as export
    else:
        from deepecg_jax.interop.stablehlo_export import export_stablehlo as export
    parity = export(bundle, out, verify=verify)
    if parity["verified"]:
        console.print(
            f"{out}: {format.value}, largest difference {parity['max_abs_difference']:.2e} in the "
            f"{parity['output']} of {parity['n_records']} ECGs (bound {parity['bound']:g})."
        )
    else:
        console.print(f"{out}: {format.value}, not compared with the bundle (--no-verify).")
