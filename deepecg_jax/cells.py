"""What one written value means: a number, yes or no, or nothing known; and what parts a line.

On the ground floor, because files of ECGs (headers, CSV of samples), tables of hospitals and tables
of labels are all written by the same people in the same ways.
"""

import math
import re

UNKNOWN_WORDS = frozenset(
    (
        *("", "nan", "none", "null", "na", "n/a", "<na>", "nat", "unknown", "unk", "u", "x", "-"),
        *("?", ".", "n.a.", "#n/a", "#nv", "#n/v", "missing", "unbekannt", "k.a.", "inconnu"),
        *("okänd", "desconocido", "desconhecido", "sconosciuto", "onbekend", "nieznany", "ukjent"),
        *("ukendt", "ej angivet", "keine angabe", "nicht bekannt", "not known", "not available"),
    )
)
"""Ways of writing that a value is not known, in lower case; ``#NV`` is German Excel's."""

_COMMA = re.compile(r"[-+]?(?:\d+,(?:\d{1,2}|\d{4,})|0,\d{3})", re.ASCII)
_ANY_COMMA = re.compile(r"[-+]?\d*,\d+(?:e[-+]?\d+)?", re.ASCII | re.IGNORECASE)
_GROUPED = re.compile(r"[-+]?\d{1,3}(?:(?:,\d{3})+\.\d+|(?:\.\d{3})+,\d+)", re.ASCII)

# English, German, French, Spanish, Portuguese, Italian, Dutch, Swedish, Danish, Norwegian, Polish;
# the words for true and false are those of spreadsheets in these languages
_YES = (
    *("1", "1.0", "1,0", "true", "t", "yes", "y", "present", "positive"),
    *("wahr", "ja", "j", "positiv", "vrai", "oui", "positif", "verdadero", "si", "sí", "positivo"),
    *("verdadeiro", "sim", "vero", "sì", "waar", "positief", "sant", "sand", "sann", "prawda"),
    *("tak",),
)
_NO = (
    *("0", "0.0", "0,0", "false", "f", "no", "n", "absent", "negative"),
    *("falsch", "nein", "negativ", "faux", "non", "négatif", "falso", "negativo", "não", "nao"),
    *("onwaar", "nee", "negatief", "nej", "nei", "falskt", "falsk", "usann", "fałsz", "nie"),
)
_VALUES = {
    **dict.fromkeys(_YES, 1),
    **dict.fromkeys(_NO, 0),
    # A lone x is a tick as often as it is a gap, so it is refused.
    **dict.fromkeys(("-1", "-1.0", "-1,0", "uncertain", *UNKNOWN_WORDS - {"x"}), -1),
}
LABEL_WORDS = "present, absent, uncertain, yes, no, 1, 0, -1 or empty (unknown)"
"""What a label may be (``yes_or_no``), for sentences about one that is none of it."""

_DELIMITERS = ",;\t|"
_QUOTED = re.compile(r'"[^"]*"')
_DECIMAL_COMMA = re.compile(r"(?<=\d),(?=\d)", re.ASCII)


def is_unknown(text: str) -> bool:
    """Whether a cell says that its value is not known: empty, ``n/a``, ``unbekannt`` ..."""
    return text.strip().lower() in UNKNOWN_WORDS


def read_number(text: str, decimal_comma: bool = False) -> float:
    """``364.5``, ``364,5``, ``1,234.5`` or ``1.234,5``; NaN for anything else.

    ``1,234`` is NaN, too: it is a thousand in one country and one in another. Infinity, ``1_000``
    and digits of other scripts are no numbers.

    Args:
        text: a cell; blanks around it do not matter.
        decimal_comma: something else says that a comma stands before the decimals (another
            delimiter between the columns of a file of samples), so that ``1,234`` is 1.234.
    """
    value = text.strip()
    if decimal_comma and _ANY_COMMA.fullmatch(value):
        return float(value.replace(",", "."))
    try:
        number = float(value)
    except ValueError:
        if _COMMA.fullmatch(value):
            return float(value.replace(",", "."))
        if _GROUPED.fullmatch(value):
            group, point = (",", ".") if value.rindex(".") > value.rindex(",") else (".", ",")
            return float(value.replace(group, "").replace(point, "."))
        return math.nan
    # Python's float reads more than people write: inf, nan, 1_000 and Arabic digits
    fine = math.isfinite(number) and "_" not in value and value.isascii()
    return number if fine else math.nan


def yes_or_no(text: str) -> int | None:
    """1, 0, or -1 for an unknown value, from a cell; None for a text that is none of these.

    The words are those of eleven languages (``ja``, ``oui``, ``sim``, ``nie``), in any case.
    """
    return _VALUES.get(text.strip().lower())


def delimiter_of(line: str) -> str:
    """What parts the cells of a line: the one of , ; tab and | that stands most often in it.

    Text in quotes does not count, nor does a comma between two digits where another mark stands:
    ``0,5;1,5;2,5`` is three numbers. A comma if there is none of them.
    """
    bare = _QUOTED.sub("", line)
    marks = _DECIMAL_COMMA.sub("", bare)
    return max(_DELIMITERS, key=marks.count if any(m in marks for m in _DELIMITERS) else bare.count)
