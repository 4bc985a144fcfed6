"""The privacy part: everything that ``privacy.json`` holds."""

from collections.abc import Sequence
from typing import Any

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.privacy.audit import align_references, join
from deepecg_jax.evaluation.privacy.embeddings import Embeddings
from deepecg_jax.evaluation.privacy.likelihood_ratio import likelihood_ratio_attack
from deepecg_jax.evaluation.privacy.membership import learned_attack, loss_attack
from deepecg_jax.evaluation.privacy.reidentification import reidentify
from deepecg_jax.evaluation.resampling.draws import Resampler
from deepecg_jax.evaluation.table.predictions import Predictions

SCHEMA = 1


def privacy(
    members: Predictions | None = None,
    non_members: Predictions | None = None,
    references: Sequence[Predictions] = (),
    embeddings: Embeddings | None = None,
    resamples: int = 1000,
    seed: int = 0,
    cluster: str | None = "patient_id",
    most_queries: int | None = None,
) -> dict[str, Any]:
    """Membership inference from predictions, and re-identification from embeddings.

    Args:
        members: the model's predictions for records of its training data.
        non_members: its predictions for records it never saw, of the same population: a difference
            between populations would pass for membership.
        references: predictions of other models for the same records, with a column ``member`` where
            a model was trained on some of them.
        embeddings: of recordings with patients and dates.
        resamples, seed, cluster: of the bootstrap, as in `evaluate.evaluate`.
        most_queries: see `reidentification.reidentify`.

    Returns:
        ``schema``, ``resamples``, ``seed``, ``cluster``, and null for what was not given:

        * ``membership``: ``patients_in_both``, ``loss`` (`membership.loss_attack`), ``learned``
          (`membership.learned_attack`), ``likelihood_ratio``
          (`likelihood_ratio.likelihood_ratio_attack`, null without references);
        * ``reidentification`` (`reidentification.reidentify`).

    Raises:
        UserError: nothing to measure, only one of members and non-members, or what the parts raise.
    """
    if (members is None) != (non_members is None):
        raise UserError("Membership inference needs both members and non-members.")
    if members is None and embeddings is None:
        raise UserError("Privacy needs members and non-members, or embeddings, or all of them.")
    if references and members is None:
        raise UserError("Reference models are for membership inference; give members too.")
    if resamples < 1:
        raise UserError(f"resamples is {resamples}; at least 1 is needed for an interval.")
    if cluster not in (None, "patient_id"):
        raise UserError(f"cluster is '{cluster}'; use patient_id or none.")
    membership = None
    if members is not None and non_members is not None:
        audit = join(members, non_members)
        resampler = (
            Resampler.of_records(len(audit.member), seed)
            if cluster is None
            else Resampler.of_patients(audit.patient_id, seed)
        )
        known = bool((audit.labels >= 0).any())
        membership = {
            "patients_in_both": audit.patients_in_both,
            "loss": loss_attack(audit, resampler, resamples)
            if known
            else {"reason": "no record has a known label"},
            "learned": learned_attack(audit, resampler, resamples, seed),
            "likelihood_ratio": likelihood_ratio_attack(
                audit, align_references(audit, references), resampler, resamples
            )
            if references
            else None,
        }
    return {
        "schema": SCHEMA,
        "resamples": resamples,
        "seed": seed,
        "cluster": cluster,
        "membership": membership,
        "reidentification": None
        if embeddings is None
        else reidentify(embeddings, resamples, seed, most_queries),
    }
