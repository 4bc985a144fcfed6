"""Short phrases with negation, uncertainty, history, lists and sites, in four languages."""

import pytest

from deepecg_jax.labelling.rules.labeller import Labeller, shipped_labeller
from deepecg_jax.labels.findings import FINDINGS

SINUS, AF, FLUTTER, BRADY = "Sinusal", "Afib", "Atrial flutter", "Bradycardia"
LBBB, RBBB = "Left bundle branch block", "Right bundle branch block"
LVH, LAE, LAFB = (
    "Left ventricular hypertrophy",
    "Left atrial enlargement",
    "Left anterior fascicular block",
)
AVB1, LAD, PVC, PAC = (
    "1st degree AV block",
    "Left axis deviation",
    "Premature ventricular complex",
    "Premature atrial complex",
)
MI, QT, WPW = "Acute MI", "Prolonged QT", "Wolff-Parkinson-White (Pre-excitation syndrome)"


def sited(sign: str, *sites: str) -> list[str]:
    return [
        next(name for name in FINDINGS if name.startswith(sign) and f"({site}" in name)
        for site in sites
    ]


Q_INF, Q_LAT, Q_ANT, Q_SEP = sited("Q wave", "inferior", "lateral", "anterior", "septal")
STE = sited("ST elevation", "inferior", "lateral", "anterior", "septal", "posterior")
STD_INF, STD_LAT, STD_ANT, STD_SEP = sited(
    "ST depression", "inferior", "lateral", "anterior", "septal"
)
T_INF, T_LAT, T_ANT, T_SEP = sited("T wave inversion", "inferior", "lateral", "anterior", "septal")
YES, MAYBE, NO = "present", "uncertain", "absent"


@pytest.fixture(scope="module")
def labeller() -> Labeller:
    return shipped_labeller()


def check(labeller: Labeller, text: str, expected: dict[str, str]) -> None:
    assert labeller.label(text).named() == {
        name: expected[name] for name in FINDINGS if name in expected
    }


# what the published ECG-FM labeller gets wrong, and phrases of the same kind
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no atrial fibrillation", {AF: NO}),
        ("without left bundle branch block", {LBBB: NO}),
        ("No evidence of atrial fibrillation.", {AF: NO}),
        ("There are no signs of LVH", {LVH: NO}),
        ("Possible septal infarct", {Q_SEP: MAYBE}),
        ("Possible septal infarct and sinus rhythm", {Q_SEP: MAYBE, SINUS: YES}),
        ("Inferior infarct", {Q_INF: YES}),
        ("Inferior infarct and sinus rhythm", {Q_INF: YES, SINUS: YES}),
        ("LBBB not present", {LBBB: NO}),
        ("atrial fibrillation is not seen", {AF: NO}),
        ("Left bundle branch block is absent", {LBBB: NO}),
        ("Acute infarct has been ruled out", {MI: NO}),
        ("Rule out acute infarct", {MI: MAYBE}),
        ("acute infarct cannot be excluded", {MI: MAYBE}),
        ("cannot exclude left atrial enlargement", {LAE: MAYBE}),
        ("probable left atrial enlargement", {LAE: MAYBE}),
        ("LVH?", {LVH: MAYBE}),
        ("R/O acute infarct", {MI: MAYBE}),
    ],
)
def test_negation_and_uncertainty(labeller, text, expected):
    check(labeller, text, expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no atrial fibrillation, sinus rhythm", {AF: NO, SINUS: YES}),
        ("no atrial fibrillation and sinus rhythm", {AF: NO, SINUS: YES}),
        ("no LVH or LBBB", {LVH: NO, LBBB: NO}),
        ("no LVH, LBBB or RBBB", {LVH: NO, LBBB: NO, RBBB: NO}),
        ("no LVH but LBBB", {LVH: NO, LBBB: YES}),
        ("sinus rhythm without LVH, otherwise LBBB", {SINUS: YES, LVH: NO, LBBB: YES}),
        ("neither LBBB nor RBBB", {LBBB: NO, RBBB: NO}),
        ("no P wave found, LBBB", {LBBB: YES}),
        ("LBBB. No LVH. RBBB", {LBBB: YES, LVH: NO, RBBB: YES}),
        ("possible LVH. LBBB", {LVH: MAYBE, LBBB: YES}),
        ("possible LVH or LAE", {LVH: MAYBE, LAE: MAYBE}),
        ("LBBB or RBBB", {LBBB: MAYBE, RBBB: MAYBE}),
        ("LBBB and prolonged QT", {LBBB: YES, QT: YES}),
        ("beats show either complete or incomplete RBBB", {RBBB: YES}),
        ("no change in the LBBB", {LBBB: YES}),
        ("No ST elevation", dict.fromkeys(STE, NO)),
        ("increased risk of developing complete heart block", {}),
    ],
)
def test_reach_of_a_cue(labeller, text, expected):
    check(labeller, text, expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("atrial fibrillation is no longer present", {AF: NO}),
        ("no longer in atrial fibrillation", {AF: NO}),
        ("Compared with previous ECG, atrial fibrillation is no longer present", {AF: NO}),
        ("Compared with previous ECG no atrial fibrillation", {AF: NO}),
        ("Compared with tracing of 8:4:92, LBBB is new", {LBBB: YES}),
        ("atrial fibrillation has been replaced by sinus rhythm", {AF: NO, SINUS: YES}),
        (
            "When compared with ECG of 01-JAN-2010, Atrial fibrillation has replaced Sinus rhythm",
            {AF: YES, SINUS: NO},
        ),
        ("history of atrial fibrillation. sinus rhythm", {SINUS: YES}),
        ("no history of atrial fibrillation", {}),
        ("previous ECG showed atrial fibrillation, now sinus rhythm", {SINUS: YES}),
        ("previous inferior infarct", {Q_INF: YES}),
        ("old inferior infarct", {Q_INF: YES}),
        ("inferior infarct, age undetermined", {Q_INF: YES}),
        ("alter Infarkt inferior", {Q_INF: YES}),
        ("inferiorer Infarkt, Alter unbestimmt", {Q_INF: YES}),
        ("inferiorer Infarkt wahrscheinlich alt", {Q_INF: YES}),
        ("anteriorer Infarkt mögl. akut", {Q_ANT: YES, MI: MAYBE}),
        ("akuter inferiorer Infarkt", {MI: YES}),
        ("acute inferior STEMI", {MI: YES, STE[0]: YES}),
        ("Vorhofflimmern nicht mehr nachweisbar", {AF: NO}),
        ("Zustand nach Vorhofflimmern, jetzt Sinusrhythmus", {SINUS: YES}),
        ("Im Vergleich zum Vor-EKG kein Vorhofflimmern mehr", {AF: NO}),
        ("tidigare förmaksflimmer, nu sinusrytm", {SINUS: YES}),
        ("genomgången inferior infarkt", {Q_INF: YES}),
        ("antécédent de fibrillation auriculaire", {}),
        ("infarctus inférieur ancien", {Q_INF: YES}),
    ],
)
def test_what_was_and_what_is(labeller, text, expected):
    check(labeller, text, expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("anterior and lateral infarct", {Q_ANT: YES, Q_LAT: YES}),
        ("anteroseptal infarct", {Q_ANT: YES, Q_SEP: YES}),
        (
            "old anterior and inferolateral myocardial infarcts",
            dict.fromkeys((Q_ANT, Q_INF, Q_LAT), YES),
        ),
        ("ST depression in II, III, aVF", {STD_INF: YES}),
        ("ST segments are depressed in I, aVL, V5,6", {STD_LAT: YES}),
        ("ST depression V2-6", dict.fromkeys((STD_SEP, STD_ANT, STD_LAT), YES)),
        ("ST depression V4 to V6", {STD_ANT: YES, STD_LAT: YES}),
        ("ST depression and T wave inversion in V5-V6", {STD_LAT: YES, T_LAT: YES}),
        ("T waves are flat in I and inverted in III, aVF", {T_INF: YES}),
        ("T waves are flat in I, aVL", {}),
        ("T waves are flat or inverted in V5", {T_LAT: MAYBE}),
        ("inferior ST elevation with lateral ST depression", {STE[0]: YES, STD_LAT: YES}),
        ("ST-Senkung in V5, V6, T negativ in II, III", {STD_LAT: YES, T_INF: YES}),
        ("st-senkung l, v4 - v6", {STD_LAT: YES, STD_ANT: YES}),
        ("T-negativitet i V3-V4", {T_ANT: YES}),
        ("sous-décalage du segment ST en V5 et V6", {STD_LAT: YES}),
        ("ondes T inversées en inférieur", {T_INF: YES}),
        ("Hinterwandinfarkt", {Q_INF: YES}),
        ("T wave inversion", {}),
    ],
)
def test_sites(labeller, text, expected):
    check(labeller, text, expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("linksschenkelblock linkshypertrophie möglich", {LBBB: YES, LVH: MAYBE}),
        ("Kein Hinweis auf Linkshypertrophie", {LVH: NO}),
        ("keine p-welle erkannt linksschenkelblock", {LBBB: YES}),
        ("Linksschenkelblock nicht nachweisbar", {LBBB: NO}),
        ("Ausschluss Vorhofflimmern", {AF: NO}),
        ("anteroseptaler Infarkt nicht auszuschließen", {Q_ANT: MAYBE, Q_SEP: MAYBE}),
        ("Verdacht auf Linkshypertrophie", {LVH: MAYBE}),
        ("V.a. Linkshypertrophie", {LVH: MAYBE}),
        ("Sinusrhythmus, kein Vorhofflimmern", {SINUS: YES, AF: NO}),
        ("Vorhofflimmern/-flattern", {AF: YES, FLUTTER: MAYBE}),
        ("überdrehter Linkstyp", {LAD: YES}),
        ("av-block 1. grades", {AVB1: YES}),
        ("AV-Block I°", {AVB1: YES}),
        ("vollständiger Links-Schenkelblock", {LBBB: YES}),
        ("inga tecken till förmaksflimmer", {AF: NO}),
        ("vänster kammarhypertrofi kan ej uteslutas", {LVH: MAYBE}),
        ("vänster kammarhypertrofi saknas", {LVH: NO}),
        ("misstänkt vänstersidigt skänkelblock", {LBBB: MAYBE}),
        ("lateral infarkt bör övervägas", {Q_LAT: MAYBE}),
        ("inferior infarkt ålder ej bestämmbar", {Q_INF: YES}),
        ("sinusrytm utan förmaksflimmer", {SINUS: YES, AF: NO}),
        ("pas de fibrillation auriculaire", {AF: NO}),
        ("absence de bloc de branche gauche", {LBBB: NO}),
        ("hypertrophie ventriculaire gauche possible", {LVH: MAYBE}),
        ("infarctus inférieur ne peut être exclu", {Q_INF: MAYBE}),
        ("rythme sinusal sans HVG ni BBG", {SINUS: YES, LVH: NO, LBBB: NO}),
        ("fibrillation auriculaire absente", {AF: NO}),
        ("Rythme sinusal avec ESV", {SINUS: YES, PVC: YES}),
        ("Tachycardie sinusale", {SINUS: YES}),
    ],
)
def test_german_swedish_french(labeller, text, expected):
    check(labeller, text, expected)


@pytest.mark.parametrize(
    "text",
    [
        "Linksschenkelblock und Überdrehter Linkstyp",
        "LINKSSCHENKELBLOCK, UEBERDREHTER LINKSTYP",
        "linksschenkelblock, Überdrehter linkstyp",
        "Linksschenkelblock; uberdrehter Linkstyp",
        "Linksschenkelblock, Ã¼berdrehter Linkstyp",
        "Linksschenkelblock, u\u0308berdrehter Linkstyp",
        "Linksschenkelblock, #berdrehter Linkstyp",
        "Linksschenkelblock, \ufffdberdrehter Linkstyp",
        "Linksschenkelblok, überdreter Linkstyp",
        "Linkschenkelblock, überdrehter Linkstypp",
    ],
)
def test_spellings(labeller, text):
    check(labeller, text, {LBBB: YES, LAD: YES})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("atrail fibrilation", {AF: YES}),
        ("sinus bradycadia", {SINUS: YES, BRADY: YES}),
        ("left ventricular hypertorphy", {LVH: YES}),
        ("left ventricular (mild) hypertrophy", {LVH: YES}),
        ("severe left atrial enlargement", {LAE: YES}),
        ("premature ventricular contraction(s)", {PVC: YES}),
        ("supraventrikuläre Extrasystole(n)", {PAC: YES}),
        ("atypical atrial pattern", {}),
        ("interventricular septum", {}),
        ("IVF and LA", {}),
    ],
)
def test_misspellings_severity_and_guards(labeller, text, expected):
    check(labeller, text, expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("HR 42", {BRADY: YES}),
        ("HR: 72 bpm", {BRADY: NO}),
        ("HR 900", {}),
        ("Heart rate is 58 /min", {BRADY: YES}),
        ("rate 55-70", {}),
        ("Ventricular rate decreased by 40", {}),
        ("HF 45/min", {BRADY: YES}),
        ("fréquence cardiaque: 45/min", {BRADY: YES}),
        ("PR interval 240 ms", {AVB1: YES}),
        ("PQ-Zeit 0,24 s", {AVB1: YES}),
        ("PR 160 ms", {AVB1: NO}),
        ("QTc 455 ms", {QT: MAYBE}),
        ("QTc 510 ms", {QT: YES}),
        ("QRS axis -45", {LAD: YES, "Right axis deviation": NO, "Right superior axis": NO}),
        ("PR interval is normal", {AVB1: NO}),
    ],
)
def test_measured_values(labeller, text, expected):
    check(labeller, text, expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "biatrial enlargement",
            {LAE: YES, "Right atrial enlargement": YES, "Bi-atrial enlargement": YES},
        ),
        (
            "left atrial enlargement, right atrial enlargement",
            {LAE: YES, "Right atrial enlargement": YES, "Bi-atrial enlargement": YES},
        ),
        ("WPW syndrome", {WPW: YES}),
        ("left axis deviation. left anterior hemiblock", {LAD: YES, LAFB: YES}),
        ("Edit: LVH 50, CRBBB", {}),
        ("", {}),
        ("...", {}),
        ("xyzzy", {}),
    ],
)
def test_implications_and_no_report(labeller, text, expected):
    check(labeller, text, expected)
