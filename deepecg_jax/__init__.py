"""deepecg_jax: pretrain, fine-tune, evaluate and publish 12-lead ECG foundation models in JAX.

    import deepecg_jax as de

offers the names below. Each is imported when it is first used, so that the package itself, and
what needs no model, stay light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deepecg_jax.bundle.bundle import load as load
    from deepecg_jax.data.building.build import build as build
    from deepecg_jax.data.shards.split import open_split as open_split
    from deepecg_jax.evaluation.resampling.bootstrap import bootstrap_auroc as bootstrap_auroc
    from deepecg_jax.front.models import predict as predict
    from deepecg_jax.front.tables import auroc as auroc
    from deepecg_jax.front.tables import compare as compare
    from deepecg_jax.front.tables import evaluate as evaluate
    from deepecg_jax.labelling.label import label as label
    from deepecg_jax.signals.drawing.plot import plot as plot
    from deepecg_jax.signals.reading.read import read as read
    from deepecg_jax.signals.standard.deepecg import standardize as standardize_deepecg
    from deepecg_jax.signals.standard.millivolt import standardize as standardize

__version__ = "0.1.0"

# name -> where it is, and what it is called there; a test holds it against the imports above
_FRONT: dict[str, tuple[str, str]] = {
    "read": ("deepecg_jax.signals.reading.read", "read"),
    "plot": ("deepecg_jax.signals.drawing.plot", "plot"),
    "standardize": ("deepecg_jax.signals.standard.millivolt", "standardize"),
    "standardize_deepecg": ("deepecg_jax.signals.standard.deepecg", "standardize"),
    "label": ("deepecg_jax.labelling.label", "label"),
    "build": ("deepecg_jax.data.building.build", "build"),
    "open_split": ("deepecg_jax.data.shards.split", "open_split"),
    "load": ("deepecg_jax.bundle.bundle", "load"),
    "predict": ("deepecg_jax.front.models", "predict"),
    "evaluate": ("deepecg_jax.front.tables", "evaluate"),
    "compare": ("deepecg_jax.front.tables", "compare"),
    "auroc": ("deepecg_jax.front.tables", "auroc"),
    "bootstrap_auroc": ("deepecg_jax.evaluation.resampling.bootstrap", "bootstrap_auroc"),
}

__all__ = [
    "auroc",
    "bootstrap_auroc",
    "build",
    "compare",
    "evaluate",
    "label",
    "load",
    "open_split",
    "plot",
    "predict",
    "read",
    "standardize",
    "standardize_deepecg",
]


def __getattr__(name: str) -> Any:
    """A name of the front door, imported on first use (PEP 562)."""
    if name not in _FRONT:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, inside = _FRONT[name]
    found = getattr(import_module(module), inside)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
