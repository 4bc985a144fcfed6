"""``deepecg import``: a published PyTorch checkpoint to a bundle."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from deepecg_jax.cli.console import console


class Kind(StrEnum):
    """Model families that can be imported."""

    wcr = "wcr"
    efficientnet = "efficientnet"


def command(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            help="A .pt or .safetensors file with the published tensor names, or a folder that "
            "deepecg export --format torch wrote."
        ),
    ],
    kind: Annotated[
        Kind,
        typer.Option(
            help="wcr: fairseq-signals (DeepECG-SSL, ECG-FM). efficientnet: DeepECG-SL, as a state "
            "dict or as the TorchScript archive that is published."
        ),
    ],
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
        typer.Option(help="wcr: JSON with the model's config, where the checkpoint holds none."),
    ] = None,
    input_scale: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="efficientnet: factor on millivolts before the network. Default: 1 / 0.0048, as "
            "the published weights want.",
        ),
    ] = None,
    strides: Annotated[
        str | None,
        typer.Option(help="efficientnet: strides of the stages, such as 1,1,2,2,2,2, if unusual."),
    ] = None,
    trust_pickle: Annotated[
        bool,
        typer.Option(
            "--trust-pickle",
            help="efficientnet: also take a whole module saved with torch.save(module). This RUNS "
            "CODE from the file: only for files whose maker you know.",
        ),
    ] = False,
) -> None:
    """Import published weights: all tensors fit, or nothing is written.

    No code from a file is run (unless --trust-pickle says so). The architecture is read off the
    tensors and checked against the config in the file; the fingerprint of the weights is printed
    and stored.
    """
    from deepecg_jax.errors import UserError
    from deepecg_jax.interop.exported_folder import import_exported, is_exported
    from deepecg_jax.interop.import_checkpoint import import_efficientnet, import_wcr

    if is_exported(checkpoint):
        if signal or labels or config:
            raise UserError(f"{checkpoint} says its signals, labels and config itself.")
        made = import_exported(checkpoint, out)
    elif kind is Kind.efficientnet:
        if config is not None:
            raise UserError("--config belongs to --kind wcr; an EfficientNet's tensors say all.")
        given = {} if input_scale is None else {"input_scale": input_scale}
        made = import_efficientnet(
            checkpoint,
            out,
            signal=signal,
            labels=labels,
            strides=_numbers(strides),
            trust_pickle=trust_pickle,
            **given,
        )
    else:
        if trust_pickle or strides or input_scale is not None:
            raise UserError(
                "--trust-pickle, --strides and --input-scale belong to --kind efficientnet."
            )
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
        + (f" + {extra / 1e6:.3f} M for pretraining" if extra else "")
        + (f", {len(made.labels)} labels" if made.labels else "")
    )
    console.print(
        f"signals: {contract.sampling_rate:g} Hz, {contract.seconds:g} s, "
        f"{contract.scaling_in_words}"
    )
    console.print(f"fingerprint {made.fingerprint}")
    console.print(f"{out}", markup=False)


def _numbers(text: str | None) -> list[int] | None:
    from deepecg_jax.errors import UserError

    try:
        return None if text is None else [int(part) for part in text.split(",")]
    except ValueError as error:
        raise UserError(f"--strides {text} is not a list such as 1,1,2,2,2,2.") from error
