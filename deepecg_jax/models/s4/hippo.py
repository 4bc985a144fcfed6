"""The state matrix that an S4 layer begins with: HiPPO-LegS, diagonal plus low rank."""

import functools
from typing import NamedTuple

import numpy as np


class Spectrum(NamedTuple):
    """HiPPO-LegS where its normal part is diagonal; of each conjugate pair one, (N / 2,) each.

    The state obeys x' = (diag(-decay + i frequency) - p p*) x + b u.
    """

    decay: np.ndarray
    frequency: np.ndarray
    low_rank: np.ndarray  # p, real and positive
    input: np.ndarray  # b, real and positive


def legs_matrix(state: int) -> np.ndarray:
    """A of HiPPO-LegS (Gu et al. 2020), (N, N): x' = A x + B u with B_n = sqrt(2 n + 1)."""
    root = np.sqrt(2 * np.arange(state) + 1.0)
    return -np.tril(np.outer(root, root), -1) - np.diag(np.arange(state) + 1.0)


@functools.cache
def legs(state: int) -> Spectrum:
    """The spectrum of HiPPO-LegS of an even number of states (Gu et al. 2022, appendix C).

    A + p p^T with p_n = sqrt(n + 1/2) is -1/2 on the diagonal and antisymmetric beside it, so its
    eigenvectors are orthonormal. Their phases are free: those are taken that make b positive, and p
    is b / sqrt(2), so the result does not depend on the linear algebra of a machine.
    """
    low_rank = np.sqrt(np.arange(state) + 0.5)
    normal = legs_matrix(state) + np.outer(low_rank, low_rank)
    antisymmetric = normal + 0.5 * np.eye(state)
    frequency, vectors = np.linalg.eigh(-1j * antisymmetric)
    kept = frequency > 0
    projected = np.abs(vectors[:, kept].conj().T @ low_rank)
    decay = np.full(state // 2, 0.5)
    return Spectrum(decay, frequency[kept], projected, np.sqrt(2.0) * projected)
