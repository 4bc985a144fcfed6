"""``deepecg``: the commands, and how errors become sentences and exit codes."""

import os
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Any

import typer

from deepecg_jax import __version__
from deepecg_jax.cli.failing import explain

HELP = """Pretrain, fine-tune, evaluate and publish 12-lead ECG foundation models.

A first look, without any data:  [bold]deepecg quickstart[/bold]

The usual way:  build -> pretrain -> finetune -> predict -> evaluate -> export

Exit codes: 0 done, 1 unexpected failure, 2 bad input or usage, 3 stopped by a signal after saving
(the same command resumes)."""

# name -> module with a function `command`, in the order of the help page
COMMANDS: dict[str, str] = {
    "quickstart": "deepecg_jax.cli.quickstart",
    "build": "deepecg_jax.cli.build",
    "merge": "deepecg_jax.cli.merge",
    "inspect": "deepecg_jax.cli.inspect",
    "profile": "deepecg_jax.cli.profile",
    "plan": "deepecg_jax.cli.plan",
    "pretrain": "deepecg_jax.cli.pretrain",
    "finetune": "deepecg_jax.cli.finetune",
    "sweep": "deepecg_jax.cli.sweep",
    "predict": "deepecg_jax.cli.predict",
    "embed": "deepecg_jax.cli.embed",
    "evaluate": "deepecg_jax.cli.evaluate",
    "compare": "deepecg_jax.cli.compare",
    "calibrate": "deepecg_jax.cli.calibrate",
    "survival": "deepecg_jax.cli.survival",
    "sites": "deepecg_jax.cli.sites",
    "privacy": "deepecg_jax.cli.privacy",
    "cost": "deepecg_jax.cli.cost",
    "export": "deepecg_jax.cli.export",
    "import": "deepecg_jax.cli.import_checkpoint",
    "label": "deepecg_jax.cli.label",
    "train-labeller": "deepecg_jax.cli.train_labeller",
    "doctor": "deepecg_jax.cli.doctor",
}

app = typer.Typer(
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"deepecg_jax {__version__}")
        raise typer.Exit


@app.callback()
def _global_options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options before the command."""


def _register() -> None:
    for name, module in COMMANDS.items():
        function: Callable[..., Any] = import_module(module).command
        app.command(name)(function)


_register()


_CTRL_C = 130  # typer's exit code for it, as shells have


def main() -> None:
    """Entry point of the ``deepecg`` script."""
    # a flag that may stand anywhere: people add it at the end of a command that failed
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        code = app(arguments, standalone_mode=False)
    except typer.Abort:
        sys.exit(1)
    except (Exception, KeyboardInterrupt) as error:
        text, code = explain(error)
        print(text, file=sys.stderr)
    code = code if isinstance(code, int) else 0  # what typer.Exit carried, or nothing
    if code == _CTRL_C:
        print("interrupted before anything was saved", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
