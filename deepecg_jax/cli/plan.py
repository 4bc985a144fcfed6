"""``deepecg plan``: what a pretraining needs and takes on a TPU slice, before one is rented."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    config: Annotated[
        str,
        typer.Argument(
            help="YAML config of a pretraining, such as configs/pretrain/wcr_base.yaml."
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="key=value, such as train.global_batch=4096 mesh.fsdp=4."),
    ] = None,
    topology: Annotated[
        list[str] | None,
        typer.Option(
            "--topology",
            "--topologies",
            help="Slice: chip (v4, v5e, v5p, v6e) and shape in chips, such as v5e:4x4, v5p:4x4x4, "
            "or v5e:16x16*2 for two slices. Several give a table of costs: "
            "--topologies v5e:4x4 v6e:2x4.",
        ),
    ] = None,
    slices: Annotated[int, typer.Option(min=1, help="Slices of that shape.")] = 1,
    largest_batch: Annotated[
        bool,
        typer.Option(
            "--largest-batch",
            help="Look for the largest train.global_batch that fits, and plan with it.",
        ),
    ] = False,
    prices: Annotated[
        Path | None,
        typer.Option(
            help="YAML or JSON with US dollars a chip and hour, such as `v5e: 1.20`; the prices "
            "that come with the package are list prices, an assumption."
        ),
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", help="Also write the plan as JSON (of several: plans: [..])."),
    ] = None,
) -> None:
    """Compile the train step of a config for a TPU slice, with no TPU attached.

    Says whether it fits, bytes a device by kind, the time of a step and MFU by the compiler's own
    estimates, collectives, the most expensive lines of code, and what a million ECGs cost. Nothing
    is run and no data is read. A tiny model takes half a minute, base on a large slice many
    minutes; that it does not fit is known in half a minute. Needs pip install 'deepecg_jax\\[tpu]'.
    """
    from deepecg_jax.plan.topology import prepare

    prepare()  # before anything imports jax
    from deepecg_jax.cli.compile_progress import compile_progress
    from deepecg_jax.cli.console import console
    from deepecg_jax.errors import UserError
    from deepecg_jax.files import write_json
    from deepecg_jax.plan.plan import Plan, plan, plan_largest
    from deepecg_jax.plan.prices import read_prices
    from deepecg_jax.plan.report import compared, shown
    from deepecg_jax.plan.settings import pretraining_config
    from deepecg_jax.plan.topology import EXAMPLES, topology_named

    # `--topologies A B C`: what follows the first and is no key=value
    more = [one for one in overrides or [] if "=" not in one] if topology else []
    names = [*(topology or []), *more]
    if not names:
        raise UserError(f"name a slice to plan for with --topology, such as {EXAMPLES}.")
    found = [topology_named(name, slices) for name in dict.fromkeys(names)]
    settings = pretraining_config(config, [one for one in overrides or [] if "=" in one])
    costs = read_prices(prices)
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
    make = plan_largest if largest_batch else plan
    made: list[Plan] = []
    for one in found:
        made.append(make(settings, one, costs.get(one.chip.name), compile_progress))
        if json_file is not None:  # after each: the next may take long
            several = {"schema": 1, "plans": made}
            write_json(json_file, made[0] if len(found) == 1 else several, strict=True)
        console.print(shown(made[-1]), highlight=False)
    if len(made) > 1:
        console.print(compared(made))
