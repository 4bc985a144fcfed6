"""Attacks on membership: known leaks are found at their size, and none where there is none."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import log_loss, roc_auc_score, roc_curve

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.privacy.analysis import privacy
from deepecg_jax.evaluation.privacy.attack import judge_attack
from deepecg_jax.evaluation.privacy.audit import align_references, confidence, join
from deepecg_jax.evaluation.privacy.likelihood_ratio import likelihood_ratio_attack
from deepecg_jax.evaluation.privacy.membership import learned_attack, loss_attack
from deepecg_jax.evaluation.resampling.draws import Resampler
from deepecg_jax.evaluation.resampling.resampling import Resampling
from deepecg_jax.evaluation.table.predictions import Predictions


def table(confidences, labels, start=0, patients=None, member=None):
    """Predictions whose true labels get these log odds."""
    n = len(labels)
    log_odds = np.where(labels == 1, confidences, -confidences)
    return Predictions(
        names=tuple(f"f{j}" for j in range(labels.shape[1])),
        labels=labels.astype(np.int8),
        scores=1 / (1 + np.exp(-log_odds)),
        record_id=np.array([f"r{start + i}" for i in range(n)], object),
        patient_id=np.array(
            [f"p{start + i}" for i in range(n)] if patients is None else patients, object
        ),
        age=np.full(n, 50.0),
        sex=np.full(n, "male", object),
        extra={} if member is None else {"member": member},
    )


def world(seed=0, n=400, findings=3, models=20, shift=1.0):
    """Hard and easy records, of which models are surer by `shift` when trained on them."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, (n, findings))
    ease = rng.normal(1.5, 2.0, (n, findings))
    inside = rng.random((models + 1, n)) < 0.5
    inside[0] = np.arange(n) < n // 2
    sure = ease + shift * inside[:, :, None] + 0.5 * rng.normal(size=(models + 1, n, findings))
    target = [
        table(sure[0][part], labels[part], part.start)
        for part in (slice(0, n // 2), slice(n // 2, n))
    ]
    references = [table(sure[k], labels, member=inside[k]) for k in range(1, models + 1)]
    return target, references, sure, inside, labels


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(210, 400), decimals=st.integers(1, 5))
def test_true_positive_rates_are_read_off_the_roc_curve(seed, n, decimals):
    rng = np.random.default_rng(seed)
    member = rng.random(n) < 0.3
    score = np.round(rng.normal(size=n) + 0.5 * member, decimals)
    resampler = Resampler.of_records(n, 0)
    found = judge_attack(member, score, resampler, 3)
    assert found["auroc"]["value"] == pytest.approx(roc_auc_score(member, score))
    assert found["tpr_at_fpr"]["0.001"]["value"] is None
    assert "1,000 non-members" in found["tpr_at_fpr"]["0.001"]["reason"]
    values = []
    for weight in (np.ones(n), *resampler.counts(0, 3).astype(float)):
        fpr, tpr, _ = roc_curve(member, score, sample_weight=weight, drop_intermediate=False)
        values.append(tpr[fpr <= 0.01 + 1e-12].max())
    at = found["tpr_at_fpr"]["0.01"]
    if (~member).sum() >= 100:
        assert at["value"] == pytest.approx(values[0])
        assert [at["low"], at["high"]] == pytest.approx(np.percentile(values[1:], [2.5, 97.5]))


def test_loss_attack_is_the_cross_entropy():
    (members, others), _, _, _, labels = world()
    members.labels[:5] = -1
    members.labels[5:20, 1] = -1
    found = loss_attack(join(members, others), None, 0)
    audit = join(members, others)
    losses, rows = [], []
    for i in range(len(audit.member)):
        known = audit.labels[i] >= 0
        if known.any():
            rows.append(i)
            losses.append(
                np.mean(
                    [
                        log_loss([y], [p], labels=[0, 1])
                        for y, p in zip(audit.labels[i][known], audit.scores[i][known], strict=True)
                    ]
                )
            )
    member, loss = audit.member[rows], np.array(losses)
    assert found["left_out"] == 5
    assert found["auroc"]["value"] == pytest.approx(roc_auc_score(member, -loss), abs=1e-9)
    assert found["mean_loss_members"] == pytest.approx(loss[member].mean())
    at = loss[member].mean()
    assert found["advantage"] == pytest.approx(
        (loss[member] <= at).mean() - (loss[~member] <= at).mean()
    )


def test_likelihood_ratio_is_that_of_normals_per_record():
    (members, others), references, sure, inside, _ = world(models=40)
    audit = join(members, others)
    aligned = align_references(audit, references)
    found = likelihood_ratio_attack(audit, aligned, None, 0)
    assert found["models"] == 40 and found["online"]["variance"] == "common"

    many = world(models=120)
    audit = join(*many[0])
    aligned = align_references(audit, many[1])
    found = likelihood_ratio_attack(audit, aligned, None, 0)
    assert found["online"]["variance"] == "by record" and found["online"]["left_out"] == 0
    values, trained = many[2], many[3]
    online, offline = np.zeros(400), np.zeros(400)
    for i in range(400):
        own, out = values[1:][trained[1:, i], i], values[1:][~trained[1:, i], i]
        x = values[0, i]
        online[i] = (
            norm.logpdf(x, own.mean(0), own.std(0, ddof=1))
            - norm.logpdf(x, out.mean(0), out.std(0, ddof=1))
        ).sum()
        offline[i] = ((x - out.mean(0)) / out.std(0, ddof=1)).sum()
    member = trained[0]
    for name, score in (("online", online), ("offline", offline)):
        expected = roc_auc_score(member, score)
        assert found[name]["auroc"]["value"] == pytest.approx(expected, abs=1e-9)


def test_knowing_how_hard_a_record_is_beats_the_loss():
    """Ease varies by 2, membership moves by 1: the loss sees little, the ratio nearly all."""
    (members, others), references, _, _, _ = world(models=40)
    found = privacy(members, others, references, resampling=Resampling(30))["membership"]
    loss, ratio = found["loss"]["auroc"], found["likelihood_ratio"]
    # three findings, each moved by two deviations: Phi(2 sqrt(3) / sqrt(2)) = 0.993
    assert ratio["online"]["auroc"]["value"] == pytest.approx(0.993, abs=0.01)
    assert ratio["offline"]["auroc"]["value"] == pytest.approx(0.993, abs=0.02)
    assert loss["high"] < 0.8 < ratio["offline"]["auroc"]["low"]
    assert ratio["online"]["tpr_at_fpr"]["0.01"]["value"] > 0.5


def test_no_leak_no_attack():
    (members, others), references, _, _, _ = world(1, 600, shift=0.0)
    found = privacy(members, others, references, resampling=Resampling(200))["membership"]
    parts = [
        found["loss"],
        found["learned"]["by_patient"],
        found["likelihood_ratio"]["offline"],
        found["likelihood_ratio"]["online"],
    ]
    for part in parts:
        assert part["auroc"]["value"] == pytest.approx(0.5, abs=0.07)
    assert found["learned"]["published"]["auroc"]["value"] == pytest.approx(0.5, abs=0.07)


def test_learned_attack_does_not_learn_patients():
    """Scores that fingerprint a patient, and nothing about membership: record splits are fooled."""
    rng = np.random.default_rng(0)
    print_of = np.repeat(rng.normal(size=(60, 3)), 8, axis=0) + 0.01 * rng.normal(size=(480, 3))
    labels = np.zeros((480, 3))
    patients = np.array([f"p{i // 8}" for i in range(480)])
    members = table(print_of[:240], labels[:240], 0, patients[:240])
    others = table(print_of[240:], labels[240:], 240, patients[240:])
    audit = join(members, others)
    found = learned_attack(audit, Resampler.of_patients(audit.patient_id, 0), 50, 0)
    assert found["published"]["auroc"]["value"] > 0.95
    assert found["by_patient"]["auroc"]["low"] < 0.6
    assert found == learned_attack(audit, Resampler.of_patients(audit.patient_id, 0), 50, 0)


def test_references_are_aligned_by_record():
    (members, others), references, sure, inside, _ = world(models=3)
    audit = join(members, others)
    shuffled = np.random.default_rng(0).permutation(300)
    part = {
        name: getattr(references[0], name)[shuffled]
        for name in ("labels", "scores", "record_id", "patient_id", "age", "sex")
    }
    moved = replace(references[0], **part, extra={"member": inside[1][shuffled]})
    found = align_references(audit, [moved])
    assert found.scored[0].sum() == 300
    assert found.confidence[0, :300] == pytest.approx(sure[1][:300], abs=1e-6)
    assert np.array_equal(found.trained_on[0, :300], inside[1][:300])
    blind = replace(references[0], extra={})
    assert not align_references(audit, [blind]).trained_on.any()
    offline = likelihood_ratio_attack(audit, align_references(audit, [blind] * 2), None, 0)
    assert "column 'member'" in offline["online"]["reason"]
    assert np.isnan(confidence(np.array([-1]), np.array([0.3])))[0]


def test_refusals():
    (members, others), references, _, _, _ = world()
    with pytest.raises(UserError, match="both members and non-members \\(first 'r0'\\)"):
        join(members, members)
    with pytest.raises(UserError, match="only one of them has 'f2'"):
        join(members, replace(others, names=("f0", "f1"), scores=others.scores[:, :2]))
    audit = join(members, others)
    with pytest.raises(UserError, match="Reference model 2 scored none"):
        strangers = np.array([f"x{i}" for i in range(400)], object)
        align_references(audit, [references[0], replace(references[0], record_id=strangers)])
    with pytest.raises(UserError, match="'member' must be true or false"):
        align_references(audit, [replace(references[0], extra={"member": np.full(400, 2)})])
    with pytest.raises(UserError, match="at least two reference"):
        privacy(members, others, references[:1], resampling=Resampling(2))
    with pytest.raises(UserError, match="needs both"):
        privacy(members)
    with pytest.raises(UserError, match="or embeddings"):
        privacy()
    few = replace(members, patient_id=np.full(200, "p", object))
    with pytest.raises(UserError, match="at least 5 patients"):
        privacy(few, others, resampling=Resampling(2))
