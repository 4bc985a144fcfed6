"""What the phrases of the rules name: every finding in every language, none by mistake."""

from deepecg_jax.labelling.rules.rule_files import shipped_rules
from deepecg_jax.labelling.text.folding import fold
from deepecg_jax.labelling.text.patterns import expand
from deepecg_jax.labelling.text.tokens import words_of
from deepecg_jax.labels.findings import FINDINGS


def test_every_finding_that_reports_name_has_a_phrase_in_every_language():
    common = shipped_rules().common
    # no report calls a QRS mono- or polymorphic, and "qRS" cannot be told from "QRS"
    unsaid = {"Monomorph", "Polymorph", "qRS in V5-V6-I, aVL"}
    assert shipped_rules().languages == ("de", "en", "fr", "sv")
    for language in shipped_rules().languages:
        files = [file for file in shipped_rules().files if file.language == language]
        covered = {
            name
            for file in files
            for name, states in file.findings.items()
            if states.present or states.uncertain
        }
        for concept in {name for file in files for name in file.concepts}:
            own = common.concepts[concept]
            covered |= {*own.sites.values(), *own.always, *own.acute}
        for quantity in {name for file in files for name in file.quantities}:
            covered |= {limit.finding for limit in common.quantities[quantity].limits}
        assert set(FINDINGS) - covered == unsaid, language


# of two names in one phrase the longer means the other finding, not both
_INSTEAD = {
    ("Left bundle branch block", "Left anterior fascicular block"),
    ("Left bundle branch block", "Left posterior fascicular block"),
    ("2nd degree AV block - mobitz 2", "2nd degree AV block - mobitz 1"),
    ("2nd degree AV block - mobitz 1", "2nd degree AV block - mobitz 2"),
    ("1st degree AV block", "2nd degree AV block - mobitz 1"),  # "second degree AV block I"
    ("Right axis deviation", "Right superior axis"),
    ("Ventricular paced", "Atrial paced"),
    ("Ventricular paced", "LV pacing"),  # implied
    ("Ventricular paced", "Ectopic atrial rhythm (< 100 BPM)"),
    ("Premature atrial complex", "Ectopic atrial rhythm (< 100 BPM)"),
    ("Ectopic atrial rhythm (< 100 BPM)", "Atrial paced"),
    ("Ventricular Rhythm", "Ventricular paced"),
    ("Ventricular Rhythm", "Regular"),
    ("Right atrial enlargement", "Bi-atrial enlargement"),  # implied
    ("Left atrial enlargement", "Bi-atrial enlargement"),  # implied
    ("Bradycardia", "Junctional rhythm"),  # "accelerated junctional bradycardia"
    ("Regular", "Sinusal"),
    ("Bradycardia", "Sinusal"),  # "bradycardie sinusal", misspelt
    ("rSR' in V1-V2", "Sinusal"),
    ("Sinusal", "rSR' in V1-V2"),  # RSR alone is a regular sinus rhythm in French
    ("Regular", "rSR' in V1-V2"),
    ("Left anterior fascicular block", "Left atrial enlargement"),
    (
        "Junctional rhythm",
        "Supraventricular tachycardia",
    ),  # "tachycardie jonctionnelle paroxystique"
    # "flutter with 2:1 AV block" is no disease of the AV node
    ("1st degree AV block", "Atrial flutter"),
    ("1st degree AV block", "Atrial tachycardia (>= 100 BPM)"),
    ("2nd degree AV block - mobitz 1", "Atrial flutter"),
    ("2nd degree AV block - mobitz 2", "Atrial flutter"),
    ("2nd degree AV block - mobitz 1", "Atrial tachycardia (>= 100 BPM)"),
    ("2nd degree AV block - mobitz 2", "Atrial tachycardia (>= 100 BPM)"),
}


def test_a_longer_phrase_hides_no_finding():
    for language in shipped_rules().languages:
        meant: dict[tuple[str, ...], set[str]] = {}
        for file in shipped_rules().files:
            for name, states in file.findings.items() if file.language == language else ():
                for pattern in (*states.present, *states.uncertain):
                    for phrase in expand(pattern):
                        words = tuple(fold(word) for word in words_of(phrase))
                        meant.setdefault(words, set()).add(name)
        for words, names in meant.items():
            for first in range(len(words)):
                for last in range(first + 1, len(words) + 1):
                    for lost in meant.get(words[first:last], set()) - names:
                        assert any((lost, name) in _INSTEAD for name in names), (lost, words)
