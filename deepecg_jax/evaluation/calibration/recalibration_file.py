"""``calibration.json``: the mappings on disk, and predictions files mapped by them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.calibration.recalibration import SCHEMA, recalibrate
from deepecg_jax.evaluation.calibration.results import Recalibration
from deepecg_jax.evaluation.table.predictions import SCORE, read_predictions
from deepecg_jax.files import read_json, write_json, write_whole

_PARAMETERS = {
    "temperature": ("temperature",),
    "platt": ("slope", "intercept"),
    "isotonic": ("x", "y"),
    "identity": (),
}


def write_recalibration(path: str | Path, recalibration: Recalibration) -> None:
    """Write ``calibration.json``, whole or not at all."""
    write_json(path, recalibration, indent=1, strict=True)


def read_recalibration(path: str | Path) -> Recalibration:
    """Read ``calibration.json``.

    Raises:
        UserError: no such file, not JSON, another schema, an unknown method, a parameter that is
            absent, not finite or out of its range.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"There is no file {path}; write one with 'deepecg calibrate'.")
    content = read_json(path, dict, "write one with 'deepecg calibrate'")
    if not isinstance(content.get("findings"), dict):
        raise UserError(f"{path} is no calibration: it has no object 'findings'.")
    if content.get("schema") != SCHEMA:
        raise UserError(
            f"{path}: schema is {content.get('schema')!r}, this version reads {SCHEMA}."
        )
    for name, fitted in content["findings"].items():
        _check(fitted, name, str(path))
    return cast(Recalibration, content)


def recalibrate_file(
    recalibration: Recalibration, source: str | Path, target: str | Path
) -> Sequence[str]:
    """Map the scores of a predictions file and leave every other column as it is.

    Returns:
        The findings.

    Raises:
        UserError: `source` is no predictions file, or a finding has no mapping.
    """
    predictions = read_predictions(source)
    mapped = recalibrate(recalibration, predictions.scores, predictions.names)
    table = pq.read_table(source)
    for j, name in enumerate(predictions.names):
        at = table.column_names.index(SCORE + name)
        column = pa.array(np.ascontiguousarray(mapped[:, j]))
        table = table.set_column(at, SCORE + name, column)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    write_whole(target, sink.getvalue().to_pybytes())
    return predictions.names


def _check(fitted: Any, name: str, path: str) -> None:
    method = fitted.get("method") if isinstance(fitted, dict) else None
    if method not in _PARAMETERS:
        raise UserError(
            f"{path}: '{name}' has the method {method!r}; known are {', '.join(_PARAMETERS)}."
        )
    values = {}
    for parameter in _PARAMETERS[method]:
        try:
            values[parameter] = np.asarray(fitted.get(parameter), np.float64)
        except (TypeError, ValueError):
            values[parameter] = np.array(np.nan)
        if not np.isfinite(values[parameter]).all():
            raise UserError(
                f"{path}: '{name}' needs finite numbers for '{parameter}', but has "
                f"{fitted.get(parameter)!r}."
            )
    if method == "temperature" and not values["temperature"] > 0:
        raise UserError(f"{path}: the temperature of '{name}' must be above 0.")
    if method == "isotonic":
        x, y = values["x"], values["y"]
        fits = x.ndim == 1 and x.shape == y.shape and len(x) > 0
        if not fits or (np.diff(x) <= 0).any() or (np.diff(y) < 0).any():
            raise UserError(
                f"{path}: 'x' of '{name}' must rise, 'y' must not fall, and both be as long."
            )
        if y[0] < 0 or y[-1] > 1:
            raise UserError(f"{path}: 'y' of '{name}' must lie in 0..1.")
