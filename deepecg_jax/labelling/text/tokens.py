"""Text to words, numbers and the punctuation that matters, with their positions."""

import re

# a word may carry an ending in brackets, contraction(s), and characters that replace lost letters
_LETTER = r"[^\W\d_]"
_WORD = (
    rf"{_LETTER}[^\W_]*(?:[�#?](?={_LETTER})[^\W_]*)*(?:\({_LETTER}{{1,3}}\))?"
    rf"|[�#](?={_LETTER})[^\W_]+"
)
_NUMBER = r"\d+(?:\.\d+)?"
# a line break ends a statement if the next line starts like a new one
_BREAK = r"\n(?=\s*(?:[A-ZÀ-ÞŒ0-9•*\-]|\n|$))"
END_OF_SENTENCE = re.compile(rf"\. |{_BREAK}")
TOKEN = re.compile(rf"[Vv][1-9](?=[Vv][1-9])|{_WORD}|{_NUMBER}|[.,;?!/&+]|:(?!\d)")
"""The tokens of a sentence; V5V6 are two. None has a space in it: a sentence may be cut there."""

_ENDING = re.compile(r"\(.*\)$")


def words_of(phrase: str) -> list[str]:
    """The words of a rule's phrase, by the same expression that reads the reports.

    "¿" stands for a question mark before what it doubts ("?LVH").
    """
    return [match.group() for match in re.finditer(rf"(?:{_WORD})\*?|{_NUMBER}|[?¿&+,:]", phrase)]


def bare(word: str) -> str:
    """A word without its ending in brackets: ``extrasystole(n)`` -> ``extrasystole``."""
    return _ENDING.sub("", word) if word.endswith(")") else word
