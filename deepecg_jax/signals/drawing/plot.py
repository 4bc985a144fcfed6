"""An ECG as one has it -> a drawing: a recording, an array, or a record of a data set."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from deepecg_jax.errors import UserError
from deepecg_jax.signals.contract import STANDARD_LEADS, SignalContract
from deepecg_jax.signals.drawing.layout import MILLIVOLTS, Scale, scale_of
from deepecg_jax.signals.drawing.svg import Svg, ecg_svg
from deepecg_jax.signals.leads import canonical_lead, to_standard
from deepecg_jax.signals.quality.check import check
from deepecg_jax.signals.recording import Recording, SignalError
from deepecg_jax.signals.units import from_stored


@dataclass(frozen=True, eq=False)
class TwelveLeads:
    """An ECG in the standard leads at its own rate: ``signal`` (T, 12), ``mask`` (12,) bool, and
    the leads that were ``derived`` from others."""

    signal: np.ndarray
    mask: np.ndarray
    derived: tuple[str, ...]


def twelve_leads(recording: Recording) -> TwelveLeads:
    """The standard leads of a recording, limb leads derived where that is exact.

    SignalError: two columns are the same lead, or none is a standard one.
    """
    try:  # leads normalised one by one no longer add up, so nothing can be derived from them
        derive = not check(recording)["lead_gains_normalised"]
    except SignalError:  # unusable, but it can be drawn
        derive = True
    signal, mask = to_standard(recording.signal, recording.leads, derive)
    recorded = {canonical_lead(name) for name in recording.leads}
    here = zip(STANDARD_LEADS, mask, strict=True)
    return TwelveLeads(
        signal, mask, tuple(name for name, on in here if on and name not in recorded)
    )


def plot(
    ecg: Recording | np.ndarray | Mapping[str, Any],
    *,
    sampling_rate: float | None = None,
    contract: SignalContract | None = None,
    title: str | None = None,
    findings: Sequence[tuple[str, float]] = (),
) -> Svg:
    """Draw the first 10 s of an ECG on paper: 25 mm/s, 10 mm/mV, 3 x 4 leads and lead II.

    >>> drawing = de.plot(de.read("ecg.hea"))  # a notebook shows it
    >>> split = de.open_split("data", "synthetic", "test")
    >>> de.plot(split[0], contract=split.contract).save("ecg.svg").name
    'ecg.svg'

    What is not millivolts (z-scored data sets) is drawn with its own unit.

    Args:
        ecg: a recording; an array (T, 12) of millivolts or of what ``contract`` says, in the
            standard lead order; or one record of a data set, as ``open_split(...)[i]`` gives it.
        sampling_rate: Hz, of an array that has no contract.
        contract: of an array or a record: ``split.contract``, ``bundle.signal``.
        title: above the ECG; the record's id, age and sex if not given.
        findings: (name, probability) pairs, listed below the ECG.

    Raises:
        UserError: the rate or the contract is missing, or there is nothing to draw.
    """
    if isinstance(ecg, Recording):
        if contract is not None or sampling_rate is not None:
            raise UserError("A recording knows its sampling rate and unit; do not give them.")
        try:
            leads = twelve_leads(ecg)
        except SignalError as error:
            raise UserError(f"The recording cannot be drawn: {error}") from error
        said = _person(vars(ecg)) if title is None else title
        rate = ecg.sampling_rate
        return ecg_svg(leads.signal, rate, said, findings, leads.mask, MILLIVOLTS, leads.derived)
    if isinstance(ecg, Mapping):
        if contract is None:
            raise UserError(
                "A record of a data set does not say what its numbers are; give "
                "contract=split.contract."
            )
        signal, mask = stored_leads(ecg, contract)
        said = _person(ecg) if title is None else title
        return ecg_svg(signal, contract.sampling_rate, said, findings, mask, scale_of(contract))
    rate = contract.sampling_rate if contract is not None else sampling_rate
    if rate is None or (sampling_rate is not None and sampling_rate != rate):
        raise UserError("An array needs its sampling_rate in Hz, or a contract, to be drawn.")
    scale: Scale = MILLIVOLTS if contract is None else scale_of(contract)
    mask = None
    signal = np.asarray(ecg)
    if contract is not None and contract.leads != STANDARD_LEADS:
        signal, mask = to_standard(signal, contract.leads, derive=False)
    return ecg_svg(signal, rate, title or "", findings, mask, scale)


def stored_leads(
    record: Mapping[str, Any], contract: SignalContract
) -> tuple[np.ndarray, np.ndarray]:
    """One record of a data set as (T, 12) float32 of its contract, and the recorded leads (12,)."""
    signal, mask = to_standard(from_stored(record["signal"]), contract.leads, derive=False)
    places = [STANDARD_LEADS.index(lead) for lead in contract.leads]
    mask = mask.copy()
    mask[places] &= np.asarray(record["lead_mask"], bool)
    return signal, mask


def _person(known: Mapping[str, Any]) -> str:
    age, sex = float(known["age"]), str(known["sex"])
    parts = [str(known["record_id"]), "" if math.isnan(age) else f"{age:g} years"]
    return ", ".join(part for part in (*parts, "" if sex == "unknown" else sex) if part)
