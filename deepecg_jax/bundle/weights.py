"""Weights as a flat dict of float32 arrays by dotted name: names, files, checks, fingerprint."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from deepecg_jax.errors import UserError

Weights = dict[str, np.ndarray]


def flatten(tree: Mapping[Any, Any]) -> dict[str, Any]:
    """Nested dict -> flat dict with dotted names, sorted; list positions are numbers in a name."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    named = {".".join(str(part.key) for part in path): leaf for path, leaf in leaves}
    return dict(sorted(named.items()))


def nest(flat: Mapping[str, Any], like: Mapping[Any, Any]) -> Any:
    """Inverse of :func:`flatten`, with the structure and the key types of ``like``."""
    leaves, structure = jax.tree_util.tree_flatten_with_path(like)
    names = [".".join(str(part.key) for part in path) for path, _ in leaves]
    return jax.tree_util.tree_unflatten(structure, [flat[name] for name in names])


def as_numpy(flat: Mapping[str, Any]) -> Weights:
    """Every array as contiguous float32 in host memory."""
    return {
        name: np.ascontiguousarray(np.asarray(value), dtype=np.float32).reshape(np.shape(value))
        for name, value in flat.items()
    }


def fingerprint(weights: Weights) -> str:
    """SHA-256 over names, shapes and bytes, in the order of the names; no file format involved."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        value = weights[name]
        digest.update(f"{name} {value.dtype.str} {value.shape}\n".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


def check(weights: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], where: str) -> None:
    """UserError that lists every missing, extra, mis-shaped and not-float32 tensor."""
    problems = [f"missing {name} {shape}" for name, shape in shapes.items() if name not in weights]
    extra = [name for name in weights if name not in shapes]
    problems += [f"extra {name} {np.shape(weights[name])}" for name in extra]
    for name, shape in shapes.items():
        if name not in weights:
            continue
        value = weights[name]
        if tuple(np.shape(value)) != tuple(shape):
            problems.append(f"{name} is {tuple(np.shape(value))}, expected {tuple(shape)}")
        elif str(value.dtype) != "float32":
            problems.append(f"{name} is {value.dtype}, expected float32")
    if problems:
        raise UserError(
            f"{where} does not fit its architecture, nothing was loaded: {'; '.join(problems)}."
        )


def check_finite(weights: Weights, where: str) -> None:
    """UserError naming the tensors that hold NaN or infinity."""
    broken = [name for name, value in weights.items() if not np.isfinite(value).all()]
    if broken:
        raise UserError(f"{where} holds NaN or infinity in: {', '.join(broken)}.")


def read(path: Path) -> Weights:
    """A safetensors file; a truncated or foreign file is one UserError sentence."""
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist.") from error
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise UserError(
            f"{path} is not a complete safetensors file ({error}); copy or export it again."
        ) from error


def write(path: Path, weights: Weights, metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file."""
    path.write_bytes(save(weights, metadata))  # not save_file, whose files only the owner may read
