"""``deepecg sweep``: many runs as one experiment, one table."""

import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from deepecg_jax.sweep.planning.jobs import Plan
    from deepecg_jax.sweep.work.launchers import Launcher


class Launch(StrEnum):
    """Where jobs run."""

    local = "local"
    slurm = "slurm"
    print = "print"


def command(
    sweep: Annotated[
        str, typer.Argument(help="YAML sweep, such as configs/sweeps/objectives.yaml.")
    ],
    workdir: Annotated[Path, typer.Option(help="Folder of the sweep; the same command goes on.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            help="key=value for every run, such as data.dir=runs/data pretrain.train.steps=500, or "
            "of the sweep itself, such as seeds=[0,1,2]."
        ),
    ] = None,
    launch: Annotated[
        Launch,
        typer.Option(
            help="local: processes here; slurm: submit jobs (extra slurm); print: the commands, to "
            "run elsewhere, such as on a TPU. The same sweep then gathers what they left."
        ),
    ] = Launch.local,
    at_once: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Jobs at a time. Default: 1 here, all in Slurm. GPUs in CUDA_VISIBLE_DEVICES are "
            "shared out.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would run and how long; write nothing.")
    ] = False,
    baselines: Annotated[
        bool,
        typer.Option(
            "--baselines/--no-baselines",
            help="Add encoders of the same shapes from scratch, random frozen ones, age and sex.",
        ),
    ] = True,
) -> None:
    """Pretrain, fine-tune and evaluate many runs, and put them into one table and page.

    A sweep file, here two runs at two shares of the labels with three seeds:

    \b
      stages: {pretrain: configs/pretrain/wcr_tiny.yaml,
               finetune: configs/finetune/ptb_xl_superclass.yaml}
      set: {data.dir: runs/data, data.dataset: ptb_xl}
      runs:
        wcr: {}
        more_masked: {pretrain.objective.mask_share: 0.65}
      grid: {finetune.data.label_share: [0.1, 1.0]}
      seeds: [0, 1, 2]
      reference: wcr

    \b
      deepecg sweep my_sweep.yaml --workdir runs/my_sweep --dry-run
      deepecg sweep my_sweep.yaml --workdir runs/my_sweep

    A pretraining that several runs share is done once. Stopped or killed, the same command goes on;
    a run that fails stands in the table with its reason, and is tried again. Ends with
    WORKDIR/index.html, table.parquet (a row a run) and summary.parquet (a row over seeds).
    """
    import jax

    from deepecg_jax.cli.console import console
    from deepecg_jax.sweep.planning.config import read_sweep
    from deepecg_jax.sweep.planning.plan import make_plan
    from deepecg_jax.sweep.run import run_sweep, write_commands

    left_out = [] if baselines else ["baselines=false"]
    plan = make_plan(read_sweep(sweep, [*(overrides or []), *left_out]), workdir, sweep)
    if dry_run:
        _show(plan, at_once or 1)
        return
    # scoring is light, and an accelerator belongs to the jobs
    jax.config.update("jax_platforms", "cpu")
    if launch is Launch.print:
        for line in write_commands(plan):
            typer.echo(line)
        again = ["deepecg", "sweep", sweep, "--workdir", str(workdir), *(overrides or [])]
        again += [] if baselines else ["--no-baselines"]
        typer.echo(f"# then, for the table:  {shlex.join(again)}", err=True)
        return
    launcher, several = _launcher(launch, plan, at_once)
    result = run_sweep(plan, launcher, console, several)
    failed = sum(row.status == "failed" for row in result.outcomes)
    note = f"; {failed} of {len(result.outcomes)} failed, the table says why"
    console.print(
        f"done: {plan.folder / 'index.html'}{note if failed else ''}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _launcher(launch: Launch, plan: "Plan", at_once: int | None) -> "tuple[Launcher, int]":
    from deepecg_jax.cli.chain import run_commands
    from deepecg_jax.sweep.work.launchers import Local
    from deepecg_jax.sweep.work.slurm import Slurm

    if launch is Launch.local:
        return Local(run_commands, at_once or 1), at_once or 1
    program = (sys.executable, "-m", "deepecg_jax.cli.chain")
    slurm = Slurm(program, plan.folder / "slurm", plan.sweep.slurm)
    return slurm, at_once or len(plan.jobs)


def _show(plan: "Plan", at_once: int) -> None:
    from rich.markup import escape
    from rich.table import Table

    from deepecg_jax.cli.console import console
    from deepecg_jax.sweep.run import counted, described

    *jobs, (_, _, words) = described(plan, at_once)
    table = Table(box=None, pad_edge=False)
    for title in ("job", "stage", "state"):
        table.add_column(title, overflow="fold")
    for name, stage, state in jobs:
        table.add_row(escape(name), stage, escape(state))
    console.print(table)
    console.print(f"{counted(plan)}; {words}", highlight=False)
