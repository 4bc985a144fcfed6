"""The same questions in four languages: denied, doubted, past, listed, misspelt, measured."""

from pathlib import Path

import pytest
import yaml

from deepecg_jax.labelling.rules.labeller import shipped_labeller
from deepecg_jax.labels.findings import FINDINGS

AF, FLUTTER, SINUS, BRADY = "Afib", "Atrial flutter", "Sinusal", "Bradycardia"
LBBB, RBBB = "Left bundle branch block", "Right bundle branch block"
LVH, RVH = "Left ventricular hypertrophy", "Right ventricular hypertrophy"
LAFB, AVB3 = "Left anterior fascicular block", "Third Degree AV Block"
MI, ECTOPIC = "Acute MI", "Ectopic atrial rhythm (< 100 BPM)"
PVC, PAC = "Premature ventricular complex", "Premature atrial complex"
Q_INF, Q_SEP = "Q wave (inferior - II, III, aVF)", "Q wave (septal- V1-V2)"
YES, MAYBE, NO = "present", "uncertain", "absent"

# kind of question -> language -> text -> everything that it says
PROBES: dict[str, dict[str, dict[str, dict[str, str]]]] = yaml.safe_load(
    (Path(__file__).parent / "report_probes.yaml").read_text(encoding="utf-8")
)
CASES = [
    pytest.param(language, text, expected, id=f"{kind}-{language}-{text}")
    for kind, languages in PROBES.items()
    for language, probes in languages.items()
    for text, expected in probes.items()
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
    around = {
        "en": ("Third degree AV block.", "Left anterior hemiblock."),
        "de": ("AV-Block III. Grades.", "Linksanteriorer Hemiblock."),
        "fr": ("BAV complet.", "Hémibloc antérieur gauche."),
        "sv": ("AV-block III.", "Vänster anteriort hemiblock."),
    }
    before, after = around[language]
    labels = shipped_labeller(language).label(f"{before} {text}. {after}")
    assert labels.named() == named({**expected, AVB3: YES, LAFB: YES})


# what published labellers get wrong: they lose the negation, the doubt or the site
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
        ("Rythme auriculaire gauche", {ECTOPIC: YES}),
        ("bradycardie auriculaire ectopique", {ECTOPIC: YES, BRADY: YES}),
        ("bloc de branche droit incomplet", {RBBB: YES}),
        ("unbestÄtigter bericht", {}),
        ("trace only requested.", {}),
        ("sinusrhythmus 4.46 unbestÄtigter bericht", {SINUS: YES}),
        ("Possible LVH. Probable LBBB. Rule out MI", {LVH: MAYBE, LBBB: MAYBE}),
        ("Rule out acute infarct", {MI: MAYBE}),
        ("sinus rhythm, no ventricular or atrial extrasystoles", {SINUS: YES, PVC: NO, PAC: NO}),
        ("no LVH or RVH", {LVH: NO, RVH: NO}),
        ("Vorhofflimmern/-flattern", {AF: YES, FLUTTER: MAYBE}),
    ],
)
def test_what_other_labellers_get_wrong(text: str, expected: dict[str, str]):
    assert shipped_labeller().label(text).named() == named(expected)
