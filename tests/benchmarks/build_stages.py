"""ECGs a second of each stage from WFDB files to shards, in one process, by its own CPU time.

python tests/benchmarks/build_stages.py FOLDER [COUNT]

FOLDER holds ``.hea`` files at any depth. Give every run one thread (OPENBLAS_NUM_THREADS=1), as
the workers of ``deepecg build`` have.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter

from deepecg_jax.data.building.examples import features_of
from deepecg_jax.data.records import PlannedRecord
from deepecg_jax.data.shards.schema import decode, encode
from deepecg_jax.data.staging.writing import WRITER_OPTIONS
from deepecg_jax.signals.reading.read import read_wfdb
from deepecg_jax.signals.recording import SignalError
from deepecg_jax.signals.standard.millivolt import standardize, to_microvolts

REPEATS = 5


def main() -> None:
    """Print one line a stage."""
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    paths = sorted(Path(sys.argv[1]).rglob("*.hea"))[:count]
    best: dict[str, float] = {}

    def timed(stage: str, work: Callable[[], Any]) -> Any:
        start = time.process_time()
        made = work()
        best[stage] = min(best.get(stage, np.inf), time.process_time() - start)
        return made

    for _ in range(REPEATS):
        recordings = timed("read", lambda: [read_wfdb(path) for path in paths])
        windows = timed("check and standardise", lambda: _windows(recordings))  # noqa: B023
        signals = [(to_microvolts(window.signal), window.lead_mask) for window in windows]
        planned = PlannedRecord("r", "p", "train", "", labels=np.zeros(120, np.int8))
        examples = [features_of(planned, *pair) for pair in signals]
        timed("encode and write", lambda: _write(examples))  # noqa: B023
    print(f"load {os.getloadavg()[0]:.1f}, {len(paths)} ECGs, best of {REPEATS}")
    for stage, seconds in [*best.items(), ("all", sum(best.values()))]:
        print(f"{stage:24s}{1e3 * seconds / len(paths):7.2f} ms {len(paths) / seconds:8.0f} ECG/s")


def _windows(recordings: list[Any]) -> list[Any]:
    kept = []
    for recording in recordings:
        try:
            kept += standardize(recording)
        except SignalError:
            continue
    return kept


def _write(examples: list[dict[str, Any]]) -> None:
    """As a shard is written: encoded, compressed, and read back."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/shard"
        writer = ArrayRecordWriter(path, WRITER_OPTIONS)
        for example in examples:
            writer.write(encode(example))
        writer.close()
        reader = ArrayRecordReader(path)
        for position in range(reader.num_records()):
            decode(reader.read([position])[0])
        reader.close()


if __name__ == "__main__":
    main()
