"""Builder options given as ``key=value``: declared by each builder, read once before it starts.

An :class:`Option` knows how its text becomes a value. :func:`resolve_options` reads all texts of a
build and refuses what cannot be; from then on ``options[OPTION]`` is a value of the option's own
type, in this process and in every worker.
"""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, Literal, TypeVar

from deepecg_jax.data.splits import PatientRule, Shares, parse_shares
from deepecg_jax.errors import UserError
from deepecg_jax.signals.contract import FILTERS, SignalContract
from deepecg_jax.signals.standard import fairseq, site_profile
from deepecg_jax.signals.standard.choose import Keep, Short, Standardisation, choose
from deepecg_jax.signals.standard.site_profile import ProfileFile

T = TypeVar("T")
Word = TypeVar("Word", bound=str)


@dataclass(frozen=True)
class Option(Generic[T]):
    """One option of a builder: its default, what it means, how to read it, the texts allowed.

    ``read`` turns a text into the option's value, or raises a UserError that names the option;
    without ``choices`` any text is given to it.
    """

    name: str
    default: str
    help: str
    read: Callable[[str], T]
    choices: tuple[str, ...] = ()


def text(name: str, default: str, help: str) -> Option[str]:
    """An option that is a text, such as the name of a column."""
    return Option(name, default, help, str)


def file(name: str, help: str) -> Option[Path | None]:
    """An option that names a file; None without it."""
    return Option(name, "", help, lambda given: Path(given) if given else None)


def choice(name: str, help: str, *words: Word) -> Option[Word]:
    """An option that is one of ``words``, the first unless another is given."""
    return Option(name, words[0], help, {str(word): word for word in words}.__getitem__, words)


def whole_number(name: str, default: str, help: str, least: int = 0) -> Option[int]:
    """An option that is a whole number of at least ``least``."""

    def read(given: str) -> int:
        try:
            value = int(given)
        except ValueError:
            value = least - 1
        if value < least:
            raise UserError(f"Option {name} is {given!r}, but must be a whole number >= {least}.")
        return value

    return Option(name, default, help, read)


FIT: Final = "fit"
"""The text of option ``site_profile`` that asks for a profile of the source itself."""


def _read_profile(given: str) -> Path | Literal["fit"] | None:
    return FIT if given == FIT else Path(given) if given else None


SHARES: Option[Shares] = Option(
    "shares",
    "80/10/10",
    "shares of train/validation/test, by a hash of the patient, where the source has no splits",
    parse_shares,
)
"""Option ``shares`` of the builders whose sources leave the splits to them."""

WINDOWS: Option[Keep] = choice(
    "windows", "of a recording longer than 10 s: first or all", "first", "all"
)
SHORT: Option[Short] = choice(
    "short", "a recording shorter than 10 s: pad or reject", "pad", "reject"
)
PATIENTS: Option[PatientRule] = choice(
    "patients", "a patient in two splits: error, or first to move the later ECGs", "error", "first"
)
DUPLICATES: Option[Literal["reject", "keep"]] = choice(
    "duplicates",
    "the same signal twice: reject all copies but one, or keep them",
    *("reject", "keep"),
)
FINDINGS: Option[Literal["source", "all"]] = choice(
    "findings",
    "of the 77: those that the source can express, or all, the others unknown (-1)",
    *("source", "all"),
)
STANDARDISATION: Option[Literal["millivolt", "deepecg", "fairseq"]] = choice(
    "standardisation",
    "millivolt: true amplitudes at 250 Hz; deepecg: the original's scaling and cleaning of "
    "batches; fairseq: z-scores at 500 Hz in pieces of 5 s",
    *("millivolt", "deepecg", "fairseq"),
)
BATCH = whole_number(
    "batch", "512", "deepecg: most ECGs of a shard that are standardised together", 1
)
SITE_PROFILE: Option[Path | Literal["fit"] | None] = Option(
    "site_profile",
    "",
    "a file of `deepecg profile`, or fit: from a sample of this source; see powerline",
    _read_profile,
)
POWERLINE: Option[Literal["keep", "remove"]] = choice(
    "powerline",
    "millivolt: remove the powerline that the site profile found",
    *("keep", "remove"),
)
BASELINE: Option[Literal["keep", "remove"]] = choice(
    "baseline",
    "millivolt: remove baseline wander below the profile's cut-off",
    *("keep", "remove"),
)

COMMON_OPTIONS: tuple[Option[Any], ...] = (
    *(WINDOWS, SHORT, PATIENTS, DUPLICATES, FINDINGS),
    *(STANDARDISATION, BATCH, SITE_PROFILE, POWERLINE, BASELINE),
)
"""Options of every builder."""

_REMOVES = {"baseline": BASELINE, "powerline": POWERLINE}


@dataclass(frozen=True)
class BuildOptions:
    """All options of one build; ``options[OPTION]`` is the value of one.

    ``texts``: what was given, or the defaults, in the order in which the options are declared; this
    is what ``build.json`` and ``summary.json`` record, and nothing else reads it. ``values``: the
    same as values, by name.
    """

    texts: Mapping[str, str]
    values: Mapping[str, Any]  # a value is of its option's type, which ``__getitem__`` gives back

    def __getitem__(self, option: Option[T]) -> T:
        return self.values[option.name]

    @property
    def removed(self) -> tuple[str, ...]:
        """What is filtered out of the ECGs, in the words of the contract's ``filters``."""
        return tuple(name for name in FILTERS if self[_REMOVES[name]] == "remove")

    @property
    def profile(self) -> ProfileFile | None:
        """The site profile; None where there is none, or none yet (it is to be fitted)."""
        given = self[SITE_PROFILE]
        return ProfileFile(given) if isinstance(given, Path) else None

    @property
    def contract(self) -> SignalContract:
        """The signal contract of a data set that is built with these options."""
        scaling = self[STANDARDISATION]
        if scaling == "fairseq":
            return fairseq.CONTRACT
        return SignalContract(scaling=scaling, filters=self.removed)

    @property
    def standardisation(self) -> Standardisation:
        """What is done to every recording."""
        return choose(self.contract, self[WINDOWS], self[SHORT], self[BATCH], self.profile)


def resolve_options(
    declared: Sequence[Option[Any]], given: Mapping[str, str], builder: str
) -> BuildOptions:
    """All options of a builder with their values, those that are not given by their defaults.

    Args:
        declared: ``COMMON_OPTIONS`` and the builder's own.
        given: texts by name.
        builder: its name, for sentences.

    Raises:
        UserError: an unknown name, a text that is no value of its option, or options that
            contradict each other.
    """
    by_name = {option.name: option for option in declared}
    for name, value in given.items():
        if name not in by_name:
            near = difflib.get_close_matches(name, by_name, n=1)
            hint = f"did you mean {near[0]!r}" if near else f"it has {', '.join(by_name)}"
            raise UserError(f"Builder {builder} has no option {name!r}; {hint}.")
        choices = by_name[name].choices
        if choices and value not in choices:
            raise UserError(
                f"Option {name} of builder {builder} is {value!r}, but must be "
                f"{' or '.join(choices)}."
            )
    texts = {option.name: str(given.get(option.name, option.default)) for option in declared}
    values = {option.name: option.read(texts[option.name]) for option in declared}
    options = BuildOptions(texts, values)
    _check_filters(options)
    return options


def _check_filters(options: BuildOptions) -> None:
    removed, scaling = options.removed, options[STANDARDISATION]
    if removed and scaling != "millivolt":
        raise UserError(
            f"--option {removed[0]}=remove goes with standardisation=millivolt, not "
            f"{scaling}, which has rules of its own."
        )
    if removed and options[SITE_PROFILE] is None:
        raise UserError(
            f"--option {removed[0]}=remove needs --option site_profile: fit, or a file that "
            "`deepecg profile` wrote."
        )
    if options.profile is not None:
        site_profile.load(options.profile.path)
