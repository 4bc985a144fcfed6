"""What one accelerator does with the shipped pretraining step, in one run of under eight minutes.

    python tests/benchmarks/accelerator.py --size base --out FOLDER    # one GPU
    python tests/benchmarks/accelerator.py --size tiny --out FOLDER    # any CPU, the same code

``tiny`` only shows that everything runs: its programs are compiled without optimisation.

Each row is written to ``rows.jsonl`` as soon as it is measured, so a run that is cut short still
counts; at the end there are ``result.json`` and ``table.md``. Items run in processes of their own,
the most important ones first: what fails, is out of memory or out of time is a row that says so
(the whole error is in ``log.txt``). ``compile_s`` is that of a cold cache where a program is
compiled for the first time in a run; with ``--cache``, or in a later item, it may be a reading.
Nothing but the train step is imported (no Grain, no TensorFlow Datasets), and no network is used.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from accelerator_parts.rows import Rows
from accelerator_parts.table import markdown

# a process each, in order of importance, and the seconds that a process may take of the budget
LIMITS = {"device": 220.0, "torch": 150.0, "torch_whole": 240.0}  # by its first item
GROUPS = (
    ("device", "step", "inference"),
    ("torch",),
    (
        "attention",
        "remat",
        "precision",
        "agreement",
        "positional",
        "input",
        "random",
        "pairs",
        "bootstrap",
        "profile",
    ),
    ("torch_whole",),
)
GRACE = 15.0  # seconds that a measurement may go on after the budget


def main() -> None:
    """Run the items in processes, then write the result and the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=("base", "tiny"), default="base")
    parser.add_argument("--out", type=Path, required=True, help="folder for rows and results")
    parser.add_argument("--budget", type=float, default=450, help="seconds; the rest is skipped")
    parser.add_argument("--only", nargs="+", choices=[i for group in GROUPS for i in group])
    parser.add_argument("--cache", type=Path, help="XLA's programs, kept for a second run")
    parser.add_argument("--items", nargs="+", help=argparse.SUPPRESS)  # of a process started here
    parser.add_argument("--until", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.items:
        from accelerator_parts.process import run_items

        run_items(options.items, options.size, Rows(options.out), options.until)
        return
    options.out.mkdir(parents=True, exist_ok=True)
    rows = Rows(options.out, new=True)
    (options.out / "log.txt").write_text("", encoding="utf-8")
    started = time.time()
    with tempfile.TemporaryDirectory() as fresh:
        cache = options.cache or Path(fresh)
        warm = cache.is_dir() and any(cache.iterdir())
        rows.add("run", "settings", size=options.size, budget_s=options.budget, cache_warm=warm)
        for group in GROUPS:
            items = [item for item in group if not options.only or item in options.only]
            run_group(items, options.size, rows, started + options.budget, cache)
    rows.add("run", "end", seconds=round(time.time() - started, 1))
    table = markdown(rows.all())
    (options.out / "result.json").write_text(json.dumps(rows.all(), indent=1), encoding="utf-8")
    (options.out / "table.md").write_text(table, encoding="utf-8")
    print(table)


def run_group(items: list[str], size: str, rows: Rows, until: float, cache: Path) -> None:
    """The items in one process, or in several: one that dies is followed by a new one."""
    while items:
        if time.time() >= until:
            for item in items:
                rows.add(item, "all", error="skipped: the budget is used up")
            return
        stop = min(until, time.time() + LIMITS.get(items[0], math.inf))
        command = [sys.executable, __file__, "--size", size, "--out", str(rows.folder)]
        command += ["--until", str(stop), "--items", *items]
        environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(cache)}
        if size == "tiny":
            flags = os.environ.get("XLA_FLAGS", "")
            environment["XLA_FLAGS"] = f"{flags} --xla_backend_optimization_level=0".strip()
        if items[0].startswith("torch"):
            environment["JAX_PLATFORMS"] = "cpu"  # the accelerator's memory is PyTorch's
        else:
            environment |= {"XLA_PYTHON_CLIENT_MEM_FRACTION": "0.9"}
            if environment.get("JAX_PLATFORMS"):  # the CPU is compared with
                environment["JAX_PLATFORMS"] += ",cpu"
        try:
            with (rows.folder / "log.txt").open("a", encoding="utf-8") as log:
                code = subprocess.run(
                    command, env=environment, stderr=log, timeout=stop - time.time() + GRACE
                ).returncode
            ended = f"the process ended with {code}, see log.txt"
        except subprocess.TimeoutExpired:
            ended = "stopped: over the budget"
        done = {row["item"] for row in rows.all() if row["case"] == "done"}
        items = [item for item in items if item not in done]
        if items:
            rows.add(items[0], "all", error=ended)
            items = items[1:]


if __name__ == "__main__":
    main()
