"""The same questions in four languages: what is denied, doubted, past, listed, misspelt, measured."""

import pytest

from deepecg_jax.labels.findings import FINDINGS
from deepecg_jax.labels.reports.labeller import Labeller, shipped_labeller

AF, FLUTTER, SINUS, BRADY = "Afib", "Atrial flutter", "Sinusal", "Bradycardia"
LBBB, RBBB = "Left bundle branch block", "Right bundle branch block"
LVH, RVH = "Left ventricular hypertrophy", "Right ventricular hypertrophy"
LAE, LAFB = "Left atrial enlargement", "Left anterior fascicular block"
AVB1, AVB3 = "1st degree AV block", "Third Degree AV Block"
MI, QT, LAD = "Acute MI", "Prolonged QT", "Left axis deviation"
PVC, PAC = "Premature ventricular complex", "Premature atrial complex"
Q_INF, Q_LAT = "Q wave (inferior - II, III, aVF)", "Q wave (lateral- I, aVL, V5-V6)"
Q_ANT, Q_SEP = "Q wave (anterior - V3-V4)", "Q wave (septal- V1-V2)"
T_INF = "T wave inversion (inferior - II, III, aVF)"
T_LAT = "T wave inversion (lateral -I, aVL, V5-V6)"
STD_LAT = "ST depression (lateral - I, avL, V5-V6)"
YES, MAYBE, NO = "present", "uncertain", "absent"
LISTED = {LBBB: NO, RBBB: NO}
BOTH = {Q_ANT: YES, Q_LAT: YES}

# kind -> language -> (text, everything that it says)
PROBES: dict[str, dict[str, list[tuple[str, dict[str, str]]]]] = {
    "denied before": {
        "en": [
            ("no atrial fibrillation", {AF: NO}),
            ("No evidence of left bundle branch block.", {LBBB: NO}),
            ("negative for LVH", {LVH: NO}),
            ("sinus rhythm without ventricular extrasystoles", {SINUS: YES, PVC: NO}),
        ],
        "de": [
            ("kein Vorhofflimmern", {AF: NO}),
            ("Kein Hinweis auf einen Linksschenkelblock.", {LBBB: NO}),
            ("keine Zeichen einer Linkshypertrophie", {LVH: NO}),
            ("Sinusrhythmus ohne ventrikuläre Extrasystolen", {SINUS: YES, PVC: NO}),
        ],
        "fr": [
            ("pas de fibrillation auriculaire", {AF: NO}),
            ("Absence de signe de bloc de branche gauche.", {LBBB: NO}),
            ("aucun argument en faveur d'une HVG", {LVH: NO}),
            ("rythme sinusal sans extrasystoles ventriculaires", {SINUS: YES, PVC: NO}),
        ],
        "sv": [
            ("inget förmaksflimmer", {AF: NO}),
            ("Inga tecken på vänstersidigt skänkelblock.", {LBBB: NO}),
            ("inga hållpunkter för vänsterkammarhypertrofi", {LVH: NO}),
            ("sinusrytm utan ventrikulära extrasystolier", {SINUS: YES, PVC: NO}),
        ],
    },
    "denied after": {
        "en": [
            ("atrial fibrillation not present", {AF: NO}),
            ("LBBB is absent", {LBBB: NO}),
            ("acute infarct has been ruled out", {MI: NO}),
        ],
        "de": [
            ("Vorhofflimmern nicht nachweisbar", {AF: NO}),
            ("ein Linksschenkelblock liegt nicht vor", {LBBB: NO}),
            ("akuter Infarkt ausgeschlossen", {MI: NO}),
        ],
        "fr": [
            ("fibrillation auriculaire non retrouvée", {AF: NO}),
            ("bloc de branche gauche absent", {LBBB: NO}),
            ("infarctus aigu exclu", {MI: NO}),
        ],
        "sv": [
            ("förmaksflimmer ses ej", {AF: NO}),
            ("vänstersidigt skänkelblock saknas", {LBBB: NO}),
            ("akut infarkt utesluten", {MI: NO}),
        ],
    },
    "doubted": {
        "en": [
            ("possible left atrial enlargement", {LAE: MAYBE}),
            ("LVH cannot be excluded", {LVH: MAYBE}),
            ("cannot rule out septal infarct", {Q_SEP: MAYBE}),
            ("probable LBBB", {LBBB: MAYBE}),
            ("AF?", {AF: MAYBE}),
        ],
        "de": [
            ("mögliche Linkshypertrophie", {LVH: MAYBE}),
            ("Linkshypertrophie möglich", {LVH: MAYBE}),
            ("septaler Infarkt nicht auszuschließen", {Q_SEP: MAYBE}),
            ("V.a. Linksschenkelblock", {LBBB: MAYBE}),
            ("Vorhofflimmern?", {AF: MAYBE}),
        ],
        "fr": [
            ("possible HVG", {LVH: MAYBE}),
            ("HVG probable", {LVH: MAYBE}),
            ("infarctus septal ne peut être exclu", {Q_SEP: MAYBE}),
            ("suspicion de bloc de branche gauche", {LBBB: MAYBE}),
            ("FA? rythme irrégulier", {AF: MAYBE}),
        ],
        "sv": [
            ("möjlig vänsterkammarhypertrofi", {LVH: MAYBE}),
            ("vänsterkammarhypertrofi bör övervägas", {LVH: MAYBE}),
            ("septal infarkt kan ej uteslutas", {Q_SEP: MAYBE}),
            ("misstänkt vänstersidigt skänkelblock", {LBBB: MAYBE}),
            ("förmaksflimmer?", {AF: MAYBE}),
        ],
    },
    "no longer": {
        "en": [
            ("atrial fibrillation is no longer present", {AF: NO}),
            ("no longer in atrial fibrillation", {AF: NO}),
        ],
        "de": [
            ("Vorhofflimmern nicht mehr nachweisbar", {AF: NO}),
            ("kein Vorhofflimmern mehr", {AF: NO}),
        ],
        "fr": [
            ("fibrillation auriculaire n'est plus présente", {AF: NO}),
            ("plus de fibrillation auriculaire", {AF: NO}),
        ],
        "sv": [
            ("förmaksflimmer ses inte längre", {AF: NO}),
            ("inte längre förmaksflimmer", {AF: NO}),
        ],
    },
    "compared with": {
        "en": [
            ("Compared with the previous ECG, LBBB is new", {LBBB: YES}),
            ("Compared with previous ECG no atrial fibrillation", {AF: NO}),
            ("previous ECG showed atrial fibrillation, now sinus rhythm", {SINUS: YES}),
        ],
        "de": [
            ("Im Vergleich zum Vor-EKG neu Linksschenkelblock", {LBBB: YES}),
            ("Im Vergleich zum Vor-EKG kein Vorhofflimmern", {AF: NO}),
            ("im letzten EKG Vorhofflimmern, jetzt Sinusrhythmus", {SINUS: YES}),
        ],
        "fr": [
            ("Par rapport à l'ECG précédent, bloc de branche gauche nouveau", {LBBB: YES}),
            ("Par rapport à l'ECG précédent pas de fibrillation auriculaire", {AF: NO}),
            (
                "ECG antérieur avec fibrillation auriculaire, maintenant rythme sinusal",
                {SINUS: YES},
            ),
        ],
        "sv": [
            ("Jämfört med tidigare EKG nytillkommet vänstersidigt skänkelblock", {LBBB: YES}),
            ("Jämfört med tidigare EKG inget förmaksflimmer", {AF: NO}),
            ("tidigare EKG förmaksflimmer, nu sinusrytm", {SINUS: YES}),
        ],
    },
    "of the past": {
        "en": [
            ("history of atrial fibrillation", {}),
            ("old inferior infarct", {Q_INF: YES}),
            ("inferior infarct, age undetermined", {Q_INF: YES}),
            ("acute inferior infarct", {MI: YES}),
        ],
        "de": [
            ("Zustand nach Vorhofflimmern", {}),
            ("alter Hinterwandinfarkt", {Q_INF: YES}),
            ("inferiorer Infarkt, Alter unbest.", {Q_INF: YES}),
            ("Z.n. Vorderwandinfarkt", {Q_ANT: YES}),
            ("akuter inferiorer Infarkt", {MI: YES}),
        ],
        "fr": [
            ("antécédent de fibrillation auriculaire", {}),
            ("ancien infarctus inférieur", {Q_INF: YES}),
            ("infarctus inférieur d'âge indéterminé", {Q_INF: YES}),
            ("infarctus inférieur aigu", {MI: YES}),
        ],
        "sv": [
            ("tidigare förmaksflimmer", {}),
            ("gammal inferior infarkt", {Q_INF: YES}),
            ("inferior infarkt, ålder ej bestämmbar", {Q_INF: YES}),
            ("akut inferior infarkt", {MI: YES}),
        ],
    },
    "lists": {
        "en": [
            ("no LBBB or RBBB", LISTED),
            ("anterior and lateral infarct", BOTH),
            ("LVH, LBBB and prolonged QT", {LVH: YES, LBBB: YES, QT: YES}),
            ("T wave inversion in II, III, aVF and V5-V6", {T_INF: YES, T_LAT: YES}),
            ("no LVH but LBBB", {LVH: NO, LBBB: YES}),
            ("no left or right bundle branch block", LISTED),
            ("no atrial or ventricular extrasystoles", {PVC: NO, PAC: NO}),
        ],
        "de": [
            ("weder Linksschenkelblock noch Rechtsschenkelblock", LISTED),
            ("kein Links- oder Rechtsschenkelblock", LISTED),
            ("anteriorer und lateraler Infarkt", BOTH),
            ("infero-lateraler Infarkt", {Q_INF: YES, Q_LAT: YES}),
            ("Linkshypertrophie, LSB und QT verlängert", {LVH: YES, LBBB: YES, QT: YES}),
            ("T-Negativierung in II, III, aVF und V5-V6", {T_INF: YES, T_LAT: YES}),
            ("weder Links- noch Rechtsschenkelblock", LISTED),
            ("supraventrikuläre und ventrikuläre Extrasystolen", {PVC: YES, PAC: YES}),
            ("keine Linkshypertrophie, aber Linksschenkelblock", {LVH: NO, LBBB: YES}),
        ],
        "fr": [
            ("pas de bloc de branche gauche ni de bloc de branche droit", LISTED),
            ("infarctus antérieur et latéral", BOTH),
            ("HVG, bloc de branche gauche et QT allongé", {LVH: YES, LBBB: YES, QT: YES}),
            ("inversion des ondes T en II, III, aVF et V5-V6", {T_INF: YES, T_LAT: YES}),
            ("pas de bloc de branche gauche ou droit", LISTED),
            ("extrasystoles auriculaires et ventriculaires", {PVC: YES, PAC: YES}),
            ("pas d'HVG mais bloc de branche gauche", {LVH: NO, LBBB: YES}),
        ],
        "sv": [
            ("varken vänster skänkelblock eller höger skänkelblock", LISTED),
            ("anterior och lateral infarkt", BOTH),
            ("LVH, vänster skänkelblock och förlängd QT-tid", {LVH: YES, LBBB: YES, QT: YES}),
            ("T-negativitet i II, III, aVF och V5-V6", {T_INF: YES, T_LAT: YES}),
            ("inget vänster- eller högersidigt skänkelblock", LISTED),
            ("ingen LVH men vänster skänkelblock", {LVH: NO, LBBB: YES}),
        ],
    },
    "severity": {
        "en": [
            ("mild left atrial enlargement", {LAE: YES}),
            ("marked left axis deviation", {LAD: YES}),
            ("complete left bundle branch block", {LBBB: YES}),
            ("incomplete right bundle branch block", {RBBB: YES}),
        ],
        "de": [
            ("leichte Linkshypertrophie", {LVH: YES}),
            ("ausgeprägte ST-Senkung in V5-V6", {STD_LAT: YES}),
            ("kompletter Linksschenkelblock", {LBBB: YES}),
            ("inkompletter Rechtsschenkelblock", {RBBB: YES}),
        ],
        "fr": [
            ("légère hypertrophie ventriculaire gauche", {LVH: YES}),
            ("sous-décalage marqué du segment ST en V5-V6", {STD_LAT: YES}),
            ("bloc complet de branche gauche", {LBBB: YES}),
            ("bloc de branche droit incomplet", {RBBB: YES}),
        ],
        "sv": [
            ("måttlig vänsterkammarhypertrofi", {LVH: YES}),
            ("uttalad ST-sänkning i V5-V6", {STD_LAT: YES}),
            ("komplett vänstersidigt skänkelblock", {LBBB: YES}),
            ("inkomplett högersidigt skänkelblock", {RBBB: YES}),
        ],
    },
    "misspelt": {
        "en": [
            ("atrial fibrilation", {AF: YES}),
            ("left bundel branch block", {LBBB: YES}),
            ("left ventricular hypertropy", {LVH: YES}),
        ],
        "de": [
            ("Vorhofflimern", {AF: YES}),
            ("Linksschenkelblok", {LBBB: YES}),
            ("Linkshypertropie", {LVH: YES}),
        ],
        "fr": [
            ("fibrilation auriculaire", {AF: YES}),
            ("bloc de branchhe gauche", {LBBB: YES}),
            ("hypertropie ventriculaire gauche", {LVH: YES}),
        ],
        "sv": [
            ("förmaksflimer", {AF: YES}),
            ("vänstersidigt skänkelblok", {LBBB: YES}),
            ("vänster kammarhypertofi", {LVH: YES}),
        ],
    },
    "letters": {
        "en": [
            ("ATRIAL FIBRILLATION", {AF: YES}),
            ("Left Bundle-Branch Block", {LBBB: YES}),
        ],
        "de": [
            ("ÜBERDREHTER LINKSTYP", {LAD: YES}),
            ("uebardrehter linkstyp, ueberdrehter linkstyp", {LAD: YES}),
            ("Überdrehter linkstyp", {LAD: YES}),
            ("LINKSHYPERTROPHIE MÖGLICH", {LVH: MAYBE}),
            ("linkshypertrophie mÖglich", {LVH: MAYBE}),
            ("Linkshypertrophie moeglich", {LVH: MAYBE}),
            ("septaler infarkt nicht auszuschliessen", {Q_SEP: MAYBE}),
            ("VENTRIKULÄRE EXTRASYSTOLEN", {PVC: YES}),
        ],
        "fr": [
            ("HYPERTROPHIE VENTRICULAIRE GAUCHE", {LVH: YES}),
            ("INFARCTUS INFÉRIEUR ANCIEN", {Q_INF: YES}),
            ("infarctus inferieur ancien", {Q_INF: YES}),
            ("infarctus antÉrieur", {Q_ANT: YES}),
        ],
        "sv": [
            ("FÖRMAKSFLIMMER", {AF: YES}),
            ("fÖrmaksflimmer", {AF: YES}),
            ("formaksflimmer", {AF: YES}),
            ("vÄnstersidigt skÄnkelblock", {LBBB: YES}),
        ],
    },
    "measured": {
        "en": [
            ("HR 42", {BRADY: YES}),
            ("heart rate: 75 bpm", {BRADY: NO}),
            ("PR interval 230 ms", {AVB1: YES}),
            ("QTc 500 ms", {QT: YES}),
        ],
        "de": [
            ("HF 42/min", {BRADY: YES}),
            ("Herzfrequenz 75/min", {BRADY: NO}),
            ("PQ-Zeit 230 ms", {AVB1: YES}),
            ("PQ-Zeit: 0,23 s", {AVB1: YES}),
            ("QTc-Zeit 500 ms", {QT: YES}),
        ],
        "fr": [
            ("fréquence cardiaque 42/min", {BRADY: YES}),
            ("fréquence cardiaque: 75/min", {BRADY: NO}),
            ("intervalle PR 230 ms", {AVB1: YES}),
            ("intervalle QTc de 500 ms", {QT: YES}),
        ],
        "sv": [
            ("hjärtfrekvens 42/min", {BRADY: YES}),
            ("hjärtfrekvens 75 slag/min", {BRADY: NO}),
            ("PQ-tid 230 ms", {AVB1: YES}),
            ("QTc-tid 500 ms", {QT: YES}),
        ],
    },
}
CASES = [
    pytest.param(language, text, expected, id=f"{kind}-{language}-{text}")
    for kind, languages in PROBES.items()
    for language, probes in languages.items()
    for text, expected in probes
]


def named(expected: dict[str, str]) -> dict[str, str]:
    return {name: expected[name] for name in FINDINGS if name in expected}


def test_every_question_is_put_in_every_language():
    assert all(set(languages) == {"en", "de", "fr", "sv"} for languages in PROBES.values())


@pytest.mark.parametrize(("language", "text", "expected"), CASES)
def test_probe(language: str, text: str, expected: dict[str, str]):
    """Alone, with its language found out; and the same if the language is given."""
    assert shipped_labeller().label(text).named() == named(expected)
    assert shipped_labeller(language).label(text).named() == named(expected)


@pytest.mark.parametrize(("language", "text", "expected"), CASES)
def test_a_probe_leaves_its_neighbours_alone(language: str, text: str, expected: dict[str, str]):
    """Sentences before and after it stay as they are."""
    if AVB3 in expected or LAFB in expected:
        pytest.skip("these are the neighbours")
    around = {
        "en": ("Third degree AV block.", "Left anterior hemiblock."),
        "de": ("AV-Block III. Grades.", "Linksanteriorer Hemiblock."),
        "fr": ("BAV complet.", "Hémibloc antérieur gauche."),
        "sv": ("AV-block III.", "Vänster anteriort hemiblock."),
    }
    before, after = around[language]
    labels = shipped_labeller(language).label(f"{before} {text}. {after}")
    assert labels.named() == named({**expected, AVB3: YES, LAFB: YES})


# the failures that the reference's notes name, whose labellers lose the negation, the doubt or the site
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no atrial fibrillation", {AF: NO}),
        ("without left bundle branch block", {LBBB: NO}),
        ("Possible septal infarct", {Q_SEP: MAYBE}),
        ("Possible septal infarct and sinus rhythm", {Q_SEP: MAYBE, SINUS: YES}),
        ("Inferior infarct", {Q_INF: YES}),
        ("Inferior infarct and sinus rhythm", {Q_INF: YES, SINUS: YES}),
        ("atrial fibrillation not present", {AF: NO}),
        ("Rythme sinusal avec ESV", {SINUS: YES, PVC: YES}),
        ("Rythme idioventriculaire", {"Ventricular Rhythm": YES}),
        ("Tachycardie sinusale", {SINUS: YES}),
        ("Rythme auriculaire gauche", {"Ectopic atrial rhythm (< 100 BPM)": YES}),
        ("bradycardie auriculaire ectopique", {"Ectopic atrial rhythm (< 100 BPM)": YES, BRADY: YES}),
        ("bloc de branche droit incomplet", {RBBB: YES}),
        ("unbestÄtigter bericht", {}),
        ("trace only requested.", {}),
        ("sinusrhythmus 4.46 unbestÄtigter bericht", {SINUS: YES}),
        ("Possible LVH. Probable LBBB. Rule out acute infarct", {LVH: MAYBE, LBBB: MAYBE, MI: MAYBE}),
        ("sinus rhythm, no ventricular or atrial extrasystoles", {SINUS: YES, PVC: NO, PAC: NO}),
        ("no LVH or RVH", {LVH: NO, RVH: NO}),
        ("Vorhofflimmern/-flattern", {AF: YES, FLUTTER: MAYBE}),
    ],
)  # fmt: skip
def test_what_other_labellers_get_wrong(text: str, expected: dict[str, str]):
    assert Labeller.label(shipped_labeller(), text).named() == named(expected)
