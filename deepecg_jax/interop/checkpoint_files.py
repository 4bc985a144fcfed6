"""Weights from other people's files, without ever running code that a file contains."""

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from deepecg_jax.bundle import weights
from deepecg_jax.errors import UserError
from deepecg_jax.interop import torchscript

_NESTED = ("model", "state_dict", "model_state_dict")


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds: tensors by state-dict name, and the config stored with them, if any."""

    path: Path
    state: dict[str, np.ndarray]
    config: dict[str, Any] = field(default_factory=dict)


def read_checkpoint(path: str | Path, trust_pickle: bool = False) -> Checkpoint:
    """Read a ``.safetensors`` file, a PyTorch ``.pt`` file or a TorchScript archive.

    A PyTorch file is read with ``weights_only=True``: tensors and plain values, nothing else. A
    TorchScript archive gives its tensors; its code is not looked at. ``trust_pickle`` also takes a
    whole module saved with ``torch.save(module)``, which runs whatever code the file brings.

    Raises UserError for a file that is absent, damaged, needs ``trust_pickle``, or holds no
    tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} does not exist.")
    if path.suffix == ".safetensors":
        return Checkpoint(path, weights.read(path))
    if torchscript.is_archive(path):
        return Checkpoint(path, torchscript.read_tensors(path))
    content = _torch_load(path, trust_pickle)
    if trust_pickle and hasattr(content, "state_dict"):
        content = content.state_dict()
    if not isinstance(content, Mapping):
        raise UserError(f"{path} holds a {type(content).__name__}, not a checkpoint.")
    config = content.get("cfg") if isinstance(content.get("cfg"), Mapping) else {}
    for name in _NESTED:
        if isinstance(content.get(name), Mapping):
            content = content[name]
            break
    state = _tensors(content, path)
    if state and all(name.startswith("module.") for name in state):  # DistributedDataParallel
        state = {name.removeprefix("module."): value for name, value in state.items()}
    return Checkpoint(path, state, dict(config or {}))


def require_float32(checkpoint: Checkpoint, except_for: str = "num_batches_tracked") -> None:
    """UserError if a tensor has another type; ``except_for``: end of the names of counters."""
    wrong = [
        name
        for name, value in checkpoint.state.items()
        if value.dtype != np.float32 and not name.endswith(except_for)
    ]
    if wrong:
        kinds = ", ".join(sorted({str(checkpoint.state[name].dtype) for name in wrong}))
        raise UserError(
            f"{checkpoint.path}: {len(wrong)} of {len(checkpoint.state)} tensors are {kinds} "
            f"({wrong[0]} is the first), but weights are float32; save the float32 checkpoint, or "
            "convert it knowing that precision was lost."
        )


def _torch_load(path: Path, trust_pickle: bool) -> Any:
    try:
        import torch
    except ImportError as error:
        raise UserError(
            f"reading {path} needs PyTorch: pip install 'deepecg_jax[torch]'."
        ) from error
    _check_sums(path)
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_plain_numpy()):
            warnings.simplefilter("ignore")  # of old file layouts: the values are what matters
            return torch.load(path, map_location="cpu", weights_only=not trust_pickle)
    except pickle.UnpicklingError as error:
        if not trust_pickle and _is_whole_pickle(path):
            raise UserError(
                f"{path} holds Python objects other than tensors and plain values, which could "
                "run code when loaded, so it was not loaded; save its state_dict() instead, or, "
                "if you know who made the file, add --trust-pickle."
            ) from error
        raise _damaged(path, error) from error
    except Exception as error:  # a damaged file fails in the parser in many ways
        if trust_pickle and isinstance(error, (AttributeError, ImportError)):
            raise UserError(
                f"{path} needs the Python code that it was saved with ({error}); import it "
                "where that code is installed and save its state_dict()."
            ) from error
        raise _damaged(path, error) from error


def _check_sums(path: Path) -> None:
    """PyTorch itself does not compare a file's checksums with its content."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except Exception as error:  # a damaged directory fails in many ways
        raise _damaged(path, error) from error
    if broken is not None:
        raise _damaged(path, ValueError(f"the checksum of {broken} does not fit"))


def _damaged(path: Path, error: Exception) -> UserError:
    first = (str(error).strip() or type(error).__name__).splitlines()[0].partition(". ")[0][:160]
    return UserError(f"{path} is not a complete PyTorch file ({first}); copy or download it again.")


def _is_whole_pickle(path: Path) -> bool:
    """Whether the file's pickle can be read to its end, so that only its content is at fault."""
    import pickletools

    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                name = next(n for n in archive.namelist() if n.endswith("data.pkl"))
                for _ in pickletools.genops(archive.read(name)):
                    continue
            return True
        with path.open("rb") as file:
            for _ in pickletools.genops(file):
                continue
        return True
    except Exception:  # any failure means that it cannot be read to its end
        return False


def _plain_numpy() -> list[Any]:
    """Numbers that training code leaves in checkpoints as numpy scalars; harmless to rebuild."""
    kinds = {type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "?")}
    scalar: Any = np._core.multiarray.scalar  # pyright: ignore[reportAttributeAccessIssue]
    return [np.dtype, *kinds, (scalar, "numpy.core.multiarray.scalar"), scalar]


def _tensors(content: Mapping[Any, Any], path: Path) -> dict[str, np.ndarray]:
    import torch

    state = {}
    for name, value in content.items():
        if not isinstance(value, torch.Tensor):
            continue
        tensor = value.detach().cpu()
        if tensor.dtype == torch.bfloat16:
            raise UserError(
                f"{path}: {name} is bfloat16, but weights are float32; save the float32 "
                "checkpoint, or convert it knowing that precision was lost."
            )
        # ascontiguousarray gives a number one axis
        state[str(name)] = np.ascontiguousarray(tensor.numpy()).reshape(tensor.shape)
    if not state:
        raise UserError(f"{path} holds no tensors under model or state_dict, nor at its top level.")
    return state
