"""What a rule file may hold, and reading all of them.

A folder of rules has ``common.yaml`` (what findings mean, in no language) and a folder for each
language with its files: one for each group of findings, and ``context.yaml`` for negation,
uncertainty, sites and small words. Which file a phrase stands in makes no difference.
"""

import difflib
from collections.abc import Collection, Hashable, Iterable
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from deepecg_jax.errors import UserError
from deepecg_jax.labelling.rules.lines import line_of, line_with, place
from deepecg_jax.labelling.text.patterns import PatternError, parse
from deepecg_jax.labels.findings import FINDINGS

SHIPPED = Path(__file__).parent / "languages"
"""The rules that come with the package."""

Model = TypeVar("Model", bound=BaseModel)
Site = Literal["inferior", "lateral", "anterior", "septal", "posterior"]
Age = Literal["acute", "old", "maybe_acute"]


_Loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


class _TextLoader(_Loader):
    """Every scalar is text (`no` is a word of reports), and a key that stands twice is a mistake:
    YAML would forget the phrases of the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"{key.value!r} stands twice; put the phrases together",
                    problem_mark=key.start_mark,
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _finding(name: str) -> str:
    if name not in FINDINGS:
        near = difflib.get_close_matches(name, FINDINGS, n=1, cutoff=0.3)
        hint = f"did you mean {near[0]!r}" if near else "see deepecg_jax.labels.findings.FINDINGS"
        raise ValueError(f"{name!r} is none of the 77 findings; {hint}")
    return name


def _pattern(text: object) -> str:
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is no phrase")
    try:
        parse(text)
    except PatternError as error:
        raise ValueError(str(error)) from error
    return text


Finding = Annotated[str, BeforeValidator(_finding)]
Pattern = Annotated[str, BeforeValidator(_pattern)]
Patterns = list[Pattern]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class States(_Part):
    """Phrases by what they say of a finding when nothing around them changes it."""

    present: Patterns = []
    uncertain: Patterns = []
    absent: Patterns = []


class SitedPhrase(_Part):
    """A phrase that names its site or age itself (``Vorderwandinfarkt``), or denies its sign."""

    phrase: Pattern
    site: str | None = None
    age: Age | None = None
    state: Literal["present", "absent"] = "present"


class Cues(_Part):
    """Words that act on the finding after them, before them, or on the nearer one."""

    before: Patterns = []
    after: Patterns = []
    either: Patterns = []
    contrast: Patterns = []
    swap: Patterns = []


class LanguageFile(_Part):
    """One file of a language; every key may stand in every file."""

    language: str
    group: str
    findings: dict[Finding, States] = {}
    concepts: dict[str, list[Pattern | SitedPhrase]] = {}
    other: Patterns = []
    negation: Cues = Cues()
    uncertainty: Cues = Cues()
    history: Cues = Cues()
    known: Cues = Cues()
    apart: Cues = Cues()
    sections: Patterns = []
    sites: dict[str, Patterns] = {}
    ages: dict[Age, Patterns] = {}
    lead_words: Patterns = []
    place_words: Patterns = []
    and_words: Patterns = []
    or_words: Patterns = []
    nor_words: Patterns = []
    range_words: list[str] = []
    stop: Patterns = []
    between: Patterns = []
    abbreviations: list[str] = []
    different_words: list[str] = []
    language_words: list[str] = []
    quantities: dict[str, Patterns] = {}


class Concept(_Part):
    """A sign that becomes a finding only by its site, or by its age."""

    sites: dict[Site, Finding]
    always: list[Finding] = []
    acute: list[Finding] = []
    persistent: bool = False
    comment: str = ""


class Range(_Part):
    """``low <= value < high``; an end that is not given is open."""

    low: float | None = None
    high: float | None = None

    def holds(self, value: float) -> bool:
        """Whether the value is inside."""
        return (self.low is None or value >= self.low) and (self.high is None or value < self.high)


class Limit(_Part):
    """What a measured value says of a finding, and where the limits come from."""

    finding: Finding
    present: Range
    uncertain: Range | None = None
    absent: Range | None = None
    source: str


class Quantity(_Part):
    """A measured quantity: plausible values (others are ignored), factors of units, limits.

    ``position`` counts the values after the name: the QTc of "QT/QTc 480/440" is the second.
    ``unit`` is one that must stand there; ``after`` are findings whose name the value follows
    ("sinus rhythm 48/min").
    """

    plausible: Range
    seconds_below: float | None = None
    millivolts_below: float | None = None
    position: Literal["1", "2"] = "1"
    unit: Literal["/min"] | None = None
    after: list[Finding] = []
    limits: list[Limit]


class Implication(_Part):
    """All of ``when`` present makes ``then`` present, unless the text says something of it."""

    when: list[Finding]
    then: Finding


class CommonFile(_Part):
    """What holds in every language."""

    not_report_text: list[str] = []
    concepts: dict[str, Concept]
    composite_sites: dict[str, list[Site]]
    leads: dict[Site, list[str]]
    never_listed: list[Finding] = []
    exclusive: list[Finding] = []
    implications: list[Implication] = []
    quantities: dict[str, Quantity] = {}


class Rules(_Part):
    """All rule files of a folder."""

    common: CommonFile
    files: list[LanguageFile]

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes of the languages in alphabetical order."""
        return tuple(sorted({file.language for file in self.files}))


@cache
def shipped_rules() -> Rules:
    """The rules that come with the package."""
    return read_rules(SHIPPED)


def read_rules(folder: Path) -> Rules:
    """All rules of a folder.

    Raises:
        UserError: the folder or ``common.yaml`` is missing, a file is no YAML, has an unknown key
            or finding (the nearest is named), a pattern that cannot be read, or a name that
            ``common.yaml`` does not define.
    """
    if not (folder / "common.yaml").is_file():
        raise UserError(
            f"{folder} has no common.yaml; `deepecg label --export-rules {folder}` writes a copy "
            "of the shipped rules to edit."
        )
    common = _read(CommonFile, folder / "common.yaml")
    paths = sorted(folder.glob("*/*.yaml"))
    files = [_read(LanguageFile, path) for path in paths]
    if not files:
        raise UserError(f"{folder} has no rule files LANGUAGE/GROUP.yaml.")
    for file, path in zip(files, paths, strict=True):
        if file.language != path.parent.name:
            where = place(path, line_of(path, ("language",)))
            raise UserError(f"{where} says language {file.language}; put it into {file.language}/.")
        sites = [*common.leads, *common.composite_sites]
        own = [phrase for phrases in file.concepts.values() for phrase in phrases]
        used = [phrase.site for phrase in own if isinstance(phrase, SitedPhrase) and phrase.site]
        _known(file.concepts, common.concepts, "concept", path)
        _known([*file.sites, *used], sites, "site", path)
        _known(file.quantities, common.quantities, "quantity", path)
    return Rules(common=common, files=files)


def _known(names: Iterable[str], known: Collection[str], what: str, path: Path) -> None:
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.3)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}."
            where = place(path, line_with(path, name))
            raise UserError(f"{where}: common.yaml has no {what} {name!r}; {hint}")


def _read(schema: type[Model], path: Path) -> Model:
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_TextLoader)
        return schema.model_validate(values)
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8; save it as UTF-8.") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = " ".join(part for part in (error.context, error.problem) if part)
        where = place(path, mark.line + 1 if mark else None)
        raise UserError(f"{where}: not valid YAML: {said}.") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = first["loc"][0] if first["loc"] else "it"
        where = ".".join(str(part) for part in first["loc"] if part != "[key]")
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            near = difflib.get_close_matches(str(key), schema.model_fields, n=1, cutoff=0.3)
            message = f"unknown key; did you mean {near[0]!r}" if near else "unknown key"
        raise UserError(
            f"{place(path, line_of(path, first['loc']))}: {where}: {message}."
        ) from error
