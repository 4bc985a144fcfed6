"""Membership inference from outputs alone: by the loss, and by a learned attacker."""

from typing import TYPE_CHECKING

import numpy as np

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.privacy.attack import judge_attack, restrict
from deepecg_jax.evaluation.privacy.audit import Audit, confidence
from deepecg_jax.evaluation.privacy.results import LearnedAttack, LossAttack
from deepecg_jax.evaluation.resampling.draws import Resampler

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier

TREES = 50
FOLDS = 5
PUBLISHED_SEEDS = (42, 0, 7, 13, 21, 25, 31, 37, 51, 57)
_TEST_SHARE = 0.2


def loss_attack(audit: Audit, resampler: Resampler | None, resamples: int) -> LossAttack:
    """A small loss means member (Yeom et al., IEEE CSF 2018).

    The loss is the binary cross-entropy averaged over a record's known labels; records without one
    are left out.
    """
    # -log p of the true label is softplus(-confidence)
    with np.errstate(invalid="ignore"):
        by_label = np.logaddexp(0.0, -confidence(audit.labels, audit.scores))
    known = ~np.isnan(by_label)
    rows = np.flatnonzero(known.any(axis=1))
    if len(rows) == 0:
        raise UserError("No record has a known label, so there is no loss to attack by.")
    loss = np.nansum(by_label[rows], axis=1) / known[rows].sum(axis=1)
    member = audit.member[rows]
    if member.all() or not member.any():
        raise UserError("Only one of members and non-members has known labels to take a loss of.")
    small = loss <= loss[member].mean()
    return {
        **judge_attack(member, -loss, restrict(resampler, rows), resamples),
        "left_out": int(len(audit.member) - len(rows)),
        "mean_loss_members": float(loss[member].mean()),
        "mean_loss_non_members": float(loss[~member].mean()),
        "advantage": float(small[member].mean() - small[~member].mean()),
    }


def learned_attack(
    audit: Audit, resampler: Resampler | None, resamples: int, seed: int
) -> LearnedAttack:
    """A random forest of 50 trees learns members from the scores, as in the published evaluation.

    ``by_patient`` is judged on records of patients that the forest has not seen (five folds by
    patient). ``published`` repeats the published protocol: ten random 80/20 splits of records, the
    test part cut to equal classes, mean and percentiles over the ten; records of one patient on
    both sides of a split make it look stronger than it is.
    """
    try:
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.metrics import roc_auc_score
        from sklearn.model_selection import GroupKFold, train_test_split
    except ImportError as error:
        raise UserError(
            "The learned attack needs scikit-learn; install it with pip install "
            "'deepecg_jax[privacy]'."
        ) from error
    x, y = audit.scores, audit.member
    patient = np.where(audit.patient_id == "", audit.record_id, audit.patient_id).astype(str)
    groups = np.unique(patient, return_inverse=True)[1]
    if min(len(np.unique(groups[y])), len(np.unique(groups[~y]))) < FOLDS:
        raise UserError(
            f"The learned attack needs at least {FOLDS} patients on each side, members and "
            "non-members."
        )
    found = np.full(len(y), np.nan)
    for train, test in GroupKFold(FOLDS, shuffle=True, random_state=seed).split(x, y, groups):
        forest = RandomForestClassifier(TREES, random_state=seed).fit(x[train], y[train])
        found[test] = _chance_of_member(forest, x[test])
    published = []
    for split in PUBLISHED_SEEDS:
        train, test = (
            np.asarray(part)
            for part in train_test_split(
                np.arange(len(y)), test_size=_TEST_SHARE, random_state=split, stratify=y
            )
        )
        forest = RandomForestClassifier(TREES, random_state=split).fit(x[train], y[train])
        test = _balanced(test, y[test], split)
        published.append(roc_auc_score(y[test], _chance_of_member(forest, x[test])))
    low, high = np.percentile(published, [2.5, 97.5])
    return {
        "by_patient": judge_attack(y, found, resampler, resamples),
        "published": {
            "auroc": {"value": float(np.mean(published)), "low": float(low), "high": float(high)},
            "seeds": list(PUBLISHED_SEEDS),
        },
    }


def _chance_of_member(forest: "RandomForestClassifier", x: np.ndarray) -> np.ndarray:
    """Probability of the class True; a training part may lack it."""
    column = np.flatnonzero(forest.classes_)
    if len(column) == 0:
        return np.zeros(len(x))
    return np.asarray(forest.predict_proba(x))[:, column[0]]


def _balanced(rows: np.ndarray, member: np.ndarray, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    size = min(member.sum(), (~member).sum())
    return np.concatenate([rng.choice(rows[side], size, False) for side in (member, ~member)])
