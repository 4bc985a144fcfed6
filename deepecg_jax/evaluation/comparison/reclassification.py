"""Net reclassification and integrated discrimination improvement from model A to model B.

NRI at the thresholds: the share of events that move up minus the share that move down, plus the
same for non-events the other way round; with two classes these are the differences of sensitivity
and of specificity. The category-free NRI counts every rise and fall of the score. IDI: the rise of
the mean score of events minus that of non-events (Pencina et al., Statist. Med. 27, 2008 and 30,
2011). The category-free NRI and IDI depend on calibration and can rise without better ranking; read
them beside the AUROC.
"""

import numpy as np

from deepecg_jax.evaluation.metrics.table import values as metric_values
from deepecg_jax.evaluation.resampling.bootstrap import Resampled
from deepecg_jax.evaluation.resampling.defined import mean_defined, ratio
from deepecg_jax.evaluation.resampling.draws import Sweep
from deepecg_jax.evaluation.resampling.intervals import Estimate, interval
from deepecg_jax.evaluation.resampling.weighted_sums import weighted_sums

PARTS = (
    "nri_events",
    "nri_nonevents",
    "nri",
    "continuous_nri_events",
    "continuous_nri_nonevents",
    "continuous_nri",
    "idi",
)


def reclassify(
    labels: np.ndarray,
    scores: tuple[np.ndarray, np.ndarray],
    swept: tuple[Resampled, Resampled],
    sweep: Sweep,
    weights: np.ndarray | None,
) -> tuple[list[dict[str, Estimate]], dict[str, Estimate]]:
    """`PARTS` of every finding and their means over findings with both classes, with intervals.

    Args:
        labels: (N, C) int8, -1 unknown.
        scores: of the models A and B, each (N, C).
        swept: their metrics on every row of `sweep`, of the same C findings.
        sweep: the resamples.
        weights: (N,) weight of each record, or ``None``.

    Returns:
        a dictionary a finding, and the one of the means.
    """
    event, nonevent = labels == 1, labels == 0
    change = scores[1].astype(np.float64) - scores[0].astype(np.float64)
    columns = [np.where(event, change, 0.0), np.where(nonevent, change, 0.0)]
    columns += [np.where(event, np.sign(change), 0.0), np.where(nonevent, np.sign(change), 0.0)]
    sums = np.split(weighted_sums(sweep, np.concatenate(columns, axis=1), weights), 4, axis=1)
    positive, negative = swept[0].tallies.positive, swept[0].tallies.negative
    a, b = (metric_values(part) for part in swept)
    values = {
        "nri_events": b["sensitivity"] - a["sensitivity"],
        "nri_nonevents": b["specificity"] - a["specificity"],
        "continuous_nri_events": ratio(sums[2], positive),
        "continuous_nri_nonevents": -ratio(sums[3], negative),
        "idi": ratio(sums[0], positive) - ratio(sums[1], negative),
    }
    values["nri"] = values["nri_events"] + values["nri_nonevents"]
    values["continuous_nri"] = values["continuous_nri_events"] + values["continuous_nri_nonevents"]
    jackknife = sweep.jackknife_rows
    each = [
        {part: interval(values[part][:, j], jackknife) for part in PARTS}
        for j in range(labels.shape[1])
    ]
    both = swept[0].tallies.both_classes()
    mean = {
        part: interval(mean_defined(np.where(both, values[part], np.nan)), jackknife)
        for part in PARTS
    }
    return each, mean
