"""Imports point one way, and importing the package stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import deepecg_jax

ROOT = Path(deepecg_jax.__file__).parent
# room -> rooms (and top-level modules) it may import
ALLOWED = {
    "errors": set(),
    "resources": set(),
    "signals": {"errors"},
    "labels": {"errors"},
    "data": {"errors", "resources", "signals", "labels"},
    "models": {"errors"},
    "objectives": {"errors", "models"},
    "config": {"models", "objectives"},
    "config_files": {"config", "errors", "models", "resources"},
    "evaluation": {"errors", "labels"},
    "interop": {"errors", "signals", "labels", "data", "models", "evaluation", "objectives"},
    "training": {
        "errors",
        "signals",
        "labels",
        "data",
        "models",
        "objectives",
        "config",
        "config_files",
        "evaluation",
        "interop",
    },
}
ALLOWED["cli"] = {*ALLOWED, "cli"}


def imports(file: Path) -> set[str]:
    """Rooms of deepecg_jax that a file imports, anywhere in it."""
    rooms = set()
    for node in ast.walk(ast.parse(file.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        rooms |= {name.split(".")[1] for name in names if name.startswith("deepecg_jax.")}
    return rooms - {"__version__"}


def test_imports_point_down():
    found = 0
    for file in ROOT.rglob("*.py"):
        room = file.relative_to(ROOT).parts[0].removesuffix(".py")
        if room == "__init__":
            assert imports(file) == set()
            continue
        found += 1
        wrong = imports(file) - ALLOWED[room] - {room}
        assert not wrong, f"{file.relative_to(ROOT)} must not import {', '.join(sorted(wrong))}"
    assert found > 80


def test_import_needs_neither_tensorflow_nor_torch():
    code = (
        "import sys, deepecg_jax; "
        "print([m for m in ('tensorflow', 'torch', 'jax', 'tensorflow_datasets') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_is_quick_to_reach():
    """`--help` must not import jax: people type it often."""
    code = (
        "import sys, deepecg_jax.cli.main; "
        "print([m for m in ('jax', 'tensorflow', 'torch', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
