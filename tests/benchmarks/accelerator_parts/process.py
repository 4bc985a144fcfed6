"""One process: some items one after another until the time is over."""

import time
from collections.abc import Callable, Iterator
from importlib import import_module

from accelerator_parts.rows import Row, Rows, told
from accelerator_parts.sizes import SIZES, Size

# item -> its function, (size, rows so far) -> rows; imported when it is its turn
ITEMS = {
    "device": "device.device",
    "step": "steps.step",
    "inference": "inference.inference",
    "torch": "twin.twin",
    "torch_whole": "twin.twin_whole",
    "attention": "attention.attention",
    "remat": "steps.remat",
    "precision": "precision.precision",
    "agreement": "precision.agreement",
    "positional": "positional.positional",
    "input": "transfer.transfer",
    "random": "steps.random",
    "pairs": "steps.pairs",
    "bootstrap": "resampling.resampling",
    "profile": "profile.profile",
}
Item = Callable[[Size, Rows], Iterator[Row]]


def run_items(items: list[str], size: str, rows: Rows, until: float) -> None:
    """Measure and write; after ``until`` (seconds since 1970) the rest is said to be skipped."""
    for item in items:
        start = time.time()
        if start >= until:
            rows.add(item, "all", error="skipped: the budget is used up")
        else:
            _run(item, SIZES[size], rows, until)
        rows.add(item, "done", seconds=round(time.time() - start, 1))


def _run(item: str, size: Size, rows: Rows, until: float) -> None:
    """One item; an error of its own, outside its cases, ends it alone."""
    try:
        if size is SIZES["base"] and not _accelerated(item):
            raise RuntimeError("--size base is for an accelerator, and only the CPU is there")
        module, _, name = ITEMS[item].partition(".")
        measure: Item = getattr(import_module(f"accelerator_parts.{module}"), name)
        for row in measure(size, rows):
            rows.add(item, **row)
            if time.time() >= until:
                rows.add(item, "rest", error="skipped: the budget is used up")
                return
    except Exception as error:
        rows.add(item, "all", error=told(error))


def _accelerated(item: str) -> bool:
    """Whether what an item runs on is more than the CPU."""
    if item.startswith("torch"):
        import torch

        return torch.cuda.is_available()
    import jax

    return jax.default_backend() != "cpu"
