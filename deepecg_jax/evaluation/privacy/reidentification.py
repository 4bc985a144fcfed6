"""Can a patient be found again by the embedding of an ECG of another day?"""

import numpy as np
from scipy.special import gammaln

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.privacy.embedding_table import Embeddings
from deepecg_jax.evaluation.privacy.results import Reidentified
from deepecg_jax.evaluation.resampling.defined import ratio
from deepecg_jax.evaluation.resampling.draws import Resampler
from deepecg_jax.evaluation.resampling.intervals import interval
from deepecg_jax.evaluation.resampling.resampling import Resampling

_QUERIES = 256
_CELLS = 5e7


def reidentify(
    embeddings: Embeddings, resampling: Resampling, most_queries: int | None = None
) -> Reidentified:
    """Search the recordings for the patient of each one, by cosine similarity.

    A query is a recording whose patient has one of another date; its gallery is all recordings but
    those that its patient had on the same date. ``rank_k`` is the share of queries with a recording
    of the patient among the k nearest, ``map`` the mean average precision. Equal similarities count
    against the search, so that embeddings that are all alike find nobody. Resamples draw patients
    as queries; the gallery stays.

    Args:
        embeddings: recordings with patients and dates.
        resampling: how many resamples of which seed.
        most_queries: take a random part of the queries, for large sets.

    Raises:
        UserError: nobody has recordings of two dates.
    """
    vectors = embeddings.vectors / np.linalg.norm(embeddings.vectors, axis=1, keepdims=True)
    patient = np.unique(embeddings.patient_id.astype(str), return_inverse=True)[1]
    day = np.unique(embeddings.date, return_inverse=True)[1]
    queries = _queries(patient, day)
    if len(queries) == 0:
        raise UserError("No patient has recordings of two dates, so nobody can be found again.")
    if most_queries is not None and most_queries < len(queries):
        rng = np.random.Generator(np.random.Philox(key=np.array([resampling.seed, 0], np.uint64)))
        queries = np.sort(rng.choice(queries, most_queries, replace=False))
    found = np.concatenate(
        [
            _search(vectors, patient, day, part)
            for part in np.split(queries, range(_QUERIES, len(queries), _QUERIES))
        ]
    )
    resampler = Resampler.of_patients(embeddings.patient_id[queries], resampling.seed)
    counts = np.concatenate(
        [np.ones((1, len(queries))), resampler.counts(0, resampling.resamples).astype(np.float64)]
    )
    values = ratio(counts @ found[:, :3], counts.sum(axis=1, keepdims=True))
    mates, others = found[:, 3], found[:, 4]
    return {
        "n_recordings": len(patient),
        "n_patients": int(patient.max()) + 1,
        "n_queries": len(queries),
        "n_query_patients": len(np.unique(patient[queries])),
        "left_out": embeddings.left_out,
        "rank_1": interval(values[:, 0]),
        "rank_5": interval(values[:, 1]),
        "map": interval(values[:, 2]),
        "chance": {"rank_1": _chance(mates, others, 1), "rank_5": _chance(mates, others, 5)},
    }


def _queries(patient: np.ndarray, day: np.ndarray) -> np.ndarray:
    """Recordings whose patient has one of another date."""
    visits = np.unique(np.stack([patient, day], axis=1), axis=0)
    dates = np.bincount(visits[:, 0], minlength=patient.max() + 1)
    return np.flatnonzero(dates[patient] > 1)


def _search(
    vectors: np.ndarray, patient: np.ndarray, day: np.ndarray, queries: np.ndarray
) -> np.ndarray:
    """(queries, 5): rank-1 and rank-5 hit, average precision, mates and others in the gallery."""
    # six digits: what float32 products of equal vectors agree on, so that ties are ties
    near = np.round(vectors[queries] @ vectors.T, 6)
    own = patient[queries][:, None] == patient[None, :]
    mate = own & (day[queries][:, None] != day[None, :])
    query, at = np.nonzero(mate)
    similarity = near[query, at]
    # mates of a query from the nearest on
    order = np.lexsort((-similarity, query))
    query, similarity = query[order], similarity[order]
    near[own] = -np.inf
    ahead = np.empty(len(query), np.int64)
    step = max(1, int(_CELLS // near.shape[1]))
    for start in range(0, len(query), step):
        part = slice(start, start + step)
        ahead[part] = (near[query[part]] >= similarity[part, None]).sum(axis=1)
    mates = mate.sum(axis=1)
    first = np.r_[0, np.cumsum(mates)[:-1]]
    place = np.arange(len(query)) - first[query] + 1
    precision = np.bincount(query, place / (place + ahead), minlength=len(queries)) / mates
    nearest = ahead[first]
    others = near.shape[1] - own.sum(axis=1)
    return np.stack([nearest < 1, nearest < 5, precision, mates, others], axis=1)


def _chance(mates: np.ndarray, others: np.ndarray, k: int) -> float:
    """Mean probability that k drawn without replacement hold a mate: 1 - C(o, k) / C(all, k)."""
    total = mates + others
    enough = others >= k
    n, m = np.where(enough, others, k), np.where(enough, total, k)
    missed = np.exp(gammaln(n + 1) - gammaln(n - k + 1) - gammaln(m + 1) + gammaln(m - k + 1))
    return float(np.where(enough, 1 - missed, 1.0).mean())
