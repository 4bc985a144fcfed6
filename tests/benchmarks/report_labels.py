"""How many reports a second the labeller reads.

    python tests/benchmarks/report_labels.py REPORTS.csv --text report [--workers 2] [--copies 40]

The time to read and compile the rules, then four figures, all with a compiled labeller, wall and
CPU time:

* first: the distinct texts of the file in a labeller that has read nothing yet (words are looked
  up and misspelt ones corrected, clauses understood, for the first time);
* distinct: ``copies`` of each distinct text, each with a number of its own at its end, so that no
  text comes twice but words and clauses do, as in a large archive;
* reports: the file as it is, repeated ``copies`` times in another order: equal texts are read once;
* with processes: *distinct* again with ``--workers``, their start included.

As a ruler for the machine, the time that the regular expression ``\\w+`` takes to cut the same
texts into words.
"""

import argparse
import random
import re
import time
from collections.abc import Callable
from pathlib import Path

from deepecg_jax.labelling.rules.labeller import Labeller
from deepecg_jax.labelling.rules.processes import label_texts
from deepecg_jax.labelling.rules.rule_files import SHIPPED, read_rules
from deepecg_jax.labelling.tables.reports import read_table


def rate(count: int, work: Callable[[], object]) -> tuple[float, float]:
    """Texts a second of wall time and of this process's CPU time."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return count / (time.perf_counter() - wall), count / (time.process_time() - cpu)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reports", type=Path)
    parser.add_argument("--text", default="report")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--copies", type=int, default=40)
    options = parser.parse_args()
    texts = read_table(options.reports, [options.text])[options.text].to_pylist()
    distinct = list(dict.fromkeys(texts))
    numbered = [f"{text} {1000 + i}" for i in range(options.copies) for text in distinct]
    many = texts * options.copies
    random.Random(0).shuffle(many)
    print(f"{len(texts):,} reports, {len(distinct):,} distinct texts")
    ruler, _ = rate(len(numbered), lambda: [re.findall(r"\w+", text) for text in numbered])
    wall, cpu = rate(1, lambda: Labeller(read_rules(SHIPPED)))
    print(f"rules read and compiled in {1 / wall:.2f} s, {1 / cpu:.2f} s CPU")
    fresh, warm = Labeller(), Labeller()
    warm.label_all(distinct)
    figures = {
        "first": rate(len(distinct), lambda: fresh.label_all(distinct)),
        "distinct": rate(len(numbered), lambda: warm.label_all(numbered)),
        "reports": rate(len(many), lambda: warm.label_all(many)),
    }
    if options.workers > 1:
        figures["with processes"] = rate(
            len(numbered), lambda: label_texts(numbered, workers=options.workers)
        )
    for name, (wall, cpu) in figures.items():
        of_ruler = f"ruler takes {wall / ruler:.2f} of its time"
        print(f"{name:15s} {wall:>9,.0f} texts/s, {cpu:>9,.0f} a CPU second; {of_ruler}")


if __name__ == "__main__":
    main()
