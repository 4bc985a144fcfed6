"""What age and sex alone predict: the floor that every ECG model has to clear.

    python tests/benchmarks/age_sex_baseline.py runs/data ptb_xl 'superclass:*'

Logistic regression on age (standardised, missing set to the median), its square, and sex; fitted
on the train split, macro AUROC on the test split.
"""

import sys

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from deepecg_jax.data.shards.split import Split, open_split
from deepecg_jax.labels.select import select_labels


def features(split: Split, centre: float, spread: float) -> np.ndarray:
    """(N, 3): age, age squared, female."""
    age = np.asarray(split.index["age"].to_numpy(), float)
    age = (np.where(np.isnan(age), centre, age) - centre) / spread
    female = np.asarray(split.index["sex"].to_pylist()) == "female"
    return np.stack([age, age**2, female], 1)


def main(data_dir: str, dataset: str, *labels: str) -> None:
    """Print the AUROC of each label and their mean."""
    train, test = (open_split(data_dir, dataset, name) for name in ("train", "test"))
    names, columns = select_labels(labels, train.label_names, f"{data_dir}/{dataset}")
    known_age = np.asarray(train.index["age"].to_numpy(), float)
    centre, spread = float(np.nanmedian(known_age)), float(np.nanstd(known_age))
    scores = []
    for name, column in zip(names, columns, strict=True):
        known = train.labels[:, column] >= 0
        model = LogisticRegression().fit(
            features(train, centre, spread)[known], train.labels[known, column]
        )
        held = test.labels[:, column] >= 0
        predicted = model.predict_proba(features(test, centre, spread)[held])[:, 1]
        scores.append(roc_auc_score(test.labels[held, column], predicted))
        print(f"{name:24} {scores[-1]:.3f}")
    print(f"{'macro':24} {np.mean(scores):.4f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
