"""ECGs of a data set as drawings for the report, looked up by record id."""

from pathlib import Path

from deepecg_jax.data.shards.split import open_split
from deepecg_jax.evaluation.report.confident_errors import ConfidentError
from deepecg_jax.evaluation.report.page import Draw
from deepecg_jax.signals.drawing.plot import plot


def drawer(data_dir: Path, dataset: str, split_name: str) -> Draw:
    """A function that draws the ECG of an error; None for a record the split does not hold.

    UserError if the data set or the split does not exist.
    """
    split = open_split(data_dir, dataset, split_name)
    positions = {name: i for i, name in enumerate(split.index["record_id"].to_pylist())}

    def draw(error: ConfidentError) -> str | None:
        if error.record_id not in positions:
            return None
        return plot(
            split[positions[error.record_id]],
            contract=split.contract,
            title=f"{error.record_id}, {error.kind}",
            findings=[(error.finding, error.score)],
        )

    return draw
