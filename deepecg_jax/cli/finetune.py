"""``deepecg finetune``: labelled ECGs to a classifier."""

from typing import Annotated

import typer

from deepecg_jax.cli.compiled_programs import keep_compiled_programs
from deepecg_jax.cli.several import Coordinator, JoinTimeout, Processes, ProcessId, joined


def command(
    config: Annotated[
        str, typer.Argument(help="YAML config, such as configs/finetune/ptb_xl_superclass.yaml.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="key=value, such as init_from=runs/pre mode=linear workdir=runs/ft."),
    ] = None,
    coordinator: Coordinator = None,
    processes: Processes = None,
    process_id: ProcessId = None,
    join_timeout: JoinTimeout = 300,
) -> None:
    """Fine-tune a classifier: all weights, a linear or an attentive probe, or from scratch."""
    from deepecg_jax.config import FinetuneConfig
    from deepecg_jax.config_files import load_config
    from deepecg_jax.training.finetune import finetune

    with joined(coordinator, processes, process_id, join_timeout) as console:
        keep_compiled_programs(console)
        finetune(load_config(FinetuneConfig, config, overrides or ()), console)
