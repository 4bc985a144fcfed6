"""The tensors of a TorchScript archive, read as data: its code is neither run nor parsed.

``torch.jit.load`` runs ``__setstate__`` methods that an archive defines, so it is not used. The
archive is a zip file with a pickle (``data.pkl``) and one raw file a storage; the unpickler below
knows how to rebuild tensors and containers and refuses every other name.
"""

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from deepecg_jax.errors import UserError

_DTYPES = {
    "FloatStorage": np.float32,
    "DoubleStorage": np.float64,
    "HalfStorage": np.float16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "BoolStorage": np.bool_,
}
_LISTS = ("build_intlist", "build_doublelist", "build_boollist", "build_tensorlist")


def is_archive(path: Path) -> bool:
    """Whether the file is a TorchScript archive (a zip with ``data.pkl`` and ``constants.pkl``)."""
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.partition("/")[2] for name in archive.namelist()}
    except Exception:  # a damaged directory fails in many ways; the reader of .pt files says how
        return False
    return {"data.pkl", "constants.pkl"} <= names


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Tensors by dotted attribute name, such as ``features.0.fused_conv.0.weight``.

    UserError if the archive is damaged or its pickle asks for anything but tensors, containers
    and the archive's own module types.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            root = archive.namelist()[0].partition("/")[0]
            pickled = _read(archive, f"{root}/data.pkl")
            tree = _Unpickler(io.BytesIO(pickled), archive, root).load()
    except pickle.UnpicklingError as error:
        raise UserError(f"{path} was not loaded: {error}") from error
    except Exception as error:  # a damaged archive fails in zip, pickle and numpy in many ways
        raise UserError(
            f"{path} is not a complete TorchScript archive ({error}); copy or download it again."
        ) from error
    state: dict[str, np.ndarray] = {}
    _collect(tree, "", state, set())
    if not state:
        raise UserError(f"{path} is a TorchScript archive without tensors.")
    return state


class _Module:
    """Any module type of the archive: a bag of attributes."""


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, archive: zipfile.ZipFile, root: str):
        super().__init__(file)
        self._archive, self._root = archive, root

    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] == "__torch__":
            return _Module
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if module == "torch" and name in _DTYPES:
            return name
        if module == "torch.jit._pickle" and name in _LISTS:
            return list
        if (module, name) == ("collections", "OrderedDict"):
            return dict
        raise pickle.UnpicklingError(
            f"its pickle asks for {module}.{name}, which has no place among weights and could run "
            "code."
        )

    def persistent_load(self, pid: Any) -> np.ndarray:
        kind, storage, key, _, count = pid
        if kind != "storage" or storage not in _DTYPES:
            raise pickle.UnpicklingError(f"it stores an unknown kind of data ({kind} {storage}).")
        for folder in ("data", "constants"):
            name = f"{self._root}/{folder}/{key}"
            if name in self._archive.NameToInfo:
                return np.frombuffer(_read(self._archive, name), _DTYPES[storage], int(count))
        raise pickle.UnpicklingError(f"its storage {key} is missing.")


def _tensor(storage: np.ndarray, offset: int, size: Any, stride: Any, *_: Any) -> np.ndarray:
    """A copy of a strided view; bounds are checked before memory is touched."""
    size, stride, offset = tuple(map(int, size)), tuple(map(int, stride)), int(offset)
    if offset < 0 or min((*size, *stride), default=0) < 0 or len(size) != len(stride):
        raise ValueError(f"a tensor of size {size} and stride {stride} at {offset}")
    empty = 0 in size
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if not empty and last >= len(storage):
        raise ValueError(f"a tensor of size {size} in a storage of {len(storage)}")
    if empty:
        return np.zeros(size, storage.dtype)
    steps = tuple(step * storage.itemsize for step in stride)
    view = np.lib.stride_tricks.as_strided(storage[offset:], size, steps, writeable=False)
    return np.ascontiguousarray(view).reshape(size)


def _collect(value: Any, prefix: str, state: dict[str, np.ndarray], seen: set[int]) -> None:
    if isinstance(value, np.ndarray):
        state[prefix] = value
    if not isinstance(value, (_Module, dict)) or id(value) in seen:
        return
    items = value if isinstance(value, dict) else vars(value)
    for name, child in items.items():
        _collect(child, f"{prefix}.{name}" if prefix else str(name), state, seen | {id(value)})


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    """A member as it is stored: PyTorch does not compress these, and a bomb would."""
    info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED or info.file_size > info.compress_size:
        raise pickle.UnpicklingError(f"its member {name} is compressed, which PyTorch never does.")
    return archive.read(name)
