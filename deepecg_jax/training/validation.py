"""Validation during fine-tuning: macro AUROC, the best weights so far, and when to stop."""

from collections.abc import Sequence
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from deepecg_jax.config import FinetuneConfig, StoppingConfig
from deepecg_jax.data.loading.inputs import LabelledSplit
from deepecg_jax.data.loading.protocol import pieces_of
from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.resampling.bootstrap import bootstrap_auroc
from deepecg_jax.training.recipes import Recipe, evaluated
from deepecg_jax.training.state import weights_of
from deepecg_jax.training.types import Array, Best, State, Weights


class BestByAuroc:
    """Keeps the weights with the best macro AUROC in the state, so that they resume.

    Args:
        labels: (n, C) of the held-out split: 1, 0, -1 unknown.
        names: the C labels.
        stopping: how often, and after how many validations without improvement to stop.

    Raises:
        UserError: no label has both classes, so there is nothing to stop by.
    """

    ADVICE: ClassVar[str] = "is train.steps long enough?"  # when no validation was finite

    def __init__(self, labels: np.ndarray, names: Sequence[str], stopping: StoppingConfig):
        self._labels, self._names, self._patience = labels, names, stopping.patience
        self.every = stopping.evaluate_every
        if all(np.isnan(list(self.auroc_by_label(np.zeros(labels.shape)).values()))):
            raise UserError(
                "no label has both a positive and a negative record in the validation split, so "
                "there is nothing to stop by; choose other labels or another split."
            )

    def scores(self, params: Weights) -> np.ndarray:
        """Probabilities of the held-out records, (n, C) float32."""
        raise NotImplementedError

    def auroc_by_label(self, scores: np.ndarray) -> dict[str, float]:
        """AUROC of each label over its known records; NaN where a class is absent."""
        return auroc_by_label(self._labels, scores, self._names)

    def update(self, number: int, state: State) -> tuple[State, dict[str, float], bool]:
        """Validate the current (averaged) weights; returns state, metrics, whether to stop."""
        params = weights_of(state)
        score = float(np.nanmean(list(self.auroc_by_label(self.scores(params)).values())))
        last = _best(state)
        if score > float(last["score"]):
            best: Best = {
                "params": jax.tree.map(jnp.copy, params),
                "score": _like(last["score"], score),
                "stale": _like(last["stale"], 0),
            }
        else:
            best = {**last, "stale": _like(last["stale"], int(last["stale"]) + 1)}
        state = {**state, "best": best}
        return state, {"validation_macro_auroc": score}, self.exhausted(state)

    def exhausted(self, state: State) -> bool:
        """Whether the patience is used up."""
        return int(_best(state)["stale"]) >= self._patience

    def best(self, state: State) -> tuple[Weights, float]:
        """The best weights and their macro AUROC, -inf if no validation was finite."""
        return _best(state)["params"], float(_best(state)["score"])


class Validation(BestByAuroc):
    """Scores the held-out ECGs by the evaluation protocol of a config."""

    def __init__(self, recipe: Recipe, split: LabelledSplit, config: FinetuneConfig, mesh: Mesh):
        self._frozen, self._mesh, self._protocol = recipe.frozen, mesh, config.evaluation
        self._logits = recipe.logits  # one function for all validations, so it is compiled once
        self._pieces, self._counts = pieces_of(
            split.records,
            split.valid_samples,
            config.evaluation,
            split.split.contract.sampling_rate,
        )
        super().__init__(split.labels, split.names, config.stopping)

    def scores(self, params: Weights) -> np.ndarray:
        """Probabilities of the held-out records, (n, C) float32: those of `deepecg predict`."""
        logits = evaluated(self._logits, (params, self._frozen), self._pieces, self._mesh)
        return self._protocol.joined_probabilities(logits, self._counts)


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


def _best(state: State) -> Best:
    if "best" not in state:
        raise ValueError("the state keeps no best weights; make it with keep_best")
    return state["best"]


def _like(array: Array, value: float) -> Array:
    """``value`` with the dtype and sharding of ``array``."""
    return jax.device_put(jnp.asarray(value, array.dtype), array.sharding)
