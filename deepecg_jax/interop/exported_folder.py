"""A folder of ``deepecg export --format torch``, trained on in PyTorch, back to a bundle."""

from pathlib import Path

from deepecg_jax.bundle import bundle, weights
from deepecg_jax.bundle.architecture import Architecture
from deepecg_jax.errors import UserError
from deepecg_jax.files import read_json
from deepecg_jax.interop import torch_names
from deepecg_jax.signals.contract import load as load_contract


def is_exported(path: str | Path) -> bool:
    """Whether ``path`` is such a folder, or the weights in one."""
    folder = _folder(path)
    return (folder / "torch_model.py").is_file() and (folder / bundle.CONFIG).is_file()


def import_exported(path: str | Path, out: str | Path) -> bundle.Bundle:
    """Write the bundle of an exported folder with the weights that are in it now; loaded.

    Thresholds and metrics are left behind if the weights are no longer those of the export: they
    belong to other scores. UserError if a tensor is missing, extra, mis-shaped or not finite.
    """
    folder = _folder(path)
    config = read_json(folder / bundle.CONFIG, dict)
    labels = read_json(folder / bundle.LABELS, list)
    where = str(folder / bundle.WEIGHTS)
    architecture = Architecture.from_dict(config, len(labels), str(folder / bundle.CONFIG))
    state = weights.read(folder / bundle.WEIGHTS)
    arrays = torch_names.to_jax(
        state, torch_names.links_of(architecture), architecture.shapes(), where
    )
    same = weights.fingerprint(state) == config.get("fingerprint")
    thresholds = {}
    if same and (folder / bundle.THRESHOLDS).is_file():
        thresholds = read_json(folder / bundle.THRESHOLDS, dict)
    if Path(out).absolute() == folder.absolute():
        raise UserError(f"{out} is the exported folder itself; name another folder for the bundle.")
    bundle.save(
        out,
        model=architecture.model,
        head=architecture.head,
        params=architecture.nested(arrays),
        labels=labels or None,
        signal=load_contract(folder),
        thresholds=thresholds,
        protocol=bundle.protocol_of(config, str(folder / bundle.CONFIG)),
        provenance={
            "task": "import",
            "kind": "export",
            "file": folder.name,
            "trained_on": not same,
            "exported_from": config.get("bundle_fingerprint"),
        },
    )
    return bundle.load(out)


def _folder(path: str | Path) -> Path:
    path = Path(path)
    return path if path.is_dir() else path.parent
