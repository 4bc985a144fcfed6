"""Statements of ECG machines (GE MUSE / 12SL and the carts of MIMIC-IV-ECG) to findings.

Machines write from a closed vocabulary: one basic rhythm, then what else their program finds. The
map ``muse_to_findings.csv`` knows statements by their words; a statement that joins several
("sinus rhythm with PAC(s) with 1st degree A-V block") is read part by part. What is hedged
(possible, probable, consider, borderline ...) is unknown, what is denied or compares with an
earlier ECG is not read. For free text written by people use ``labelling``.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from deepecg_jax.labels.findings import shipped_table
from deepecg_jax.labels.maps import PRESENT, UNKNOWN, FindingRules, label_vector, read_map

NORMAL_LABEL = "machine:normal ECG"
"""1 if the program calls the ECG normal; 0 if abnormal, borderline or otherwise normal."""

_SPELLING = (
    (re.compile(r"[*_]+|-{2,}|[\"]"), " "),
    (re.compile(r"\(s\)"), ""),
    (re.compile(r"[()\[\];:](?!\d)"), ", "),
    (re.compile(r"\ba[-/ ]?v\b"), "av"),
    (re.compile(r"\b(?:first|1st) degree\b"), "1st degree"),
    (re.compile(r"\b(?:second|2nd) degree\b"), "2nd degree"),
    (re.compile(r"\b(?:third|3rd) degree\b"), "3rd degree"),
    (re.compile(r"\bnon[- ]specific\b"), "nonspecific"),
    (re.compile(r"\b(pvc|pac)s\b"), r"\1"),
    (re.compile(r"\bpre[- ]excitation\b"), "preexcitation"),
    (re.compile(r"\bbi[- ]atrial\b"), "biatrial"),
    (re.compile(r"(?<=\w)-(?=\w)"), " "),
    (re.compile(r"\s+"), " "),
)
_PARTS = re.compile(r"\s*(?:,|\.(?= |$)| - |\bwith\b|\band\b|\bplus\b)\s*")
_HEDGE = re.compile(
    r"\b(?:possible|possibly|probable|probably|consider|cannot rule out|rule out|suspect|suggests?"
    r"|borderline|may be|maybe|questionable|or)\b\s*"
)
_NOT_READ = re.compile(
    r"\b(?:no|not|without|absent|no longer|has replaced|have replaced|compared|previous ecg"
    r"|now (?:present|evident)|has (?:increased|decreased)|previously)\b"
)
_MODIFIER = re.compile(
    r"^(?:(?:normal|marked|moderate|minimal|mild|severe|frequent|occasional|multiple|multiform"
    r"|fusion|consecutive|interpolated|isolated|complete|abnormal|extensive|unconfirmed|rare"
    r"|demand|uncontrolled|premature(?= pac| pvc)) )+"
)
_VERDICTS = {
    "normal ecg": 1,
    "abnormal ecg": 0,
    "borderline ecg": 0,
    "otherwise normal ecg": 0,
    "abnormal rhythm ecg": 0,
    "atypical ecg": 0,
    "borderline abnormal ecg": 0,
}


@dataclass(frozen=True)
class Statements:
    """What an ECG's statements say: parts that are stated, parts that are hedged, the verdict."""

    stated: frozenset[str]
    hedged: frozenset[str]
    verdict: int


@cache
def finding_rules() -> tuple[FindingRules, ...]:
    """Rules for the findings (of the 77) that machine statements define."""
    return read_map(shipped_table("muse_to_findings.csv"), "statement")


@cache
def _vocabulary() -> frozenset[str]:
    codes = (code for rule in finding_rules() for needed, _ in rule.rules for code in needed)
    return frozenset(codes)


@cache
def _phrases() -> re.Pattern[str]:
    """Any statement of the map inside other words, the longest first."""
    longest = sorted(_vocabulary(), key=len, reverse=True)
    return re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, longest)) + r")(?!\w)")


@cache
def label_names() -> tuple[str, ...]:
    """The machine's verdict, then the names of the findings that statements define."""
    return (NORMAL_LABEL, *(rule.finding for rule in finding_rules()))


def read_statements(statements: Iterable[str]) -> Statements:
    """Parts of the statements of one ECG, in the words of the map."""
    stated: set[str] = set()
    hedged: set[str] = set()
    verdict = UNKNOWN
    for statement in statements:
        text = _normalise(statement)
        if text in _VERDICTS:
            verdict = _VERDICTS[text]
            if verdict == PRESENT:
                stated.add(text)
        else:
            now, perhaps = _read(text)
            stated |= now
            hedged |= perhaps
    return Statements(frozenset(stated), frozenset(hedged - stated), verdict)


def labels_of(statements: Iterable[str]) -> np.ndarray:
    """Labels of one ECG: int8 (len(label_names()),), values 1, 0, -1.

    Without any statement everything is unknown. A finding that only a hedged statement makes
    present is unknown.
    """
    lines = [line for line in statements if line.strip()]
    if not lines:
        return np.full(len(label_names()), UNKNOWN, np.int8)
    said = read_statements(lines)
    verdict = np.array([said.verdict], np.int8)
    return np.concatenate([verdict, _findings(said.stated, said.hedged)])


@lru_cache(maxsize=50_000)
def _findings(stated: frozenset[str], hedged: frozenset[str]) -> np.ndarray:
    """Findings of parts, int8; most ECGs share their parts with many others."""
    sure = label_vector(finding_rules(), stated)
    if hedged:
        perhaps = label_vector(finding_rules(), stated | hedged)
        open_now = (perhaps != 0) & (sure != PRESENT)
        sure = np.where(open_now, UNKNOWN, sure).astype(np.int8)
    sure.setflags(write=False)
    return sure


@lru_cache(maxsize=100_000)
def _normalise(statement: str) -> str:
    text = statement.lower()
    for pattern, replacement in _SPELLING:
        text = pattern.sub(replacement, text)
    return text.strip(" .,-")


@lru_cache(maxsize=100_000)
def _read(text: str) -> tuple[frozenset[str], frozenset[str]]:
    """Known parts of one statement: stated, hedged. Statements come again and again."""
    stated, hedged = set(), set()
    if _known(text):
        return frozenset((_known(text),)), frozenset()
    if "no further analysis" in text:
        stated.add("no further analysis")
        text = text.replace("no further analysis", "")
    if _NOT_READ.search(text):
        return frozenset(stated), frozenset()
    for part in filter(None, (part.strip() for part in _PARTS.split(text))):
        words = _HEDGE.sub("", part).strip()
        known = _known(words)
        if known:
            (stated if words == part else hedged).add(known)
        else:  # "conduction defect of LBBB type" names a finding, but does not state it
            hedged |= set(_phrases().findall(words))
    return frozenset(stated), frozenset(hedged)


def _known(words: str) -> str:
    """The statement of the map that these words are, perhaps behind a modifier; "" if none."""
    if words in _vocabulary():
        return words
    bare = _MODIFIER.sub("", words)
    return bare if bare in _vocabulary() else ""
