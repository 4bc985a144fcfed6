"""Many reports at once: each distinct text is read once, by one process or several."""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from deepecg_jax.labelling.rules.labeller import Labeller, Labels, no_collection, shipped_labeller
from deepecg_jax.labelling.rules.rule_files import read_rules

_WORTH_A_PROCESS = 20_000  # distinct texts; fewer are labelled before a process has started


def label_texts(
    texts: Sequence[str],
    language: str | None = None,
    rules: Path | None = None,
    workers: int = 1,
) -> list[Labels]:
    """Label N texts, each distinct text once, in ``workers`` processes.

    Args:
        texts: the reports.
        language: read only this language; by default it is detected for each report.
        rules: folder of rules; the shipped ones by default.
        workers: processes; 1 works in this one.
    """
    labeller = make_labeller(rules, language)  # first, so that mistakes show at once
    distinct = list(dict.fromkeys(texts))
    if workers == 1 or len(distinct) < _WORTH_A_PROCESS * workers:
        return labeller.label_all(texts)
    # contiguous parts: every process meets its own sentences again
    edges = np.linspace(0, len(distinct), 4 * workers + 1).astype(int)
    parts = [distinct[a:b] for a, b in zip(edges, edges[1:], strict=False)]
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _start_worker, (rules, language))
    with no_collection(), pool:
        found = [labels for part in pool.map(_label_part, parts) for labels in part]
    known = dict(zip(distinct, found, strict=True))
    return [known[text] for text in texts]


def make_labeller(rules: Path | None = None, language: str | None = None) -> Labeller:
    """A labeller with the rules of a folder, the shipped ones by default."""
    return shipped_labeller(language) if rules is None else Labeller(read_rules(rules), language)


_WORKER: list[Labeller] = []


def _start_worker(rules: Path | None, language: str | None) -> None:
    _WORKER[:] = [make_labeller(rules, language)]


def _label_part(texts: list[str]) -> list[Labels]:
    return _WORKER[0].label_all(texts)
