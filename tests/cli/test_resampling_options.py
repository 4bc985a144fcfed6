"""The commands that resample offer the same options, declared once."""

import jax
import pytest
import typer.main
from typer.testing import CliRunner

from deepecg_jax.cli.main import app
from deepecg_jax.cli.resampling_options import Cluster, Interval, resampling
from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.resampling.resampling import Resampling

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
DEFAULTS = {"resamples": 1000, "seed": 0, "cluster": "patient_id"}
MORE = {"stratify": "none", "interval": "percentile", "devices": 1}


@pytest.mark.parametrize("name", ["evaluate", "compare", "sites", "survival", "privacy"])
def test_names_and_defaults(name) -> None:
    found = {p.name: p for p in COMMANDS[name].params}
    wanted = DEFAULTS | (MORE if name in ("evaluate", "compare") else {})
    for option, default in wanted.items():
        assert found[option].opts == [f"--{option}"]
        assert found[option].default == default
    least = 10 if name == "sites" else 1
    for option, low in (("resamples", least), ("seed", 0)):
        refused = CliRunner().invoke(app, [name, f"--{option}", str(low - 1)])
        assert refused.exit_code == 2
        said = " ".join(refused.output.replace("│", " ").split())
        assert option in said and f"greater than or equal to {low}" in said
    assert not set(MORE) & set(found) or name in ("evaluate", "compare")


def test_the_defaults_are_those_of_python() -> None:
    assert resampling(1000, 0, Cluster.patient_id) == Resampling()


def test_options_become_a_resampling() -> None:
    found = resampling(5, 2, Cluster.none, "site", Interval.bca, 0)
    everywhere = jax.local_devices() if len(jax.local_devices()) > 1 else None
    assert found == Resampling(5, 2, None, "site", "bca", everywhere)
    assert found.plain() == Resampling(5, 2, None)
    with pytest.raises(UserError, match="Sites does not use stratify \\(site\\)"):
        found.refuse("Sites", "stratify")
    found.plain().refuse("Sites", "stratify", "interval", "devices")
