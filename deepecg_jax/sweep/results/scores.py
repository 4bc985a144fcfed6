"""The macro AUROC of one table of predictions, in the sample and in every resample of patients."""

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from deepecg_jax.evaluation.resampling.bootstrap import bootstrap
from deepecg_jax.evaluation.resampling.defined import macro
from deepecg_jax.evaluation.resampling.resampling import Resampling
from deepecg_jax.evaluation.table.grouping import column
from deepecg_jax.evaluation.table.predictions import Predictions, read_predictions


@dataclass(frozen=True)
class Scores:
    """Macro AUROC of a table.

    Attributes:
        macro: (1 + R,), first of the sample, then of each resample; the mean over the findings that
            have both classes there, as in ``metrics.json``.
        material: the same for two tables of the same records, labels and findings, which alone can
            be compared.
        n_records, n_patients: of the table.
    """

    macro: np.ndarray
    material: str
    n_records: int
    n_patients: int


def scores_of(path: Path, resampling: Resampling) -> Scores:
    """Read a table and score it.

    Raises:
        UserError: there is none, it is damaged, or a record has no patient.
    """
    table = read_predictions(path)
    sweep, _ = resampling.sweep(table.patient_id, partial(column, table))
    no_thresholds = np.zeros(len(table.names))
    found = bootstrap(table.labels, table.scores, no_thresholds, sweep, {}, {}, table.weight)
    findings = found.findings
    values = macro(findings.auroc, findings.tallies.both_classes())
    return Scores(values, _material(table), len(table), sweep.resampler.n_clusters)


def _material(table: Predictions) -> str:
    digest = hashlib.sha256("\n".join([*table.names, "", *table.record_id]).encode())
    digest.update(np.ascontiguousarray(table.labels).tobytes())
    return digest.hexdigest()
