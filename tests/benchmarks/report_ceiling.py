"""How far a reader of reports can agree with PTB-XL's statements: equal texts, unequal ones.

    python tests/benchmarks/report_ceiling.py REPORTS.csv [--at-least 2 3 5 10]

Many reports have the same text (letters' case and spaces aside). A reader answers the same to equal
texts, so it cannot agree with statements that differ between them. For texts that occur at least so
many times, the micro-F1 of the findings of rhythm, conduction and infarction with 100 or more
positives, of

* labeller: the shipped one, uncertain findings counted as found;
* best answer: for each text and finding the answer that most of its ECGs have, looked up in the
  same ECGs (of several thresholds the best): no reader can do better, so it is a bound;
* others' answer: the same without the ECG itself, as a reader that learned from all the others.
"""

import argparse
import ast
from pathlib import Path

import numpy as np

from deepecg_jax.labelling.rules.labeller import shipped_labeller
from deepecg_jax.labelling.rules.statements import State
from deepecg_jax.labelling.tables.against_reference import found_table, scp_reference
from deepecg_jax.labelling.tables.reports import read_table

RHYTHM = ("Sinusal", "Bradycardia", "Afib", "Premature ventricular complex")
OTHERS = (
    *("1st degree AV block", "Left bundle branch block", "Right bundle branch block"),
    *("Left anterior fascicular block", "Left posterior fascicular block"),
    "Nonspecific intraventricular conduction delay",
    *("Q wave (inferior - II, III, aVF)", "Q wave (lateral- I, aVL, V5-V6)"),
    "Q wave (anterior - V3-V4)",
)
THRESHOLDS = np.arange(0.05, 1, 0.05)


def f1(found: np.ndarray, truth: np.ndarray, counted: np.ndarray) -> float:
    """Micro-F1 of (N, C) answers where ``counted``."""
    tp = (found & (truth == 1) & counted).sum()
    wrong = (found != (truth == 1)) & (truth != -1) & counted
    return float(2 * tp / (2 * tp + wrong.sum()))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reports", type=Path)
    parser.add_argument("--text", default="report")
    parser.add_argument("--at-least", type=int, nargs="+", default=[2, 3, 5, 10])
    options = parser.parse_args()
    table = read_table(options.reports, [options.text, "scp_codes"])
    texts = table[options.text].to_pylist()
    reference = scp_reference([ast.literal_eval(codes) for codes in table["scp_codes"].to_pylist()])
    names = [*RHYTHM, *OTHERS]
    truth = np.stack([reference[name] for name in names], axis=1)
    said = found_table(shipped_labeller().label_all(texts), names)
    found = (said == State.present) | (said == State.uncertain)
    _, group, copies = np.unique(
        [" ".join(text.lower().split()) for text in texts], return_inverse=True, return_counts=True
    )
    positives = np.zeros((len(copies), len(names)))
    np.add.at(positives, group, truth == 1)
    share = positives[group] / copies[group][:, None]
    of_others = (positives[group] - (truth == 1)) / np.maximum(copies[group] - 1, 1)[:, None]
    print(f"all {len(texts):,} reports: labeller {f1(found, truth, np.ones_like(found)):.3f}\n")
    print(
        "copies   ECGs  findings                  positive  labeller  best answer  others' answer"
    )
    for least in options.at_least:
        for title, used in (("all", names), ("conduction, infarction", list(OTHERS))):
            counted = (copies[group] >= least)[:, None] & np.isin(names, used)
            best, learned = (
                max(f1(rate >= threshold, truth, counted) for threshold in THRESHOLDS)
                for rate in (share, of_others)
            )
            print(
                f"{least:6d} {(copies[group] >= least).sum():6,d}  {title:25s}"
                f"{((truth == 1) & counted).sum():9,d}{f1(found, truth, counted):10.3f}"
                f"{best:13.3f}{learned:11.3f}"
            )


if __name__ == "__main__":
    main()
