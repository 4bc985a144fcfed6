"""Where the shipped configs and data set builders are, in a checkout and in an installed wheel.

The wheel carries ``configs/`` and ``data_builders/`` inside the package (see ``pyproject.toml``);
a checkout, also one installed with ``pip install -e``, has them beside it.
"""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _find(inside_wheel: str, in_checkout: str) -> Path:
    packaged = _PACKAGE / inside_wheel
    return packaged if packaged.is_dir() else _PACKAGE.parent / in_checkout


def configs_dir() -> Path:
    """Folder of the shipped YAML configs."""
    return _find("_configs", "configs")


def builders_dir() -> Path:
    """Folder of the shipped data set builders, one folder a data set."""
    return _find("_data_builders", "data_builders")
