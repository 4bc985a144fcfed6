"""Export a bundle to ONNX, by way of its PyTorch form, checked with ONNX Runtime."""

import importlib.util
import logging
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from deepecg_jax.bundle import weights
from deepecg_jax.bundle.bundle import Bundle, load
from deepecg_jax.errors import UserError
from deepecg_jax.files import whole_folder, write_json
from deepecg_jax.interop import parity, sidecars, torch_names
from deepecg_jax.interop.torch_export import export_torch, load_folder

MODULE = "model.onnx"
OPSET = 18
_PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime")
_README = """\
# ONNX model

```python
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
(output,) = session.run(None, {{"signals": signals}})  # float32 (batch, {leads}, {samples})
```

Opset {opset}; the batch is free.

{text}
"""


def export_onnx(bundle_path: str | Path, out: str | Path, verify: bool = True) -> dict[str, Any]:
    """Write the ONNX folder of a bundle and return its ``parity.json``.

    ``model.onnx``: input ``signals`` (batch, leads, n_samples) float32 millivolts, output
    ``logits`` (batch, labels) or ``tokens`` (batch, tokens, width). UserError, with nothing
    written, if a package is absent or ONNX Runtime's outputs differ by more than 1e-4.
    """
    bundle = load(bundle_path)
    needed = _PACKAGES if verify else _PACKAGES[:-1]
    absent = [name for name in needed if importlib.util.find_spec(name) is None]
    if absent:
        raise UserError(f"the ONNX export needs: pip install {' '.join(absent)}.")
    usage = _README.format(
        leads=len(bundle.signal.leads),
        samples=bundle.signal.n_samples,
        opset=OPSET,
        text=sidecars.describe_input(bundle),
    )
    state = torch_names.to_torch(bundle.weights, torch_names.links_of(bundle.architecture))
    with whole_folder(out, MODULE) as part:
        _write_onnx(bundle, part / MODULE)
        layout = torch_names.port_of(bundle.architecture.model).layout
        sidecars.write(part, bundle, layout, weights.fingerprint(state), usage)
        certificate = _certify(bundle, part) if verify else parity.not_verified(bundle)
        write_json(part / parity.FILE_NAME, certificate)
    return certificate


def _write_onnx(bundle: Bundle, path: Path) -> None:
    import torch

    with tempfile.TemporaryDirectory() as scratch:
        export_torch(bundle.folder, Path(scratch) / "torch", verify=False)
        model = load_folder(Path(scratch) / "torch")
    example = torch.zeros(2, len(bundle.signal.leads), bundle.signal.n_samples)
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        torch.onnx.export(
            model,
            (example,),
            str(path),
            input_names=["signals"],
            output_names=["logits" if bundle.labels else "tokens"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def _certify(bundle: Bundle, folder: Path) -> dict[str, Any]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(folder / MODULE), providers=["CPUExecutionProvider"])

    def run(signals: np.ndarray) -> np.ndarray:
        channels_first = np.ascontiguousarray(signals.transpose(0, 2, 1), dtype=np.float32)
        return np.asarray(session.run(None, {"signals": channels_first})[0])

    return parity.certify(
        bundle,
        run,
        name="ONNX",
        lengths=(bundle.signal.n_samples,),
        versions={"onnxruntime": onnxruntime.__version__},
    )
