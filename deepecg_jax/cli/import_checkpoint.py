"""``deepecg import``: a published PyTorch checkpoint to a bundle."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from deepecg_jax.cli.console import console


class Kind(StrEnum):
    """Model families that can be imported."""

    wcr = "wcr"


def command(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            help="A .pt or .safetensors file with the published tensor names, or a folder that "
            "deepecg export --format torch wrote."
        ),
    ],
    kind: Annotated[Kind, typer.Option(help="wcr: fairseq-signals (DeepECG-SSL, ECG-FM).")],
    out: Annotated[Path, typer.Option(help="The bundle folder to write.")],
    signal: Annotated[
        str | None,
        typer.Option(
            help="Signals the model was trained with: deepecg (millivolts, 250 Hz, 10 s), ecg-fm "
            "(z-scored, 500 Hz, 5 s), or a signal.json. Default: what the checkpoint says."
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Names of a classifier's outputs: deepecg77, a JSON list, a CSV with a column "
            "name, or a text file with a name a line."
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="JSON with the model's config, where the checkpoint holds none."),
    ] = None,
) -> None:
    """Import published weights: all tensors fit, or nothing is written.

    No code from a file is ever run. The architecture is read off the tensors and checked against
    the config in the file; the fingerprint of the weights is printed and stored.
    """
    from deepecg_jax.errors import UserError
    from deepecg_jax.interop.import_checkpoint import import_wcr
    from deepecg_jax.interop.import_export import import_exported, is_exported

    if is_exported(checkpoint):
        if signal or labels or config:
            raise UserError(f"{checkpoint} says its signals, labels and config itself.")
        made = import_exported(checkpoint, out)
    else:
        made = import_wcr(checkpoint, out, signal=signal, labels=labels, config=config)
    model, contract = made.architecture.model, made.signal
    count = sum(value.size for value in made.weights.values())
    extra = sum(value.size for value in (made.pretraining or {}).values())
    console.print(
        model.summary
        + (f", {made.architecture.head.kind} head" if made.architecture.head else ", no head")
    )
    console.print(
        f"{count / 1e6:.3f} M parameters"
        + (f" + {extra / 1e6:.3f} M for pretraining" * bool(extra))
        + (f", {len(made.labels)} labels" if made.labels else "")
    )
    console.print(
        f"signals: {contract.sampling_rate:g} Hz, {contract.seconds:g} s, "
        + ("millivolts" if contract.scaling == "millivolt" else "each lead z-scored")
    )
    console.print(f"fingerprint {made.fingerprint}")
    console.print(f"{out}", markup=False)
