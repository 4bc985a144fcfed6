"""``deepecg finetune``: labelled ECGs to a classifier."""

from typing import Annotated

import typer

from deepecg_jax.cli.console import console


def command(
    config: Annotated[
        str, typer.Argument(help="YAML config, such as configs/finetune/ptb_xl_superclass.yaml.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="key=value, such as init_from=runs/pre mode=linear workdir=runs/ft."),
    ] = None,
) -> None:
    """Fine-tune a classifier: all weights, a linear or an attentive probe, or from scratch."""
    from deepecg_jax.config import FinetuneConfig
    from deepecg_jax.config_files import load_config
    from deepecg_jax.training.finetune import finetune

    finetune(load_config(FinetuneConfig, config, overrides or ()), console)
