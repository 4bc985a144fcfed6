"""``deepecg profile``."""

import json

from typer.testing import CliRunner

from deepecg_jax.cli.main import app
from deepecg_jax.data.building.build import build
from deepecg_jax.errors import UserError


def test_a_profile_is_written_and_shown(tmp_path) -> None:
    build("synthetic", tmp_path, options={"n": "80"})
    out = tmp_path / "new" / "p.json"
    done = CliRunner().invoke(
        app, ["profile", str(tmp_path / "synthetic"), "--out", str(out), "--sample", "40"]
    )
    assert done.exit_code == 0, done.output
    values = json.loads(out.read_text())
    assert values["provenance"]["n_ecgs"] == 40 == values["overall"]["n_ecgs"]
    assert [site["site"] for site in values["sites"]] == ["synthetic"]
    version = CliRunner().invoke(
        app, ["profile", str(tmp_path / "synthetic" / "1.0.0"), "--out", str(tmp_path / "q.json")]
    )
    assert version.exit_code == 0 and (tmp_path / "q.json").is_file()


def test_what_is_no_data_set(tmp_path) -> None:
    done = CliRunner().invoke(
        app, ["profile", str(tmp_path / "x"), "--out", str(tmp_path / "p.json")]
    )
    assert isinstance(done.exception, UserError) and "not a folder" in str(done.exception)
    assert not (tmp_path / "p.json").exists()
