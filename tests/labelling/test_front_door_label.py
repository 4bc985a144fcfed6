"""The front door of labelling."""

import doctest

import pytest

from deepecg_jax.errors import UserError
from deepecg_jax.labelling import label as module
from deepecg_jax.labelling.label import label
from deepecg_jax.labels.findings import FINDINGS


def test_the_example_of_the_docstring() -> None:
    result = doctest.testmod(module)
    assert result.attempted == 3 and result.failed == 0


def test_spans_give_the_words() -> None:
    text = "Kein Vorhofflimmern. V.a. Linksschenkelblock"
    found = label(text)
    assert {name: said.state for name, said in found.items()} == {
        "Left bundle branch block": "uncertain",
        "Afib": "absent",
    }
    assert list(found) == sorted(found, key=FINDINGS.index)
    for said in found.values():
        assert said.words == tuple(text[start:end] for start, end in said.spans)


def test_one_language_only() -> None:
    assert label("No AF", language="sv") == label("") == {}
    with pytest.raises(UserError, match="no rules for language 'nl'"):
        label("AF", language="nl")
