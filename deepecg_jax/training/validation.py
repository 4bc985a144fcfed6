"""Validation during fine-tuning: macro AUROC, the best weights so far, and when to stop."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from deepecg_jax.config import StoppingConfig
from deepecg_jax.data.loading.inputs import LabelledSplit
from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.resampling.bootstrap import bootstrap_auroc
from deepecg_jax.training.recipes import Recipe, evaluated
from deepecg_jax.training.state import State, weights_of


class BestByAuroc:
    """Keeps the weights with the best macro AUROC in the state, so that they resume.

    Args:
        labels: (n, C) of the held-out split: 1, 0, -1 unknown.
        names: the C labels.
        patience: validations without improvement after which to stop.

    Raises:
        UserError: no label has both classes, so there is nothing to stop by.
    """

    def __init__(self, labels: np.ndarray, names: Sequence[str], patience: int):
        self._labels, self._names, self._patience = labels, names, patience
        if all(np.isnan(list(self.auroc_by_label(np.zeros(labels.shape)).values()))):
            raise UserError(
                "no label has both a positive and a negative record in the validation split, so "
                "there is nothing to stop by; choose other labels or another split."
            )

    def scores(self, params: Any) -> np.ndarray:
        """Probabilities of the held-out records, (n, C) float32."""
        raise NotImplementedError

    def auroc_by_label(self, scores: np.ndarray) -> dict[str, float]:
        """AUROC of each label over its known records; NaN where a class is absent."""
        return auroc_by_label(self._labels, scores, self._names)

    def update(self, number: int, state: State) -> tuple[State, dict[str, float], bool]:
        """Validate the current (averaged) weights; returns state, metrics, whether to stop."""
        params = weights_of(state)
        score = float(np.nanmean(list(self.auroc_by_label(self.scores(params)).values())))
        best = state["best"]
        if score > float(best["score"]):
            best = {
                "params": jax.tree.map(jnp.copy, params),
                "score": _like(best["score"], score),
                "stale": _like(best["stale"], 0),
            }
        else:
            best = {**best, "stale": _like(best["stale"], int(best["stale"]) + 1)}
        state = {**state, "best": best}
        return state, {"validation_macro_auroc": score}, self.exhausted(state)

    def exhausted(self, state: State) -> bool:
        """Whether the patience is used up."""
        return int(state["best"]["stale"]) >= self._patience


class Validation(BestByAuroc):
    """Scores the held-out ECGs."""

    def __init__(self, recipe: Recipe, split: LabelledSplit, stopping: StoppingConfig, mesh: Mesh):
        self._split, self._frozen, self._mesh = split, recipe.frozen, mesh
        # one function for all validations, so that it is compiled once
        self._probabilities = lambda params, frozen, batch: jax.nn.sigmoid(
            recipe.logits(params, frozen, batch)
        )
        super().__init__(split.labels, split.names, stopping.patience)

    def scores(self, params: Any) -> np.ndarray:
        """Probabilities of the held-out records, (n, C) float32."""
        return evaluated(
            self._probabilities, (params, self._frozen), self._split.records, self._mesh
        )


def auroc_by_label(
    labels: np.ndarray, scores: np.ndarray, names: Sequence[str]
) -> dict[str, float]:
    """AUROC of each label over its known records; NaN where a class is absent.

    labels: (n, C) of 1, 0, -1 unknown; scores: (n, C).
    """
    values = {}
    for i, name in enumerate(names):
        known = labels[:, i] >= 0
        counts = known[None, :].astype(np.int32)
        own = np.where(known, labels[:, i], 0)[:, None]
        values[name] = float(bootstrap_auroc(own, scores[:, i : i + 1], counts)[0, 0])
    return values


def _like(array: jax.Array, value: float) -> jax.Array:
    """``value`` with the dtype and sharding of ``array``."""
    return jax.device_put(jnp.asarray(value, array.dtype), array.sharding)
