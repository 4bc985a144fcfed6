"""Export a bundle to a folder that needs nothing but PyTorch."""

import importlib.util
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from deepecg_jax.bundle import weights
from deepecg_jax.bundle.bundle import WEIGHTS, Bundle, load
from deepecg_jax.errors import UserError
from deepecg_jax.files import whole_folder, write_json
from deepecg_jax.interop import fairseq_checkpoint, parity, sidecars, torch_names
from deepecg_jax.interop.checkpoint_files import read_checkpoint

MODULE = "torch_model.py"
# expected largest difference in half precision, as a share of the largest output
HALF_BOUNDS = {"float16": 0.02, "bfloat16": 0.1}
_README = """\
# PyTorch model

```python
import torch
from torch_model import load  # in this folder; needs torch and the standard library

model = load(".")
with torch.no_grad():
    output = model(signals)  # float32 (batch, {leads}, {samples})
```

{text}

To train on: `model.train()`, then `torch_model.save(model, ".")`.
"""


def export_torch(
    bundle_path: str | Path, out: str | Path, verify: bool = True, layout: str = "native"
) -> dict[str, Any]:
    """Write the PyTorch folder of a bundle and return its ``parity.json``.

    ``model.safetensors``, ``torch_model.py``, ``config.json``, ``signal.json``, ``labels.json``,
    ``thresholds.json`` if the bundle has any, ``parity.json``, and two texts. The comparison runs
    the written files on 16 synthetic ECGs in three lengths. UserError, with nothing written, if
    the outputs differ by more than 1e-4 or PyTorch is not installed; ``verify=False`` skips it.
    With ``layout="fairseq"`` the folder also has ``checkpoint.pt`` as fairseq-signals writes it,
    and it is that file's tensors that are compared.
    """
    bundle = load(bundle_path)
    port = torch_names.port_of(bundle.architecture.model)
    if verify or layout == "fairseq":
        require_torch()
    state = torch_names.to_torch(bundle.weights, torch_names.links_of(bundle.architecture))
    usage = _README.format(
        leads=len(bundle.signal.leads),
        samples=bundle.signal.n_samples,
        text=sidecars.describe_input(bundle),
    )
    with whole_folder(out, MODULE) as part:
        weights.write(part / WEIGHTS, state)
        template = port.template.read_text(encoding="utf-8")
        # not copied: the installed file may be read-only
        (part / MODULE).write_text(template, encoding="utf-8")
        sidecars.write(part, bundle, port.layout, weights.fingerprint(state), usage)
        if layout == "fairseq":
            fairseq_checkpoint.write_checkpoint(bundle, part / fairseq_checkpoint.FILE_NAME)
            _use_checkpoint(part, state)
        certificate = _certify(bundle, part) if verify else parity.not_verified(bundle)
        write_json(part / parity.FILE_NAME, certificate)
    return certificate


def _use_checkpoint(folder: Path, state: weights.Weights) -> None:
    """Write ``model.safetensors`` anew with the tensors that ``checkpoint.pt`` holds.

    What the checkpoint does not hold (a classifier's unused mask embedding) stays; what only the
    checkpoint holds (the quantizer) is not part of the module.
    """
    stored = read_checkpoint(folder / fairseq_checkpoint.FILE_NAME).state
    weights.write(
        folder / WEIGHTS, {name: stored.get(name, value) for name, value in state.items()}
    )


def require_torch() -> None:
    """UserError if PyTorch is not installed."""
    if importlib.util.find_spec("torch") is None:
        raise UserError(
            "PyTorch is not installed, so the export cannot be compared with the bundle: "
            "pip install 'deepecg_jax[torch]', or export with --no-verify (verify=False)."
        )


def load_folder(folder: Path) -> Any:
    """The ``torch.nn.Module`` of an exported folder, by the folder's own ``torch_model.py``."""
    module = types.ModuleType("torch_model")
    source = folder / MODULE
    # not imported: that would leave compiled files in the folder
    exec(compile(source.read_text(encoding="utf-8"), str(source), "exec"), module.__dict__)
    return module.load(folder)


def run_folder(folder: Path, dtype: Any = None) -> Callable[[np.ndarray], np.ndarray]:
    """The model of an exported folder as a function of (N, T, leads) numpy millivolts.

    dtype: a torch type for weights and activations, float32 if None.
    """
    import torch

    dtype = dtype or torch.float32
    model = load_folder(folder).to(dtype)

    def run(signals: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            channels_first = np.ascontiguousarray(signals.transpose(0, 2, 1), dtype=np.float32)
            return model(torch.from_numpy(channels_first).to(dtype)).float().numpy()

    return run


def _certify(bundle: Bundle, folder: Path) -> dict[str, Any]:
    import torch

    samples = bundle.signal.n_samples
    certificate = parity.certify(
        bundle,
        run_folder(folder),
        name="PyTorch",
        lengths=(samples, samples // 2, samples * 4 // 5),
        versions={"torch": torch.__version__},
    )
    certificate["reduced_precision"] = {
        name: _half_precision(bundle, run_folder(folder, getattr(torch, name)), share)
        for name, share in HALF_BOUNDS.items()
    }
    return certificate


def _half_precision(
    bundle: Bundle, run: Callable[[np.ndarray], np.ndarray], share: float
) -> dict[str, Any]:
    """What a user loses who runs the module in half precision; it does not stop an export, whose
    weights are float32. ``max_abs_difference`` is null where the type overflows.
    """
    signals = parity.realistic_signals(bundle.signal)
    expected = parity.reference(bundle, signals)
    difference = float(np.abs(expected - run(signals)).max())
    bound = share * float(np.abs(expected).max())
    return {
        "max_abs_difference": difference if np.isfinite(difference) else None,
        "bound": bound,
        "within_bound": bool(difference <= bound),
    }
