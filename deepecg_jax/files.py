"""Files and folders that appear whole or not at all."""

import contextlib
import json
import math
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deepecg_jax.errors import UserError


@contextlib.contextmanager
def whole_folder(target: str | Path, marker: str) -> Iterator[Path]:
    """Yield an empty temporary sibling that becomes ``target`` when the block ends without error.

    An existing ``target`` is replaced if it is empty or holds the file ``marker``, that is, if it
    is an older result of the same kind; anything else there is a UserError.
    """
    target = Path(target).absolute()
    if target.exists() and not target.is_dir():
        raise UserError(f"{target} is a file; name a folder that does not exist yet.")
    if target.is_dir() and any(target.iterdir()) and not (target / marker).is_file():
        raise UserError(f"{target} holds other files (no {marker}); name an empty or new folder.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.{uuid.uuid4().hex[:12]}")
        part.mkdir()
    except OSError as error:
        raise UserError(f"cannot write beside {target} ({error}).") from error
    try:
        yield part
        if target.is_dir():
            old = part.with_name(f"{part.name}.old")
            os.replace(target, old)
            os.replace(part, target)
            shutil.rmtree(old)
        else:
            os.replace(part, target)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write_whole(path: str | Path, content: bytes) -> None:
    """Write beside the file, then rename; its folder is made if absent.

    Raises:
        UserError: the file cannot be written.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        os.replace(part, path)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error}).") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def write_json(path: str | Path, values: Any, indent: int = 2, strict: bool = False) -> None:
    """Indented JSON, whole or not at all; NaN and infinity, which JSON lacks, become null.

    strict: they are a ValueError instead, and the values must be plain: for results, whose authors
        say themselves what is undefined.
    """
    plain = values if strict else _finite(values)
    text = json.dumps(plain, indent=indent, ensure_ascii=False, allow_nan=False)
    write_whole(path, (text + "\n").encode())


def read_json(path: Path, kind: type = dict, remedy: str = "") -> Any:
    """A JSON file whose top level is a ``kind`` (dict or list); UserError otherwise.

    remedy: what to do about an absent or damaged file, such as "build the data set again".
    """
    then = f"; {remedy}." if remedy else "."
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist{then}") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is no JSON ({error}){then}") from error
    if not isinstance(values, kind):
        raise UserError(f"{path} must hold a JSON {'object' if kind is dict else 'list'}{then}")
    return values


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if hasattr(value, "tolist"):  # numpy and JAX scalars and arrays
        return _finite(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Path):
        return str(value)
    return value
