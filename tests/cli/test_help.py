"""``--help`` of every command, as a person reads it."""

import pytest
import typer.main
from typer.testing import CliRunner

from deepecg_jax.cli.main import app

COMMANDS = sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def test_all_commands_are_there() -> None:
    assert {"build", "inspect", "profile", "pretrain", "evaluate", "label"} <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_printed_and_explains_every_argument(command) -> None:
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.exception
    assert "Usage:" in result.stdout
    found = typer.main.get_command(app).commands[command]  # type: ignore[attr-defined]
    for parameter in found.params:
        assert parameter.hidden or parameter.help, f"{command}: {parameter.name} is not explained"
