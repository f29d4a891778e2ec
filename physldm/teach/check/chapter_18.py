"""Chapter 18: your data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from physldm.physics import Acquisition

from .verdict import Verdict, checked, each_named, letters, not_yet, number, number_is

__all__ = ["BROKEN", "TRIAGE", "gain_factor", "repaired_sidecar", "triage", "what_to_believe"]

BROKEN = {"SequenceName": "*tfl3d1", "EchoTime": 2.98, "RepetitionTime": 7.1}


@checked
def repaired_sidecar(answer: Mapping) -> Verdict:
    """Chapter 18: a sidecar that says how the MPRAGE of ``BROKEN`` was taken.

    Args:
        answer: field → value, in seconds: ``EchoTime``, ``RepetitionTime`` (or ``RepetitionTimePreparation``)
            and ``InversionTime``.
    """
    if not isinstance(answer, Mapping):
        return not_yet('Give a sidecar, a dictionary: {"EchoTime": ..., ...}.')
    true = {"EchoTime": 0.00298, "RepetitionTime": 2.3, "InversionTime": 0.9}
    hints = {
        "EchoTime": "the scanner's was 2.98 ms.",
        "RepetitionTime": "it is the time from one inversion to the next.",
        "InversionTime": "at a TR of 2.3 s OASIS-3's MPRAGEs have another TI: the text above names it.",
    }
    for name, seconds in true.items():
        key = "RepetitionTimePreparation" if f"{name}Preparation" in answer else name
        if key not in answer:
            return not_yet(f"{name} is missing.")
        value = number(answer[key], f"seconds for {key}")
        if math.isclose(value, 1000 * seconds):
            return not_yet(f"{key}: found {value:g}. A sidecar has seconds, not milliseconds.")
        if not math.isclose(value, seconds):
            return not_yet(f"{key}: found {value:g} s; {hints[name]}")
    found = Acquisition.from_bids(answer, "T1w")
    if found.sequence != "mprage":
        return not_yet(f"It reads as {found.sequence}.")
    return Verdict(True, f"{found}.")


TRIAGE = {"a": "filled in", "b": "refused", "c": "taken", "d": "filled in"}


@checked
def triage(answer: Mapping[str, str]) -> Verdict:
    """Chapter 18: what becomes of four scans in ``prepare``.

    Args:
        answer: ``{"a": ..., "b": ..., "c": ..., "d": ...}``, each ``taken``, ``filled in`` or ``refused``.
    """
    hints = {
        "a": "a: do all FLAIRs of OASIS-3 with TR 9 s have the same TI?",
        "b": "b: is any usual TI known for a TR of 7 s?",
        "c": "c: a turbo spin echo's header has the TE of k-space's centre, and its contrast.",
        "d": "d: is 0.455 s the TE that this train's contrast has?",
    }
    praise = "What can be known is filled in, and said; what cannot is refused."
    return each_named(answer, TRIAGE, hints, praise)


@checked
def gain_factor(answer: float) -> Verdict:
    """Chapter 18: the factor that gives a second scan (84 against 0.28) the gain of the first (84 against 0.14).

    Args:
        answer: a factor.
    """
    slips = {
        "The other way round: the second scan has the smaller gain.": 0.5,
        "That is a gain, 84 over 0.14. By what must the other be multiplied?": 600.0,
        "That is a gain, 84 over 0.28. By what must it be multiplied?": 300.0,
    }
    otherwise = "A gain is the scan's median over the average brain's. What are the two?"
    return number_is(
        number(answer), 2.0, slips, praise="Gains of 600 and 300.", otherwise=otherwise, within=0.002
    )


@checked
def what_to_believe(answer: Iterable[str]) -> Verdict:
    """Chapter 18: what the stored numbers let one say of the patient.

    Args:
        answer: a set of letters from a to d.
    """
    found = letters(answer, "abcd")
    if found == {"b", "d"}:
        return Verdict(True, "And neither says that the maps are right: their gains were guessed.")
    if "a" in found:
        return not_yet("a: how large was the misfit when the header lied?")
    if "c" in found:
        return not_yet("c: what did the estimate of the gains assume of her brain?")
    return not_yet("Compare the misfits; then ask whether smoothness was ever compared with anything.")
