"""Reports to findings by a BERT classifier: texts in, probabilities and decisions out."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from deepecg_jax.errors import UserError
from deepecg_jax.evaluation.discrimination.thresholds import align_thresholds, read_thresholds
from deepecg_jax.evaluation.resampling.tallies import comparable_thresholds
from deepecg_jax.labelling.bert import huggingface
from deepecg_jax.labelling.bert.config import are_generic
from deepecg_jax.labelling.bert.scorer import BertScorer
from deepecg_jax.labels.findings import FINDINGS, shipped_table

_CHUNK = 32_768  # texts that are tokenized at once: bounds the memory


class ReportClassifier:
    """A BERT classifier with names and thresholds.

    Attributes:
        labels: names of the C outputs.
        thresholds: (C,); a probability at or above it is positive.
        thresholds_source: where they are from.
    """

    def __init__(
        self,
        folder: huggingface.BertFolder,
        thresholds: Mapping[str, float],
        thresholds_source: str,
    ):
        self.labels = output_names(folder.config.labels)
        self.thresholds = align_thresholds(thresholds, self.labels, thresholds_source)
        self.thresholds_source = thresholds_source
        self._tokenizer = folder.tokenizer
        self._scorer = BertScorer(folder.config)
        self._params = self._scorer.place(folder.params)

    @classmethod
    def load(cls, folder: str | Path, thresholds: str | Path | None = None) -> "ReportClassifier":
        """Read a Hugging Face folder.

        thresholds: a thresholds file; by default the folder's ``thresholds.json``, or else, for a
            classifier of the 77 findings, the published thresholds.

        Raises:
            UserError: the folder is damaged, or there are no thresholds for its labels.
        """
        loaded = huggingface.load(folder)
        names = output_names(loaded.config.labels)
        if thresholds is not None:
            return cls(loaded, read_thresholds(thresholds), str(thresholds))
        if loaded.thresholds is not None:
            return cls(loaded, loaded.thresholds, str(Path(folder) / huggingface.THRESHOLDS))
        if names == FINDINGS:
            return cls(loaded, published_thresholds(), "the published thresholds")
        raise UserError(
            f"{folder} has no {huggingface.THRESHOLDS}, and there are published thresholds only "
            "for a classifier of the 77 findings; give --thresholds FILE.json (label -> number)."
        )

    def scores(
        self, texts: Sequence[str], progress: Callable[[int], None] | None = None
    ) -> np.ndarray:
        """Probabilities (N, C) float32; NaN where a report has no text.

        Equal texts are computed once. ``progress`` is called with numbers of distinct texts done.
        """
        distinct = list(dict.fromkeys(text for text in texts if text.strip()))
        place = {text: row for row, text in enumerate(distinct)}
        found = [
            self._scorer(
                self._params, self._tokenizer.encode(distinct[start : start + _CHUNK]), progress
            )
            for start in range(0, len(distinct), _CHUNK)
        ]
        nothing = np.full((1, len(self.labels)), np.nan, np.float32)
        table = np.concatenate([*found, nothing])
        return table[[place.get(text, len(distinct)) for text in texts]]

    def positive(self, scores: np.ndarray) -> np.ndarray:
        """Which probabilities reach their thresholds, (N, C) bool."""
        return scores >= comparable_thresholds(self.thresholds, scores.dtype)


def output_names(labels: tuple[str, ...]) -> tuple[str, ...]:
    """The labels of a config; the 77 findings, in the published order, for 77 nameless outputs."""
    return FINDINGS if len(labels) == len(FINDINGS) and are_generic(labels) else labels


def published_thresholds() -> dict[str, float]:
    """The thresholds of DeepECG's report classifier, finding -> probability."""
    rows = shipped_table("bert_thresholds.csv")
    return {row["finding"]: float(row["threshold"]) for row in rows}
