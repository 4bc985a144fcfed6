"""Age and sex alone: the floor that every ECG model has to clear.

Logistic regression of each label on age (standardised), its square, and whether a person is known
to be female or male, with the ridge penalty of one half of the squared coefficients that
scikit-learn's ``LogisticRegression`` has by default; the intercept is free.
"""

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from deepecg_jax.config import FinetuneConfig
from deepecg_jax.data.loading.inputs import LabelledSplit, labelled_split
from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.table.predictions import Predictions
from deepecg_jax.training.finetune import require_both_classes

N_FEATURES = 4


def age_sex_predictions(config: FinetuneConfig, split_name: str) -> Predictions:
    """What a split would score if only age and sex were known of the records learned from.

    Args:
        config: names the records (data set, ``where``, the share of the patients that ``seed``
            chooses) and the labels; nothing else of it is used.
        split_name: the split that is predicted.

    Raises:
        UserError: no such data or label, a label has one class only among the training records, or
            no age and no sex is known of them.
    """
    data = config.data.model_copy(update={"cache_gb": 0.0})  # no signal is read
    train = labelled_split(data, data.train_split, config.labels, data.label_share, config.seed)
    test = labelled_split(data, split_name, config.labels, 1.0, config.seed)
    where = f"{data.dir}/{data.dataset}, split {data.train_split}"
    require_both_classes(train, where)
    ages, sexes = _people(train)
    if np.isnan(ages).all() and (sexes == "unknown").all():
        raise UserError(
            f"no age and no sex is known in {where}, so nothing can be learned from them."
        )
    scale = _scale(ages)
    inputs, people = _features(ages, sexes, *scale), _people(test)
    outputs = _features(*people, *scale)
    scores = [expit(_line(outputs, _fit(inputs, labels))) for labels in train.labels.T]
    return Predictions(
        names=test.names,
        labels=test.labels,
        scores=np.stack(scores, axis=1),
        record_id=_texts(test, "record_id"),
        patient_id=_texts(test, "patient_id"),
        age=people[0],
        sex=people[1],
    )


def _people(chosen: LabelledSplit) -> tuple[np.ndarray, np.ndarray]:
    """Ages (n,) in years, NaN unknown, and sexes (n,)."""
    ages = np.asarray(chosen.split.index["age"].to_numpy(), np.float64)[chosen.positions]
    return ages, _texts(chosen, "sex")


def _texts(chosen: LabelledSplit, column: str) -> np.ndarray:
    return np.array(chosen.split.index[column].to_pylist(), object)[chosen.positions]


def _scale(ages: np.ndarray) -> tuple[float, float]:
    """Median and standard deviation of the known ages."""
    known = ages[~np.isnan(ages)]
    if not len(known):
        return 0.0, 1.0
    return float(np.median(known)), float(known.std()) or 1.0


def _features(ages: np.ndarray, sexes: np.ndarray, centre: float, spread: float) -> np.ndarray:
    """(n, 4): age, its square, female, male; an unknown age is the median."""
    age = (np.where(np.isnan(ages), centre, ages) - centre) / spread
    return np.stack([age, age**2, sexes == "female", sexes == "male"], axis=1).astype(np.float64)


def _fit(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Intercept and coefficients, (5,), from the records whose label is known."""
    known = labels >= 0
    x, sign = features[known], np.where(labels[known] == 1, 1.0, -1.0)

    def loss(beta: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * _line(x, beta)
        pull = -sign * expit(-margin)
        gradient = np.concatenate([[pull.sum()], pull @ x + beta[1:]])
        return float(np.logaddexp(0.0, -margin).sum() + 0.5 * beta[1:] @ beta[1:]), gradient

    start = np.zeros(1 + x.shape[1])
    return minimize(loss, start, jac=True, method="BFGS", options={"gtol": 1e-8}).x


def _line(features: np.ndarray, beta: np.ndarray) -> np.ndarray:
    return beta[0] + features @ beta[1:]
