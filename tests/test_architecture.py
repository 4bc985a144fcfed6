"""Imports point one way, rooms stay small, and importing the package stays light."""

import ast
import importlib
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import deepecg_jax

ROOT = Path(deepecg_jax.__file__).parent
GROUND = {"cells", "errors", "files", "resources", "settings", "speed"}
# room -> rooms it may import beside the ground floor and itself; a room is a folder or a module at
# the top, and a name with a star stands for all rooms inside it
ALLOWED: dict[str, set[str]] = {
    "signals": set(),
    "signals.reading": {"signals"},
    "signals.quality": {"signals"},
    "signals.standard": {"signals", "signals.quality"},
    "signals.drawing": {"signals", "signals.quality"},
    "signals.synthetic": {"signals"},
    "labels": set(),
    "data": {"signals*", "labels"},
    "data.tables": {"data", "signals*", "labels"},
    "data.shards": {"data", "signals*", "labels"},
    "data.staging": {"data", "data.shards", "signals*"},
    "data.building": {"data*", "signals*", "labels"},
    "data.loading": {"data", "data.shards", "signals", "labels"},
    "models": {"models*"},
    "models.blocks": {"models"},
    "models.wcr": {"models", "models.blocks"},
    "models.efficientnet": {"models", "models.blocks"},
    "models.vit": {"models", "models.blocks"},
    "models.net1d": {"models", "models.blocks"},
    "models.s4": {"models", "models.blocks"},
    "objectives": {"objectives*", "models", "models.blocks", "signals"},
    "objectives.augmentation": {"objectives", "models", "models.blocks", "signals"},
    "objectives.masking": {"models", "models.blocks"},
    "objectives.wcr": {"objectives*", "models", "models.blocks"},
    "objectives.cpc": {
        "objectives",
        "objectives.augmentation",
        "models",
        "models.blocks",
        "signals",
    },
    "objectives.views": {
        "objectives",
        "objectives.augmentation",
        "models",
        "models.blocks",
        "signals",
    },
    "objectives.jepa": {"objectives*", "models", "models.blocks"},
    "objectives.masked": {"objectives*", "models", "models.blocks"},
    "config": {"data.loading", "models*", "objectives*"},
    "config_files": {"config", "models", "objectives"},
    "bundle": {"signals*", "labels", "data*", "models*", "objectives*", "evaluation*"},
    "evaluation": {"evaluation*", "labels"},
    "evaluation.table": {"labels"},
    "evaluation.resampling": set(),
    "evaluation.metrics": {"evaluation.resampling"},
    "evaluation.discrimination": {
        "evaluation.table",
        "evaluation.resampling",
        "evaluation.metrics",
    },
    "evaluation.calibration": {"evaluation.table", "evaluation.resampling"},
    "evaluation.fairness": {"evaluation.resampling", "evaluation.metrics"},
    "evaluation.comparison": {
        "evaluation.table",
        "evaluation.resampling",
        "evaluation.metrics",
        "evaluation.discrimination",
    },
    "evaluation.sites": {
        "evaluation.table",
        "evaluation.resampling",
        "evaluation.metrics",
        "evaluation.discrimination",
    },
    "evaluation.survival": {"evaluation.table", "evaluation.resampling"},
    "evaluation.privacy": {
        "evaluation.table",
        "evaluation.resampling",
        "evaluation.calibration",
    },
    "evaluation.report": {"evaluation*", "labels"},
    "training": {
        "signals",
        "labels",
        "data*",
        "models*",
        "objectives*",
        "config",
        "config_files",
        "bundle",
        "evaluation*",
        "training.processes",
    },
    "training.processes": {"config"},
    "plan": {
        "signals",
        "config",
        "config_files",
        "models",
        "models.blocks",
        "objectives",
        "training",
    },
    "sweep": {"config", "evaluation*", "sweep*"},
    "sweep.planning": {"config", "config_files", "models", "bundle", "evaluation*"},
    "sweep.work": {
        "signals",
        "config",
        "config_files",
        "data*",
        "models*",
        "bundle",
        "evaluation*",
        "training",
        "plan",
        "sweep.planning",
    },
    "sweep.results": {
        "bundle",
        "data.tables",
        "evaluation*",
        "sweep.planning",
        "sweep.work",
    },
    "interop": {
        "signals*",
        "labels",
        "data.loading",
        "models*",
        "objectives*",
        "bundle",
        "interop.layouts",
    },
    "interop.layouts": {"interop", "models*"},
    "interop.templates": set(),
    "labelling": {"labels", "labelling.rules"},
    "labelling.text": set(),
    "labelling.rules": {"labels", "labelling.text"},
    "labelling.tables": {"labels", "data*", "labelling.rules", "labelling.text"},
    "labelling.bert": {"labels", "models", "models.blocks", "evaluation*", "bundle", "interop"},
    "labelling.training": {
        "labels",
        "data*",
        "models",
        "models.blocks",
        "objectives",
        "config",
        "evaluation*",
        "training*",
        "labelling*",
    },
    "front": {"signals*", "data*", "bundle", "evaluation*"},
    "cli": {
        "signals*",
        "labels",
        "labelling*",
        "data*",
        "models*",
        "objectives*",
        "config",
        "config_files",
        "bundle",
        "evaluation*",
        "training*",
        "plan",
        "interop",
        "sweep*",
    },
}
# paths that others' scripts import: they hold a name that is defined further up
PUBLISHED = {"signals/deepecg.py", "interop/bundle.py", "evaluation/bootstrap.py"}
MOST_IN_A_ROOM = 18


def modules() -> dict[str, Path]:
    """Dotted name below deepecg_jax -> file; the package itself is the empty name."""
    found = {}
    for file in ROOT.rglob("*.py"):
        parts = file.relative_to(ROOT).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = file
    return found


def imports(file: Path, known: dict[str, Path]) -> set[str]:
    """Modules of deepecg_jax that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {(node.module, f"{node.module}.{alias.name}") for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {(alias.name, alias.name) for alias in node.names}
    found = set()
    for module, full in names:
        if module.split(".")[0] == "deepecg_jax":
            short = full.partition(".")[2]
            found.add(short if short in known else module.partition(".")[2])
    return found - {""}


def room_of(module: str) -> str:
    """The folder of a module; a module at the top is a room of its own."""
    inside = ROOT.joinpath(*module.split(".")).is_dir()
    return module if inside or "." not in module else module.rpartition(".")[0]


def may_import(room: str) -> set[str]:
    named = ALLOWED[room] | GROUND | {room}
    whole = {name[:-1] for name in named if name.endswith("*")}
    return {r for r in {*ALLOWED, *GROUND} if r in named or r.split(".")[0] in whole}


def test_imports_point_down() -> None:
    known = modules()
    checked = 0
    for module, file in known.items():
        room = room_of(module)
        if room in GROUND or not module or str(file.relative_to(ROOT)) in PUBLISHED:
            continue
        checked += 1
        wrong = {room_of(name) for name in imports(file, known)} - may_import(room)
        assert not wrong, f"{file.relative_to(ROOT)} must not import {', '.join(sorted(wrong))}"
    assert checked > 250


def test_no_circle() -> None:
    known = modules()
    graph = {name: imports(file, known) - {name} for name, file in known.items() if name}
    assert len(list(TopologicalSorter(graph).static_order())) > 250  # raises CycleError


@pytest.mark.parametrize("name", sorted(set(modules()) - {""}))
def test_every_module_can_be_imported(name: str) -> None:
    if name.startswith("interop.templates."):
        pytest.importorskip("torch")  # they become part of an export
    module = importlib.import_module(f"deepecg_jax.{name}")
    assert module.__doc__, "it says what it is for"


def test_published_paths_lead_to_what_they_name() -> None:
    from deepecg_jax.bundle import bundle
    from deepecg_jax.evaluation import bootstrap
    from deepecg_jax.evaluation.resampling import bootstrap as resampling
    from deepecg_jax.interop import bundle as published
    from deepecg_jax.signals import deepecg
    from deepecg_jax.signals.standard import deepecg as standard

    assert published.load is bundle.load
    assert bootstrap.bootstrap_auroc is resampling.bootstrap_auroc
    assert deepecg.standardize is standard.standardize


def test_a_room_can_be_overlooked() -> None:
    for folder in {file.parent for file in modules().values()}:
        files = [file for file in folder.glob("*.py") if file.name != "__init__.py"]
        assert len(files) <= MOST_IN_A_ROOM or folder.name == "cli", f"{folder}: {len(files)} files"


def test_import_needs_neither_tensorflow_nor_torch() -> None:
    code = (
        "import sys, deepecg_jax; "
        "print([m for m in ('tensorflow', 'torch', 'jax', 'tensorflow_datasets') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_is_quick_to_reach() -> None:
    """`--help` must not import jax: people type it often."""
    code = (
        "import sys, deepecg_jax.cli.main; "
        "print([m for m in ('jax', 'tensorflow', 'torch', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
