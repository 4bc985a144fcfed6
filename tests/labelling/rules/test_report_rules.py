"""Rule files: the pattern language, the schema, spelling, folding, languages."""

import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepecg_jax.errors import UserError
from deepecg_jax.labelling.rules.labeller import Labeller, shipped_labeller
from deepecg_jax.labelling.rules.memory import Reader
from deepecg_jax.labelling.rules.rule_files import SHIPPED, read_rules
from deepecg_jax.labelling.text.folding import fold, needs_repair, repair, variants
from deepecg_jax.labelling.text.patterns import PatternError, expand
from deepecg_jax.labelling.text.spelling import Speller, distance
from deepecg_jax.labels.findings import FINDINGS


@pytest.fixture(scope="module")
def labeller() -> Labeller:
    return shipped_labeller()


def test_patterns_stand_for_phrases():
    assert expand("left [anterior] (hemiblock|fascicular block)") == [
        "left anterior hemiblock",
        "left anterior fascicular block",
        "left hemiblock",
        "left fascicular block",
    ]
    assert expand("(a|b [c]|) d") == ["a d", "b c d", "b d", "d"]


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(a|b", "does not close"),
        ("a)", "unexpected"),
        ("a | b", "outside of brackets"),
        ("[a]", "no words"),
        ("(a]", "unexpected"),
        ("(a|b|c|d|e|f|g|h)" * 5, "stands for more than"),
    ],
)
def test_patterns_that_cannot_be_read(pattern, words):
    with pytest.raises(PatternError, match=words):
        expand(pattern)


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("en/rhythm.yaml", "  Afib:", "  Afibb:", "did you mean 'Afib'"),
        ("en/rhythm.yaml", "findings:", "findigns:", "did you mean 'findings'"),
        ("en/rhythm.yaml", '"(afib|', '"((afib|', "does not close|unexpected"),
        ("en/rhythm.yaml", "language: en", "language: fr", "put it into fr/"),
        ("en/repolarization.yaml", "  st_elevation:", "  st_elevatoin:", "did you mean 'st_elev"),
        ("en/context.yaml", "  inferolateral:", "  inferolatral:", "did you mean 'inferolateral'"),
        ("en/conduction.yaml", "  heart_rate:", "  heart_rat:", "did you mean 'heart_rate'"),
        ("en/context.yaml", "negation:", "negation: [", "not valid YAML"),
        ("sv/rhythm.yaml", "  Regular:", "  Sinusal:", "'Sinusal' stands twice"),
        ("fr/rhythm.yaml", "  Sinusal:", "\tSinusal:", "not valid YAML"),
        ("fr/rhythm.yaml", "    present:", "    presnt:", "presnt"),
        ("common.yaml", "Prolonged QT", "Prolonged QTT", "did you mean 'Prolonged QT'"),
    ],
)
def test_a_mistake_in_a_rule_file_is_named(tmp_path, file, old, new, words):
    folder = tmp_path / "rules"
    shutil.copytree(SHIPPED, folder)
    path = folder / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    line = text[: text.index(old)].count("\n") + 1
    with pytest.raises(UserError, match=words) as caught:
        read_rules(folder)
    told = str(caught.value)
    number = int(told.removeprefix(f"{path}, line ").split(":")[0].split(" ")[0])
    assert line <= number <= line + 2  # a bracket is missed where the file goes on
    assert told.endswith((".", "?")) and "\n" not in told


def test_a_cardiologist_adds_a_phrase(tmp_path, labeller):
    folder = tmp_path / "rules"
    shutil.copytree(SHIPPED, folder)
    (folder / "en" / "ours.yaml").write_text(
        "language: en\ngroup: ours\nfindings:\n  Afib: {present: ['delirium cordis']}\n"
    )
    assert labeller.label("delirium cordis").named() == {}
    assert Labeller(read_rules(folder)).label("Delirium cordis").named() == {"Afib": "present"}


def test_a_folder_without_rules_says_how_to_get_some(tmp_path):
    with pytest.raises(UserError, match="--export-rules"):
        read_rules(tmp_path)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("sinus rhythm, normal ECG", "en"),
        ("sinusrhythmus, normales ekg", "de"),
        ("sinusrytm, normalt ekg", "sv"),
        ("rythme sinusal, bloc de branche gauche", "fr"),
        ("trace only requested", "en"),
        ("zzz", ""),
        ("", ""),
    ],
)
def test_language_of_a_report(labeller, text, language):
    assert labeller.label(text).language == language


def test_mixed_reports_are_read_in_all_their_languages(labeller):
    text = (
        "Sinusrhythmus, Linksschenkelblock. Left ventricular hypertrophy. No atrial fibrillation."
    )
    assert labeller.label(text).named() == {
        "Sinusal": "present",
        "Left bundle branch block": "present",
        "Left ventricular hypertrophy": "present",
        "Afib": "absent",
    }


def test_abbreviations_belong_to_their_language(labeller):
    # FA is fibrillation in French; in English it is nothing
    assert labeller.label("rythme irrégulier, FA avec BBG").named().get("Afib") == "present"
    assert "Afib" not in labeller.label("the FA is normal in this patient").named()


def test_one_language_only():
    swedish = Labeller(language="sv")
    assert swedish.label("sinusrytm, left bundle branch block").named() == {"Sinusal": "present"}
    with pytest.raises(UserError, match="de, en, fr, sv"):
        Labeller(language="nl")


def test_spans_point_into_the_text_as_given(labeller):
    for text in (
        "Kein LINKSSCHENKELBLOCK; Ã¼berdrehter Linkstyp",
        "Kein Linksschenkelblock. u\u0308berdrehter Linkstyp",
    ):
        labels = labeller.label(text)
        lbbb, lad = (FINDINGS.index(n) for n in ("Left bundle branch block", "Left axis deviation"))
        words = [text[a:b] for a, b in labels.evidence[lbbb]]
        assert [word.casefold() for word in words] == ["kein", "linksschenkelblock"]
        ((start, end),) = labels.evidence[lad]
        assert text[end - 8 : end] == "Linkstyp" and start == text.index("berdrehter") - 2


def test_the_strongest_statement_wins_and_keeps_its_words(labeller):
    text = "No LBBB. Possible LBBB. LBBB. LBBB"
    labels = labeller.label(text)
    finding = FINDINGS.index("Left bundle branch block")
    assert labels.named() == {"Left bundle branch block": "present"}
    assert labels.evidence[finding] == ((24, 28), (30, 34))


def test_a_report_is_read_the_same_whatever_was_read_before(labeller):
    texts = [
        "No LVH.\nSinus rhythm. AV block II. grade",
        "Sinus rhythm. No LVH",
        "LVH. No LVH. V.a. LVH",
    ]
    before = [Labeller().label(text) for text in texts]
    assert [labeller.label(text) for text in reversed(texts)] == before[::-1]
    assert labeller.label_all([*texts, *texts]) == before * 2


_PIECES = st.sampled_from(
    ["sinus", "rhythm", "no", "LBBB,RBBB", "LBBB.", "or", "-", ".", "v.", "a.", "in", "II", "V2"]
    + ["-V4", "inferior", "infarct", "age", "undetermined", "HR", "42", "55", "possible", "AF?"]
    + ["known", "AF:", "no,", "?LVH", "V5V6", "48/min", "rhythm,", "father", "replaced", "LVH/RVH"]
)


@given(st.lists(st.lists(_PIECES, max_size=9).map(" ".join), max_size=6))
def test_what_is_remembered_of_other_reports_changes_nothing(texts):
    """Words that came before are read from memory: in another order, cut off, in the middle."""
    for text in texts:
        fresh = Labeller.__new__(Labeller)
        fresh.__dict__ |= vars(_SHARED) | {
            "_reader": Reader(_SHARED._lexicon, _SHARED._reader._interpreter),
            "_sentences": {},
        }
        assert _SHARED.label(text) == fresh.label(text)


@given(
    st.text(alphabet=st.sampled_from("noAF LBBBi,.;?\n-/é#v123äÃ¼°%()'\ufffd\u0308"), max_size=60)
)
def test_any_text_gives_spans_inside_it(text):
    labels = _SHARED.label(text)
    for spans in labels.evidence.values():
        assert spans == tuple(sorted(spans))
        assert all(0 <= start < end <= len(text) for start, end in spans)


_SHARED = shipped_labeller()


@pytest.mark.parametrize(
    ("broken", "right"),
    [
        ("ischÃ¤mie", "ischämie"),
        ("f\u0061\u030argat", "f\u00e5rgat"),
        ("Ãrytm", "Ãrytm"),
        ("âge", "âge"),
    ],
)
def test_repair(broken, right):
    fixed, positions = (
        repair(broken) if needs_repair(broken) else (broken, list(range(len(broken) + 1)))
    )
    assert fixed == right and len(positions) == len(fixed) + 1
    assert positions[-1] == len(broken) and positions == sorted(positions)


def test_folding_and_variants():
    assert fold("ISCHÄMIE") == fold("ischamie") == "ischamie"
    assert fold("Weiß") == "weiss" and fold("antérieur") == "anterieur"
    assert set(variants("überdrehter")) == {"uberdrehter", "ueberdrehter"}


def test_distance():
    assert distance("atrail", "atrial", 2) == 1  # neighbours swapped
    assert distance("kitten", "sitting", 3) == 3
    assert distance("anterior", "inferior", 2) > 1
    assert distance("abc", "abcdefgh", 2) == 3


def test_spelling_guards():
    speller = Speller(
        ["fibrillation", "inferior", "interior", "ventricular", "block"], ["ventricle"]
    )
    assert speller.correct("fibrilation") == "fibrillation"
    assert speller.correct("fibrallition") == "fibrillation"  # two edits, a long word
    assert speller.correct("blck") is None  # too short
    assert speller.correct("ifnerior") == "inferior"
    assert speller.correct("inlerior") is None  # inferior or interior
    assert speller.correct("xentricular") is None  # the first letter must be right
    assert speller.correct("ventricle") is None  # a word of its own
    assert speller.correct("infer#or") == "inferior"  # a lost letter
