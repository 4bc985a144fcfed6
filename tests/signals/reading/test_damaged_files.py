"""Damaged files end in a refusal with a reason or in a reading: none crashes, hangs or eats memory.

``DEEPECG_DAMAGED_FILES=1000 pytest -s tests/signals/reading/test_damaged_files.py`` reads 1,000
damaged files of each format and prints what became of them.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from damage import FORMATS, MAX_SECONDS

PER_FORMAT = int(os.environ.get("DEEPECG_DAMAGED_FILES", "25"))
FIRST = int(os.environ.get("DEEPECG_DAMAGED_FIRST", "0"))

pytest.importorskip("ecgdatakit", reason="needs the extra `formats`")


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files_are_refused_or_read(name):
    if name == "hdf5":
        pytest.importorskip("h5py", reason="needs the extra `hdf5`")
    script = Path(__file__).with_name("damage.py")
    root = str(script.parents[3])  # the package under test, not an installed one
    command = [sys.executable, "-W", "error", str(script), name, str(FIRST), str(PER_FORMAT)]
    # One thread: a pool of threads reserves more address space than a file may use.
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": root}
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=environment,
        timeout=60 + PER_FORMAT * MAX_SECONDS,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    results = {line["seed"]: line["result"] for line in lines if "result" in line}
    last = lines[-1] if lines else "none"
    assert done.returncode == 0, f"died at {last}: {done.stderr[-2000:]}"
    failed = {seed: text for seed, text in results.items() if text.startswith("failed")}
    counts = Counter(text.partition("\n")[0] for text in results.values())
    print(f"\n{name}: {len(failed)} failed, {lines[-1]}, {dict(counts.most_common())}")
    assert len(results) == PER_FORMAT
    assert not failed, "\n".join(f"seed {seed}: {text}" for seed, text in failed.items())
