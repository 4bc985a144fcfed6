"""``deepecg pretrain``: unlabelled ECGs to an encoder."""

from typing import Annotated

import typer

from deepecg_jax.cli.compiled_programs import keep_compiled_programs
from deepecg_jax.cli.several import Coordinator, JoinTimeout, Processes, ProcessId, joined


def command(
    config: Annotated[
        str, typer.Argument(help="YAML config, such as configs/pretrain/wcr_small.yaml.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="key=value, such as data.dir=runs/data workdir=runs/pre."),
    ] = None,
    coordinator: Coordinator = None,
    processes: Processes = None,
    process_id: ProcessId = None,
    join_timeout: JoinTimeout = 300,
) -> None:
    """Pretrain an encoder. The same command again resumes; a finished run says so."""
    from deepecg_jax.config import PretrainConfig
    from deepecg_jax.config_files import load_config
    from deepecg_jax.training.pretrain import pretrain

    with joined(coordinator, processes, process_id, join_timeout) as console:
        keep_compiled_programs(console)
        pretrain(load_config(PretrainConfig, config, overrides or ()), console)
