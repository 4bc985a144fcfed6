"""``deepecg pretrain``: unlabelled ECGs to an encoder."""

from typing import Annotated

import typer

from deepecg_jax.cli.console import console


def command(
    config: Annotated[
        str, typer.Argument(help="YAML config, such as configs/pretrain/wcr_small.yaml.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="key=value, such as data.dir=runs/data workdir=runs/pre."),
    ] = None,
) -> None:
    """Pretrain an encoder. The same command again resumes; a finished run says so."""
    from deepecg_jax.config import PretrainConfig
    from deepecg_jax.config_files import load_config
    from deepecg_jax.training.pretrain import pretrain

    pretrain(load_config(PretrainConfig, config, overrides or ()), console)
