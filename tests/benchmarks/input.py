"""From shards to batches on devices, against the raw reads of the same records in the same order.

python tests/benchmarks/input.py DATA_DIR [--dataset synthetic] [--threads 2] [--workers 0]

Raw is ArrayRecord's own reader, its blocks decompressed, nothing parsed, by as many threads as
the loader has. All are alternated in one run, and ratios are medians over the rounds, since other
jobs change the speed of the machine; read twice before, so that the files are in memory. With
workers the peer is still raw reads in this process.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

from deepecg_jax.config import MeshConfig
from deepecg_jax.data.loading.batches import evaluation_batches, training_batches
from deepecg_jax.data.loading.order import Order
from deepecg_jax.data.loading.records import BYTES_AN_ECG, Selected
from deepecg_jax.data.shards.split import Split, open_split
from deepecg_jax.training.mesh import make_mesh, on_devices

SEED = 3


class Input:
    """The ways to read the same ``steps`` batches; each method reads them all once."""

    def __init__(self, split: Split, batch: int, steps: int, threads: int, workers: int):
        self.split, self.batch, self.steps = split, batch, steps
        self.threads, self.workers = threads, workers
        self.records = Selected(split, np.arange(len(split)), ("signal", "lead_mask"), {})
        (part,) = Order([len(split)], [1.0], SEED).parts(range(batch * steps))
        self.positions = part[1].reshape(steps, batch)
        self.mesh = make_mesh(MeshConfig())
        self.batches: Iterator[dict[str, np.ndarray]] | None = None

    def raw(self) -> None:
        """The records' bytes in the order of training."""
        split: Any = self.split

        def read(positions: np.ndarray) -> int:
            size = 0
            for position in positions.tolist():
                file, place = split._locate(position)
                size += len(split._reader(file).read([place])[0])
            return size

        with ThreadPoolExecutor(self.threads) as pool:
            sizes = list(pool.map(read, self.positions))
        assert sum(sizes) > self.batch * self.steps * BYTES_AN_ECG

    def sequential(self) -> None:
        """The same number of records in the order of the files, by one thread."""
        split: Any = self.split
        left = self.batch * self.steps
        while left > 0:
            for file, length in enumerate(split.lengths):
                split._reader(file).read(0, min(left, length))
                left -= min(left, length)
                if left <= 0:
                    break

    def in_order(self) -> None:
        """Parsed and put together by one thread, without shuffle or read-ahead."""
        count, done = self.batch * self.steps, 0
        while done < count:
            for _, real in evaluation_batches(self.records, self.batch):
                done += real
                if done >= count:
                    return

    def loader(self) -> None:
        """Host batches as a training reads them, from an iterator that goes on."""
        for _ in islice(self._stream(), self.steps):
            pass

    def devices(self) -> None:
        """The same, and each batch on the devices before the next is asked for."""
        for batch in islice(self._stream(), self.steps):
            jax.block_until_ready(on_devices(batch, self.mesh, self.batch))

    def one_by_one(self) -> None:
        """Each ECG parsed by protobuf and stacked, by one thread: what the loader replaced."""
        for positions in self.positions:
            np.stack([self.split[position]["signal"] for position in positions.tolist()])

    def _stream(self) -> Iterator[dict[str, np.ndarray]]:
        if self.batches is None:
            self.batches = training_batches(
                [self.records],
                [1.0],
                self.batch,
                SEED,
                threads=self.threads,
                workers=self.workers,
            )
        return self.batches


def resident() -> float:
    """Memory of this process and of its children that is not files, MB (Linux)."""
    own = os.getpid()
    total, parents = 0.0, {}
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            lines = dict(
                line.split(":", 1) for line in status.read_text(encoding="utf-8").splitlines()
            )
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended
        parents[int(status.parent.name)] = int(lines["PPid"]), lines.get("RssAnon", "0 kB")
    for process in parents:
        above = process
        while above in parents and above != own:
            above = parents[above][0]
        if above == own:
            total += int(parents[process][1].split()[0]) / 1e3
    return total


def main() -> None:
    """Print a table of rates, and the memory after each pass over the data."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data_dir")
    parser.add_argument("--dataset", default="synthetic")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--passes", type=int, default=4, help="for the memory")
    options = parser.parse_args()

    split = open_split(options.data_dir, options.dataset, "train")
    steps = len(split) // options.batch
    own = Input(split, options.batch, steps, options.threads, options.workers)
    ways: dict[str, Callable[[], None]] = {
        "raw reads, shuffled": own.raw,
        "raw reads, sequential": own.sequential,
        "batches in order, 1 thread": own.in_order,
        "loader, host batches": own.loader,
        "loader, device batches": own.devices,
        "one by one, protobuf": own.one_by_one,
    }
    for way in (own.raw, own.loader, own.devices):
        way()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    busy: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, way in ways.items():
            start, before = time.perf_counter(), time.process_time()
            way()
            seconds[name].append(time.perf_counter() - start)
            busy[name].append(time.process_time() - before)

    count = steps * options.batch
    table = Table(
        title=f"{count:,} ECGs, batches of {options.batch}, {options.threads} threads, "
        f"{options.workers} workers, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    for column in ("", "ECG/s (median)", "best", "MB/s", "of raw (median)", "CPU us an ECG, here"):
        table.add_column(column, justify="left" if not column else "right")
    for name, taken in seconds.items():
        pairs = zip(taken, seconds["raw reads, shuffled"], strict=True)
        rate = count / statistics.median(taken)
        table.add_row(
            name,
            f"{rate:,.0f}",
            f"{count / min(taken):,.0f}",
            f"{rate * BYTES_AN_ECG / 1e6:,.0f}",
            f"{statistics.median(raw / own for own, raw in pairs):.2f}",
            f"{1e6 * min(busy[name]) / count:.0f}",
        )
    console = Console(width=110)
    console.print(table)
    sizes = []
    for _ in range(options.passes):
        own.devices()
        sizes.append(resident())
    console.print(
        "memory after each pass, this process and its workers, MB: "
        + ", ".join(f"{size:.0f}" for size in sizes)
    )
    stream: Any = own.batches
    stream.close()


if __name__ == "__main__":
    main()
