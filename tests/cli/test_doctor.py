"""``deepecg doctor`` and pyproject.toml: what is offered is what a line uses."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

import deepecg_jax
from deepecg_jax.cli import doctor
from deepecg_jax.cli.extras import EXTRAS
from deepecg_jax.cli.main import app

ROOT = Path(deepecg_jax.__file__).parents[1]
FOR_DEVELOPERS = {"test", "dev"}
# distribution -> module, where the names differ
MODULES = {
    "apache-beam": "apache_beam",
    "array-record": "array_record",
    "orbax-checkpoint": "orbax",
    "pyyaml": "yaml",
    "scikit-learn": "sklearn",
    "tensorflow-datasets": "tensorflow_datasets",
}
# asked for by a library that we call, not by a line of ours
BY_OTHERS = {"onnx": "torch.onnx", "onnxscript": "torch.onnx", "jax": "the plugin of a device"}
# imported by us, and always there with a library that we require
THROUGH = {
    "etils": "tensorflow-datasets",
    "google": "tensorflow-datasets",
    "markupsafe": "jinja2",
    "libtpu": "jax[tpu]",
}
LOADERS = ("import_module", "find_spec")


def project() -> dict:
    file = ROOT / "pyproject.toml"
    if not file.is_file():
        pytest.skip("an installed package has no pyproject.toml")
    return tomllib.loads(file.read_text())["project"]


def distribution(requirement: str) -> str:
    return re.split(r"[\[<>=~! ;]", requirement)[0].lower()


def imported() -> set[str]:
    """Top-level modules of others that any file imports, or looks for by name."""
    found = set()
    for folder in ("deepecg_jax", "data_builders"):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Import):
                    found |= {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    found.add(node.module)
                elif isinstance(node, ast.Call) and node.args:
                    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                    if name in LOADERS and isinstance(node.args[0], ast.Constant):
                        found.add(str(node.args[0].value))
    tops = {name.split(".")[0] for name in found}
    return tops - set(sys.stdlib_module_names) - {"deepecg_jax"}


def test_an_extra_is_used_by_a_line() -> None:
    modules = imported()
    extras = project()["optional-dependencies"]
    for extra in extras.keys() - FOR_DEVELOPERS:
        for requirement in extras[extra]:
            name = distribution(requirement)
            used = MODULES.get(name, name) in modules or name in BY_OTHERS
            assert used, f"extra {extra} offers {name}, which no line imports"


def test_what_a_line_imports_is_declared() -> None:
    declared = project()
    requirements = [*declared["dependencies"]]
    for extra, names in declared["optional-dependencies"].items():
        requirements += names if extra not in FOR_DEVELOPERS else []
    known = {MODULES.get(n, n) for n in map(distribution, requirements)} | THROUGH.keys()
    assert imported() - known == set()


def test_no_extra_repeats_another() -> None:
    extras = project()["optional-dependencies"]
    sets = {e: {distribution(r) for r in names} for e, names in extras.items()}
    for one in sets.keys() - FOR_DEVELOPERS - {"tpu", "cuda"}:
        for other in sets.keys() - FOR_DEVELOPERS - {one, "tpu", "cuda"}:
            # onnx needs all of torch and more; every other pair must differ both ways
            assert not sets[one] <= sets[other] or (one, other) == ("torch", "onnx")


def test_the_table_is_pyprojects() -> None:
    extras = project()["optional-dependencies"]
    assert {extra.name for extra in EXTRAS} == extras.keys() - FOR_DEVELOPERS
    for extra in EXTRAS:
        wanted = {distribution(requirement) for requirement in extras[extra.name]}
        assert set(extra.packages) == wanted or extra.name in ("tpu", "cuda")


def test_doctor_lists_every_extra(monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    there = {"torch": "9.8.7"}
    monkeypatch.setattr(doctor, "_version", there.get)
    monkeypatch.setattr(doctor.console, "width", 200, raising=False)
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0, result.output
    for extra in EXTRAS:
        assert f"deepecg_jax[{extra.name}]" in result.output
    assert "torch 9.8.7" in result.output
    assert "onnx, onnxscript, onnxruntime not installed; for deepecg export" in result.output
