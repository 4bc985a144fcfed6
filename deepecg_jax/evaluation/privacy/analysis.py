"""The privacy part: everything that ``privacy.json`` holds."""

from collections.abc import Sequence

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.privacy.audit import align_references, join
from deepecg_jax.evaluation.privacy.embedding_table import Embeddings
from deepecg_jax.evaluation.privacy.likelihood_ratio import likelihood_ratio_attack
from deepecg_jax.evaluation.privacy.membership import learned_attack, loss_attack
from deepecg_jax.evaluation.privacy.reidentification import reidentify
from deepecg_jax.evaluation.privacy.results import Membership, PrivacyResult
from deepecg_jax.evaluation.resampling.resampling import Resampling
from deepecg_jax.evaluation.table.predictions import Predictions

SCHEMA = 1


def privacy(
    members: Predictions | None = None,
    non_members: Predictions | None = None,
    references: Sequence[Predictions] = (),
    embeddings: Embeddings | None = None,
    resampling: Resampling | None = None,
    most_queries: int | None = None,
) -> PrivacyResult:
    """Membership inference from predictions, and re-identification from embeddings.

    Args:
        members: the model's predictions for records of its training data.
        non_members: its predictions for records it never saw, of the same population: a difference
            between populations would pass for membership.
        references: predictions of other models for the same records, with a column ``member`` where
            a model was trained on some of them.
        embeddings: of recordings with patients and dates.
        resampling: of the bootstrap, whose seed the attackers have too; strata, BCa and devices
            are not offered here, and re-identification always draws patients.
        most_queries: see `reidentification.reidentify`.

    Returns:
        what ``privacy.json`` holds, null for what was not given.

    Raises:
        UserError: nothing to measure, only one of members and non-members, or what the parts raise.
    """
    if (members is None) != (non_members is None):
        raise UserError("Membership inference needs both members and non-members.")
    if members is None and embeddings is None:
        raise UserError("Privacy needs members and non-members, or embeddings, or all of them.")
    if references and members is None:
        raise UserError("Reference models are for membership inference; give members too.")
    resampling = resampling or Resampling()
    resampling.refuse("Privacy", "stratify", "interval", "devices")
    resamples, membership = resampling.resamples, None
    if members is not None and non_members is not None:
        audit = join(members, non_members)
        resampler = resampling.resampler(audit.patient_id)
        known = bool((audit.labels >= 0).any())
        membership: Membership | None = {
            "patients_in_both": audit.patients_in_both,
            "loss": loss_attack(audit, resampler, resamples)
            if known
            else {"reason": "no record has a known label"},
            "learned": learned_attack(audit, resampler, resamples, resampling.seed),
            "likelihood_ratio": likelihood_ratio_attack(
                audit, align_references(audit, references), resampler, resamples
            )
            if references
            else None,
        }
    return {
        "schema": SCHEMA,
        "resamples": resamples,
        "seed": resampling.seed,
        "cluster": resampling.cluster,
        "membership": membership,
        "reidentification": None
        if embeddings is None
        else reidentify(embeddings, resampling, most_queries),
    }
