"""Each package says what it is for, on one screen, with an example that runs."""

import re
from pathlib import Path

import pytest

import deepecg_jax

ROOT = Path(deepecg_jax.__file__).parent
PACKAGES = sorted(file.parent for file in ROOT.rglob("__init__.py"))
PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
MOST_LINES = 60


def name(folder: Path) -> str:
    return str(folder.relative_to(ROOT))


@pytest.mark.parametrize("folder", PACKAGES, ids=name)
def test_every_package_has_a_readme_of_one_screen(folder: Path) -> None:
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert text.startswith("# ") and len(text.splitlines()) <= MOST_LINES
    assert "?" in text.splitlines()[0], "the question that the package answers comes first"


EXAMPLES = {
    name(folder): block[1]
    for folder in PACKAGES
    if (folder / "README.md").is_file()
    for block in PYTHON.finditer((folder / "README.md").read_text(encoding="utf-8"))
}


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_its_example_runs(example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "README.md", "exec"), {"__name__": "readme"})


def test_rooms_with_a_front_door_show_one() -> None:
    rooms = {"signals", "data", "labels", "labelling", "models", "objectives", "bundle"}
    assert rooms | {"training", "evaluation", "interop"} <= set(EXAMPLES)
