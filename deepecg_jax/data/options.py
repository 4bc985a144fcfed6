"""Builder options given as ``key=value``: declared by each builder, checked before it starts."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from deepecg_jax.errors import UserError


@dataclass(frozen=True)
class Option:
    """One option of a builder: its default, what it means, and the values allowed (empty: any)."""

    default: str
    help: str
    choices: tuple[str, ...] = ()


SHARES = Option(
    "80/10/10",
    "shares of train/validation/test, by a hash of the patient, where the source has no splits",
)
"""Option ``shares`` of the builders whose sources leave the splits to them."""

COMMON_OPTIONS: dict[str, Option] = {
    "windows": Option("first", "of a recording longer than 10 s: first or all", ("first", "all")),
    "short": Option("pad", "a recording shorter than 10 s: pad or reject", ("pad", "reject")),
    "patients": Option(
        "error",
        "a patient in two splits: error, or first to move the later ECGs",
        ("error", "first"),
    ),
    "duplicates": Option(
        "reject",
        "the same signal twice: reject all copies but one, or keep them",
        ("reject", "keep"),
    ),
    "findings": Option(
        "source",
        "of the 77: those that the source can express, or all, the others unknown (-1)",
        ("source", "all"),
    ),
    "standardisation": Option(
        "millivolt",
        "millivolt: true amplitudes at 250 Hz; deepecg: the original's scaling and cleaning of "
        "batches; fairseq: z-scores at 500 Hz in pieces of 5 s",
        ("millivolt", "deepecg", "fairseq"),
    ),
    "batch": Option("512", "deepecg: most ECGs of a shard that are standardised together"),
    "site_profile": Option(
        "", "a file of `deepecg profile`, or fit: from a sample of this source; see powerline"
    ),
    "powerline": Option(
        "keep", "millivolt: remove the powerline that the site profile found", ("keep", "remove")
    ),
    "baseline": Option(
        "keep", "millivolt: remove baseline wander below the profile's cut-off", ("keep", "remove")
    ),
}


def resolve_options(
    declared: Mapping[str, Option], given: Mapping[str, str], builder: str
) -> dict[str, str]:
    """All options of a builder with their values; UserError on an unknown name or value."""
    for name, value in given.items():
        if name not in declared:
            near = difflib.get_close_matches(name, declared, n=1)
            hint = f"did you mean {near[0]!r}" if near else f"it has {', '.join(declared)}"
            raise UserError(f"Builder {builder} has no option {name!r}; {hint}.")
        choices = declared[name].choices
        if choices and value not in choices:
            raise UserError(
                f"Option {name} of builder {builder} is {value!r}, but must be "
                f"{' or '.join(choices)}."
            )
    return {name: str(given.get(name, option.default)) for name, option in declared.items()}


def whole_number(options: Mapping[str, str], name: str, least: int = 0) -> int:
    """The value of an option that must be a whole number of at least ``least``."""
    try:
        value = int(options[name])
    except ValueError:
        value = least - 1
    if value < least:
        raise UserError(
            f"Option {name} is {options[name]!r}, but must be a whole number >= {least}."
        )
    return value
