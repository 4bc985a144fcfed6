"""The recalibration of a bundle: ``calibration.json`` beside its weights."""

from pathlib import Path

from deepecg_jax.bundle.bundle import CONFIG, LABELS, find
from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.calibration.recalibration_file import (
    read_recalibration,
    write_recalibration,
)
from deepecg_jax.evaluation.calibration.results import Recalibration
from deepecg_jax.files import read_json

FILE = "calibration.json"


def check_calibration(bundle: str | Path, recalibration: Recalibration) -> Path:
    """The bundle's folder, if the mappings belong to its labels.

    Raises:
        UserError: no bundle, an encoder without labels, a label without a mapping or the reverse.
    """
    folder = find(bundle)
    labels = read_json(folder / LABELS, list) if (folder / LABELS).is_file() else []
    if not labels:
        raise UserError(f"{folder} has no labels, so there is nothing to calibrate.")
    missing = [name for name in labels if name not in recalibration["findings"]]
    if missing:
        raise UserError(
            f"{folder} has the label '{missing[0]}', but the validation predictions do not; "
            "calibrate on predictions of this bundle."
        )
    foreign = [name for name in recalibration["findings"] if name not in labels]
    if foreign:
        raise UserError(
            f"The predictions have the finding '{foreign[0]}', which {folder} has no label for; "
            "calibrate on predictions of this bundle."
        )
    return folder


def store_calibration(bundle: str | Path, recalibration: Recalibration) -> Path:
    """Write ``calibration.json`` into a bundle, tied to its weights by their fingerprint."""
    folder = check_calibration(bundle, recalibration)
    fingerprint = read_json(folder / CONFIG, dict).get("fingerprint")
    write_recalibration(folder / FILE, {**recalibration, "fingerprint": fingerprint})
    return folder / FILE


def load_calibration(bundle: str | Path) -> Recalibration | None:
    """The recalibration stored in a bundle, ``None`` if there is none.

    Raises:
        UserError: it is damaged, or was fitted for other weights.
    """
    folder = find(bundle)
    if not (folder / FILE).is_file():
        return None
    recalibration = read_recalibration(folder / FILE)
    check_calibration(folder, recalibration)
    if recalibration.get("fingerprint") != read_json(folder / CONFIG, dict).get("fingerprint"):
        raise UserError(
            f"{folder / FILE} was fitted for other weights than the bundle's; run "
            "'deepecg calibrate' again."
        )
    return recalibration
