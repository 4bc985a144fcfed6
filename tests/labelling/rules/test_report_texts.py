"""A thousand report texts that were written by hand with what they say, before they were read.

A line of ``report_texts/LANGUAGE.txt`` is ``text => +A ?B -C``: A present, B uncertain, C absent,
nothing else said. ``\\n`` is a line break. The short names stand in ``SHORT``.
"""

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from deepecg_jax.labelling.rules.labeller import Labels, shipped_labeller
from deepecg_jax.labels.findings import FINDINGS

FOLDER = Path(__file__).parent / "report_texts"
STATES = {"+": "present", "?": "uncertain", "-": "absent"}
# short name -> how the finding's name begins
SHORT = {
    "SIN": "Sinusal",
    "REG": "Regular",
    "IRR": "Irregularly",
    "RIR": "Regularly",
    "AF": "Afib",
    "BRA": "Bradycardia",
    "AFL": "Atrial flutter",
    "AT": "Atrial tachy",
    "EAR": "Ectopic",
    "SVT": "Supraven",
    "VT": "Ventricular tachy",
    "JR": "Junctional",
    "VR": "Ventricular Rhythm",
    "PVC": "Premature ventricular",
    "PAC": "Premature atrial",
    "BRU": "Brugada",
    "LBBB": "Left bundle",
    "RBBB": "Right bundle",
    "LAFB": "Left anterior",
    "IVCD": "Nonspecific",
    "LPFB": "Left posterior",
    "AVB1": "1st",
    "AVB3": "Third",
    "MOB1": "2nd degree AV block - mobitz 1",
    "MOB2": "2nd degree AV block - mobitz 2",
    "LAD": "Left axis",
    "RAD": "Right axis",
    "RSA": "Right superior",
    "WPW": "Wolff",
    "DELTA": "Delta",
    "VP": "Ventricular paced",
    "AP": "Atrial paced",
    "LVP": "LV pacing",
    "QT": "Prolonged",
    "UW": "U wave",
    "LVH": "Left ventricular",
    "RVH": "Right ventricular",
    "LAE": "Left atrial",
    "RAE": "Right atrial",
    "BAE": "Bi-atrial",
    "LOWV": "Low",
    "SOK": "SV1",
    "RAVL": "RaVL",
    "RV1SV6": "RV1",
    "RV56": "R complex",
    "RS": "R/S",
    "RSR": "rSR'",
    "QSV": "QS complex",
    "NEG3": "QRS complex",
    "DOWN": "ST down",
    "UP": "ST up",
    "MI": "Acute MI",
    "ER": "Early",
    "PERI": "Acute peri",
    "LEAD": "Lead",
    "NOQRS": "no_qrs",
}
for sign, name in {
    "STE": "ST elevation",
    "STD": "ST depression",
    "T": "T wave inversion",
    "Q": "Q wave",
}.items():
    for site in ("inferior", "lateral", "anterior", "septal", "posterior"):
        if (sign, site) != ("T", "posterior") and (sign, site) != ("STD", "posterior"):
            SHORT[sign + site[0].upper()] = f"{name} ({site}"
NAMES = {  # of two that begin alike ("Regular", "Regularly irregular") the first
    short: next(name for name in FINDINGS if name.startswith(start))
    for short, start in SHORT.items()
}


def lines(language: str) -> list[tuple[str, dict[str, str]]]:
    """The texts of a language and what each of them says."""
    found = []
    for line in (FOLDER / f"{language}.txt").read_text(encoding="utf-8").splitlines():
        text, said = line.rsplit(" =>", 1)
        states = {NAMES[word[1:]]: STATES[word[0]] for word in said.split()}
        found.append((text.replace("\\n", "\n"), states))
    return found


LANGUAGES = pytest.mark.parametrize("language", ["de", "en", "fr", "sv"])


@LANGUAGES
def test_texts_say_what_their_writer_meant(language: str):
    """Alone, with the language found out; and the same if the language is given."""
    known = lines(language)
    assert len(known) > 200
    for labeller in (shipped_labeller(), shipped_labeller(language)):
        wrong = {text: labeller.label(text).named() for text, _ in known}
        assert wrong == {
            text: {name: said[name] for name in FINDINGS if name in said} for text, said in known
        }


def spelled(text: str) -> str:
    """Umlauts as two letters, other accents lost."""
    for letter, letters in {
        "ä": "ae",
        "ö": "oe",
        "ü": "ue",
        "Ä": "Ae",
        "Ö": "Oe",
        "Ü": "Ue",
    }.items():
        text = text.replace(letter, letters)
    return plain(text)


def plain(text: str) -> str:
    decomposed = unicodedata.normalize("NFD", text)
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


def broken(text: str) -> str:
    """UTF-8 that was read as Windows-1252."""
    return text.encode().decode("cp1252", errors="replace")


@LANGUAGES
@pytest.mark.parametrize("change", [str.upper, str.lower, spelled, plain, broken])
def test_letters_change_nothing(language: str, change: Callable[[str], str]):
    for text, said in lines(language):
        if "\n" in text:
            continue  # a capital after a line break begins a statement
        labels = shipped_labeller().label(change(text))
        assert labels.named() == {name: said[name] for name in FINDINGS if name in said}, text


def evidence(text: str, labels: Labels) -> dict[int, list[str]]:
    return {
        finding: [unicodedata.normalize("NFC", text[start:end]) for start, end in spans]
        for finding, spans in labels.evidence.items()
    }


@LANGUAGES
def test_evidence_is_whole_words_of_the_text_as_given(language: str):
    """Also where letters and their marks stand apart, and after line breaks."""
    for text, _ in lines(language):
        own = evidence(text, shipped_labeller().label(text))
        for words in (word for found in own.values() for word in found):
            assert words == words.strip() and words
        for finding, spans in shipped_labeller().label(text).evidence.items():
            for start, end in spans:
                around = text[max(start - 1, 0) : start], text[end : end + 1]
                assert not (around[0].isalpha() and text[start].isalpha()), (text, finding)
                assert not (around[1].isalpha() and text[end - 1].isalpha()), (text, finding)
        for changed in (unicodedata.normalize("NFD", text), f"  \r\n\r\n {text}  "):
            assert evidence(changed, shipped_labeller().label(changed)) == own, text
