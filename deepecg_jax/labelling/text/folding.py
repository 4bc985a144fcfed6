"""One spelling for all: case, umlauts, accents and broken encodings.

Reports write the same word as ``ischämie``, ``ISCHÄMIE``, ``ischaemie``, ``ischamie``,
``ischÃ¤mie`` (UTF-8 read as Latin-1) or ``isch?mie`` (a letter that was lost). `fold` removes case
and marks, `variants` gives the spellings of a rule's word, `repair` undoes the wrong decoding and
keeps track of positions, so that spans point into the text as it was given.
"""

import re
import unicodedata
from functools import lru_cache

_SPELLED = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "æ": "ae", "œ": "oe"})
_PLAIN = str.maketrans({"æ": "a", "ø": "o", "œ": "oe", "ß": "ss", "đ": "d", "ł": "l"})
# UTF-8 lead bytes of Latin letters and signs as Windows-1252 shows them, and one following byte
_MOJIBAKE = re.compile("[ÂÃÅâ][\u0080-\u00bfŒœŠšŸŽžƒˆ˜–—‘’‚“”„†‡•…‰‹›€™]{1,2}")
_MARKED = re.compile("[^\\W\\d_][\u0300-\u036f]+")
_REPAIRABLE = re.compile(f"{_MOJIBAKE.pattern}|{_MARKED.pattern}")
LOST = "�#?"
"""Characters that stand where a letter was lost."""


def fold(word: str) -> str:
    """Lower case without accents: ``Ä`` -> ``a``, ``ß`` -> ``ss``, ``É`` -> ``e``."""
    if word.isascii():
        return word.lower()
    plain = unicodedata.normalize("NFKD", word.casefold().translate(_PLAIN))
    return "".join(letter for letter in plain if not unicodedata.combining(letter))


@lru_cache(maxsize=20_000)
def variants(word: str) -> tuple[str, ...]:
    """The folded spellings of a correctly written word: without marks, and with ae, oe, ue."""
    lower = unicodedata.normalize("NFC", word.casefold())
    return tuple(sorted({fold(lower), fold(lower.translate(_SPELLED))}))


def needs_repair(text: str) -> bool:
    """Whether the text holds wrongly decoded UTF-8, or letters and their marks apart."""
    if text.isascii():
        return False
    # the expression is slow where every second letter may begin a match; most texts need no look
    suspicious = "Ã" in text or "Å" in text or "â" in text or "Â" in text
    if not suspicious and unicodedata.is_normalized("NFC", text):
        return False
    return _REPAIRABLE.search(text) is not None


def repair(text: str) -> tuple[str, list[int]]:
    """The text with whole and rightly decoded letters, and where each of them stands in ``text``.

    The list has one more entry, the length of ``text``, for the end of the last span.
    """
    pieces: list[str] = []
    positions: list[int] = []
    at = 0
    for match in _REPAIRABLE.finditer(text):
        found, start = match.group(), match.start()
        if unicodedata.combining(found[-1]):
            right, used = unicodedata.normalize("NFC", found), len(found)
        else:
            right, used = _decode(found)
        if len(right) != 1:  # no such letter: leave it
            continue
        pieces += [text[at:start], right]
        positions += [*range(at, start), start]
        at = start + used
    pieces.append(text[at:])
    positions += range(at, len(text) + 1)
    return "".join(pieces), positions


def _decode(broken: str) -> tuple[str, int]:
    """The letter that two or three characters stand for, and how many: ("", 0) if none."""
    for length in (len(broken), 2):
        raw = b"".join(_byte(letter) for letter in broken[:length])
        try:
            return raw.decode("utf-8"), length
        except UnicodeDecodeError:
            continue
    return "", 0


def _byte(letter: str) -> bytes:
    try:
        return letter.encode("cp1252")
    except UnicodeEncodeError:
        return letter.encode("latin-1", "replace")
