"""Export a bundle as StableHLO through ``jax.export``: any batch, on CPU, CUDA and TPU."""

import importlib.util
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from deepecg_jax.bundle import weights
from deepecg_jax.bundle.architecture import Architecture
from deepecg_jax.bundle.bundle import WEIGHTS, load
from deepecg_jax.bundle.runner import apply
from deepecg_jax.errors import UserError
from deepecg_jax.files import whole_folder, write_json
from deepecg_jax.interop import parity, sidecars

MODULE = "model.stablehlo"
PLATFORMS = ("cpu", "cuda", "tpu")
_README = """\
# StableHLO model

```python
from pathlib import Path
from jax import export
from safetensors.numpy import load_file

model = export.deserialize(bytearray(Path("model.stablehlo").read_bytes()))
weights = load_file("model.safetensors")
output = model.call(weights, signals)  # float32 (batch, {samples}, {leads})
```

Lowered for {platforms}; the batch is free. Needs jax and flatbuffers, not deepecg_jax.

{text}
"""


def export_stablehlo(
    bundle_path: str | Path, out: str | Path, verify: bool = True
) -> dict[str, Any]:
    """Write the StableHLO folder of a bundle and return its ``parity.json``.

    ``model.stablehlo`` is a serialised ``jax.export.Exported`` of (weights by dotted name, signals
    (batch, n_samples, leads)) with a symbolic batch; ``model.safetensors`` holds the weights. The
    comparison deserialises the written file and runs it here. UserError, with nothing written, if
    the outputs differ by more than 1e-4 or ``flatbuffers`` is not installed.
    """
    bundle = load(bundle_path)
    if importlib.util.find_spec("flatbuffers") is None:
        raise UserError("the StableHLO export needs flatbuffers: pip install flatbuffers.")
    blob = serialise(bundle.architecture, bundle.signal.n_samples)
    usage = _README.format(
        leads=len(bundle.signal.leads),
        samples=bundle.signal.n_samples,
        platforms=", ".join(PLATFORMS),
        text=sidecars.describe_input(bundle),
    )
    with whole_folder(out, MODULE) as part:
        (part / MODULE).write_bytes(blob)
        weights.write(part / WEIGHTS, bundle.weights)
        sidecars.write(part, bundle, "jax", bundle.fingerprint, usage)
        certificate = parity.not_verified(bundle)
        if verify:
            model = export.deserialize(bytearray((part / MODULE).read_bytes()))
            arrays = weights.read(part / WEIGHTS)
            certificate = parity.certify(
                bundle,
                lambda signals: np.asarray(model.call(arrays, signals)),
                name="StableHLO",
                lengths=(bundle.signal.n_samples,),
                versions={},
            )
        write_json(part / parity.FILE_NAME, certificate)
    return certificate


def serialise(architecture: Architecture, n_samples: int) -> bytes:
    """The serialised computation (weights, signals) -> logits or tokens."""

    def run(arrays: dict[str, jax.Array], signals: jax.Array) -> jax.Array:
        output = "tokens" if architecture.head is None else "logits"
        return apply(architecture.module(arrays), signals, output)

    arrays = {
        name: jax.ShapeDtypeStruct(shape, jnp.float32)
        for name, shape in architecture.shapes().items()
    }
    (batch,) = export.symbolic_shape("batch")
    signals = jax.ShapeDtypeStruct((batch, n_samples, architecture.model.leads), jnp.float32)
    with jax.default_matmul_precision("highest"):
        exported = export.export(jax.jit(run), platforms=PLATFORMS)(arrays, signals)
    return bytes(exported.serialize())
