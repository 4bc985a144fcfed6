"""The front door: what one report says."""

from typing import NamedTuple

from deepecg_jax.labelling.rules.labeller import Labels, Span, shipped_labeller
from deepecg_jax.labels.findings import FINDINGS


class Said(NamedTuple):
    """What a report says of one finding.

    Attributes:
        state: ``present``, ``uncertain`` or ``absent``.
        spans: [start, end) in the text, in their order: the words that name the finding, and those
            that deny it or doubt it.
        words: the same as text.
    """

    state: str
    spans: tuple[Span, ...]
    words: tuple[str, ...]


def label(text: str, language: str | None = None) -> dict[str, Said]:
    """The findings that a free-text ECG report speaks of; what it leaves out is not in the answer.

    >>> found = label("Sinus rhythm. No AF, possible LBBB")
    >>> {name: said.state for name, said in found.items()}
    {'Sinusal': 'present', 'Left bundle branch block': 'uncertain', 'Afib': 'absent'}
    >>> found["Afib"].spans, found["Afib"].words
    (((14, 16), (17, 19)), ('No', 'AF'))

    Many texts are read faster by `labelling.rules.processes.label_texts`.

    Args:
        text: English, French, German or Swedish, also mixed.
        language: ``en``, ``fr``, ``de`` or ``sv`` to read only this one.

    Returns:
        Finding (one of ``labels.findings.FINDINGS``, in that order) -> its state and words.

    Raises:
        UserError: there are no rules for the language.
    """
    return said(text, shipped_labeller(language).label(text))


def said(text: str, labels: Labels) -> dict[str, Said]:
    """What the labels of a text say by name, in the order of ``FINDINGS``."""
    return {
        FINDINGS[i]: Said(
            labels.states[i].name,
            labels.evidence[i],
            tuple(text[start:end] for start, end in labels.evidence[i]),
        )
        for i in sorted(labels.states)
    }
