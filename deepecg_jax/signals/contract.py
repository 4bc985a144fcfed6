"""The signal contract: what a model's, a data set's or a bundle's ECG arrays look like.

It is stored as ``signal.json`` beside shards, checkpoints and bundles; every entry point compares
the two sides it joins with :func:`require_same`.
"""

import difflib
import json
import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from deepecg_jax.errors import UserError

STANDARD_LEADS: tuple[str, ...] = (
    *("I", "II", "III", "aVR", "aVL", "aVF"),
    *("V1", "V2", "V3", "V4", "V5", "V6"),
)
UNITS: tuple[str, ...] = ("mV", "uV", "V")
SCALINGS: tuple[str, ...] = ("millivolt", "deepecg", "fairseq")
FILTERS: tuple[str, ...] = ("baseline", "powerline")
FILE_NAME = "signal.json"


@dataclass(frozen=True)
class SignalContract:
    """Sampling rate (Hz), duration (s), unit, lead order, scaling and filters of an ECG array.

    ``scaling`` names what is done to the millivolts before the encoder sees them: ``millivolt``
    (nothing), ``deepecg`` (the batch scaling of DeepECG_Docker) or ``fairseq`` (per-lead z-score of
    fairseq-signals). ``filters`` names what was removed with a site's profile: ``baseline``,
    ``powerline``; a file without it means none. Raises UserError when a value is impossible.
    """

    sampling_rate: float = 250.0
    seconds: float = 10.0
    unit: str = "mV"
    leads: tuple[str, ...] = STANDARD_LEADS
    scaling: str = "millivolt"
    filters: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("sampling_rate", "seconds"):
            value = getattr(self, name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not number or not math.isfinite(value) or value <= 0:
                raise UserError(
                    f"signal contract: {name} is {value!r}, but must be a positive number."
                )
            object.__setattr__(self, name, float(value))
        samples = self.sampling_rate * self.seconds
        if abs(samples - round(samples)) > 1e-6 or round(samples) < 1:
            raise UserError(
                f"signal contract: {self.seconds:g} s at {self.sampling_rate:g} Hz is {samples:g} "
                "samples, which is not a whole number."
            )
        for name, allowed in (("unit", UNITS), ("scaling", SCALINGS)):
            if getattr(self, name) not in allowed:
                raise UserError(
                    f"signal contract: {name} is {getattr(self, name)!r}, "
                    f"but must be one of {', '.join(allowed)}."
                )
        if isinstance(self.leads, str) or not isinstance(self.leads, (tuple, list)):
            raise UserError(
                f"signal contract: leads is {self.leads!r}, but must be a list of lead names."
            )
        object.__setattr__(self, "leads", tuple(self.leads))
        unknown = [lead for lead in self.leads if lead not in STANDARD_LEADS]
        if unknown or not self.leads or len(set(self.leads)) != len(self.leads):
            raise UserError(
                f"signal contract: leads are {list(self.leads)}, but must be different names "
                f"out of {', '.join(STANDARD_LEADS)}."
            )
        listed = isinstance(self.filters, (tuple, list))
        if not listed or any(name not in FILTERS for name in self.filters):
            raise UserError(
                f"signal contract: filters is {self.filters!r}, but must be a list of "
                f"{', '.join(FILTERS)}."
            )
        object.__setattr__(self, "filters", tuple(sorted(set(self.filters))))

    @property
    def n_samples(self) -> int:
        """Samples a lead: sampling rate times duration."""
        return round(self.sampling_rate * self.seconds)

    @property
    def scaling_in_words(self) -> str:
        """What the numbers are, for people."""
        words = {
            "millivolt": "millivolts",
            "deepecg": "millivolts scaled and cleaned by batches, as by DeepECG",
            "fairseq": "each lead z-scored",
        }[self.scaling]
        return f"{words} without {' and '.join(self.filters)}" if self.filters else words

    def to_dict(self) -> dict[str, Any]:
        """The contract as plain JSON values."""
        return {
            "sampling_rate": self.sampling_rate,
            "seconds": self.seconds,
            "unit": self.unit,
            "leads": list(self.leads),
            "scaling": self.scaling,
            "filters": list(self.filters),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any], where: str = "signal contract") -> "SignalContract":
        """Read :meth:`to_dict`'s form; UserError names ``where`` and the unknown or missing key."""
        if not isinstance(values, dict):
            raise UserError(f"{where}: expected an object with keys, got {type(values).__name__}.")
        known = [field.name for field in fields(cls)]
        for key in values:
            if key not in known:
                near = difflib.get_close_matches(str(key), known, n=1)
                hint = f"did you mean {near[0]!r}" if near else f"known keys: {', '.join(known)}"
                raise UserError(f"{where}: unknown key {key!r}; {hint}.")
        missing = [key for key in known if key not in values and key != "filters"]
        if missing:
            raise UserError(f"{where}: missing {', '.join(missing)}.")
        try:
            return cls(**values)
        except UserError as error:
            raise UserError(str(error).replace("signal contract", where, 1)) from error

    def save(self, folder: str | Path) -> Path:
        """Write ``folder/signal.json`` (the folder is made if absent) and return its path."""
        path = Path(folder) / FILE_NAME
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.to_dict(), indent=2) + "\n", encoding="utf-8")
        return path


def load(folder: str | Path) -> SignalContract:
    """Read ``folder/signal.json``; UserError if it is absent, not JSON, or not a contract."""
    path = Path(folder) / FILE_NAME
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist; a data set, run or bundle needs it.") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as JSON ({error}).") from error
    return SignalContract.from_dict(values, where=str(path))


def require_same(a: SignalContract, b: SignalContract, a_name: str, b_name: str) -> None:
    """UserError naming both sides and every differing field, unless the contracts are equal."""
    differences = [
        f"{field.name} is {_show(getattr(a, field.name))} in {a_name} "
        f"but {_show(getattr(b, field.name))} in {b_name}"
        for field in fields(SignalContract)
        if getattr(a, field.name) != getattr(b, field.name)
    ]
    if differences:
        raise UserError(f"{a_name} and {b_name} contradict each other: {'; '.join(differences)}.")


def _show(value: object) -> str:
    if value == ():
        return "none"
    if isinstance(value, tuple):
        return " ".join(str(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
