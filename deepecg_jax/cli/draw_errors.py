"""ECGs of a data set as drawings for the report, looked up by record id."""

from pathlib import Path

import numpy as np

from deepecg_jax.data.shards.split import open_split
from deepecg_jax.evaluation.report.confident_errors import ConfidentError
from deepecg_jax.evaluation.report.page import Draw
from deepecg_jax.signals.drawing.svg import ecg_svg


def drawer(data_dir: Path, dataset: str, split_name: str) -> Draw:
    """A function that draws the ECG of an error; None for a record the split does not hold.

    UserError if the data set or the split does not exist.
    """
    split = open_split(data_dir, dataset, split_name)
    positions = {name: i for i, name in enumerate(split.index["record_id"].to_pylist())}

    def draw(error: ConfidentError) -> str | None:
        if error.record_id not in positions:
            return None
        record = split[positions[error.record_id]]
        signal = record["signal"].astype(np.float32) * 1e-3
        return ecg_svg(
            signal,
            split.contract.sampling_rate,
            f"{error.record_id}, {error.kind}",
            [(error.finding, error.score)],
            record["lead_mask"],
        )

    return draw
