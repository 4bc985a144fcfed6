"""The shipped builders by name, and their classes, each imported once per process."""

import difflib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from deepecg_jax.errors import UserError
from deepecg_jax.resources import builders_dir


def builder_names() -> tuple[str, ...]:
    """Names of the shipped builders."""
    return tuple(sorted(file.parent.name for file in builders_dir().glob("*/*_dataset_builder.py")))


def builder_file(name: str) -> Path:
    """The Python file of a shipped builder; UserError names those that exist."""
    names = builder_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}" if near else f"there are {', '.join(names)}"
        raise UserError(f"There is no builder {name!r}; {hint}.")
    return builders_dir() / name / f"{name}_dataset_builder.py"


def load_builder_class(path: str | Path) -> Any:
    """The ``Builder`` class of a ``NAME_dataset_builder.py``, imported once per process."""
    file = Path(path)
    module_name = file.stem  # TFDS takes the data set's name from NAME_dataset_builder
    module = sys.modules.get(module_name)
    if module is None or getattr(module, "__file__", None) != str(file):
        from etils import epath
        from tensorflow_datasets.core import registered

        spec = importlib.util.spec_from_file_location(module_name, file)
        if spec is None or spec.loader is None or not file.is_file():
            raise UserError(f"{file} is not a builder: there is no such Python file.")
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        try:
            with registered.skip_registration():
                spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[module_name]
            raise
        # TFDS looks for README.md and CITATIONS.bib in a package of the module's name otherwise.
        module.Builder.pkg_dir_path = epath.Path(file.parent)
    return module.Builder
