"""What a scan's sidecar says of how it was taken. What it does not say is never filled in silently."""

from __future__ import annotations

import json
import math
import re
import reprlib
from pathlib import Path

from physldm.errors import InputError
from physldm.physics import SEQUENCES, Acquisition
from physldm.physics.acquisition import SEQUENCE_OF_SUFFIX

from .bids import sidecar_of

# Seconds. A number above this one is milliseconds.
LONGEST = {
    "EchoTime": 5,
    "ContrastEquivalentEchoTime": 5,
    "RepetitionTime": 60,
    "RepetitionTimePreparation": 60,
    "InversionTime": 20,
}
LONG_TE = 0.2  # seconds; a plain spin echo as late as this would be nearly empty
# OASIS-3's inversion times by repetition time, seconds.
USUAL_TI = {("T1w", "mprage"): {2.4: 1.0, 2.3: 0.9}, ("FLAIR", "flair"): {9.0: 2.5, 5.0: 1.8}}


def inherited(file: Path, suffix: str, dataset: Path) -> dict:
    """What a scan's sidecar says and, where it is silent, those further up (BIDS: the inheritance principle)."""
    own = file.resolve().parent
    content: dict = {}
    for folder in reversed([f for f in (own, *own.parents) if f.is_relative_to(dataset)]):
        named = [(sidecar.stem.split("_"), sidecar) for sidecar in folder.glob(f"*{suffix}.json")]
        for (*entities, last), sidecar in sorted(named, key=lambda pair: len(pair[0])):
            if last == suffix and set(entities) <= set(file.name.split("_")):
                content |= read_sidecar(sidecar)
    return content or read_sidecar(sidecar_of(file))


def acquisition_of(
    sidecar: Path, content: dict, suffix: str, effective_te: float
) -> tuple[Acquisition, tuple[str, ...]]:
    """How a scan was taken, and one line for each thing that its sidecar does not say.

    Args:
        sidecar: the file that errors name.
        content: what it says, see :func:`inherited`.
        suffix: T1w, T2w or FLAIR.
        effective_te: seconds; the TE of a plain spin echo with the contrast of a long train of refocusing pulses.

    Raises:
        InputError: something is missing that cannot be filled in, or impossible.
    """
    sequence, notes = _sequence(sidecar, content, suffix)
    te, said_of_te = _echo_time(sidecar, content, sequence, effective_te)
    tr = _seconds(sidecar, content, "RepetitionTimePreparation", "RepetitionTime")
    if tr is None or (te is None and sequence != "mprage"):
        raise InputError(f"{sidecar}: {'EchoTime' if tr else 'RepetitionTime'}: missing, expected seconds")
    ti, said_of_ti = _inversion_time(sidecar, content, suffix, sequence, tr)
    if sequence == "mprage" and tr <= ti:
        raise InputError(
            f"{sidecar}: RepetitionTime: found {tr:g}, expected more than InversionTime = {ti:g} s (this looks like the "
            "excitation TR; RepetitionTimePreparation is the time from one inversion to the next)"
        )
    settled = {"EchoTime": te, "RepetitionTime": tr, "InversionTime": ti}
    known = {field: value for field, value in settled.items() if value is not None}
    try:
        acquisition = Acquisition.from_bids({"PulseSequenceType": sequence, **known}, suffix)
    except InputError as error:
        raise InputError(f"{sidecar}: {error}") from None
    return acquisition, (*notes, *said_of_te, *said_of_ti)


def _sequence(sidecar: Path, content: dict, suffix: str) -> tuple[str, list[str]]:
    """Whose equation a scan obeys, and what was not said of it."""
    name, declared = _text(sidecar, content, "SequenceName"), _declared(sidecar, content)
    inverted = {"ir", "se"} <= set(re.split("[^a-z]+", _text(sidecar, content, "ScanningSequence")))
    # an inversion followed by a spin echo has FLAIR's equation, whatever its TI makes of the contrast
    inverted_echo = suffix != "FLAIR" and (inverted or "tir" in name)
    # so has a T2-weighted scan after an inversion (STIR)
    inverted_echo |= suffix == "T2w" and content.get("InversionTime") is not None
    sequence = "flair" if inverted_echo else SEQUENCE_OF_SUFFIX[suffix]
    if declared:
        expected = sorted({SEQUENCE_OF_SUFFIX[suffix], "flair"})
        if declared not in expected:
            raise InputError(
                f"{sidecar}: PulseSequenceType: found {declared}, expected {' or '.join(expected)}"
            )
        return declared, []
    return sequence, [] if name else [f"SequenceName is missing: taken as {sequence}"]


def _declared(sidecar: Path, content: dict) -> str | None:
    """The sequence by this package's own name for it; None in a sidecar that others wrote."""
    _text(sidecar, content, "PulseSequenceType")
    value = content.get("PulseSequenceType")
    return value if isinstance(value, str) and value in SEQUENCES else None


def _echo_time(
    sidecar: Path, content: dict, sequence: str, effective_te: float
) -> tuple[float | None, list[str]]:
    """The TE of the plain spin echo that has the scan's contrast, None if nothing is said; and what was filled in."""
    te = _seconds(sidecar, content, "ContrastEquivalentEchoTime", "EchoTime")
    # a turbo spin echo's header has the effective TE; a SPACE train's has that of the middle of a far longer train
    header_te = "ContrastEquivalentEchoTime" in content or "tse" in _text(sidecar, content, "SequenceName")
    header_te |= _declared(sidecar, content) is not None
    if te is None or te <= LONG_TE or header_te or sequence == "mprage":
        return te, []
    note = f"EchoTime {te:g} s is that of a long echo train: effective TE {effective_te:g} s"
    return effective_te, [note]


def _inversion_time(
    sidecar: Path, content: dict, suffix: str, sequence: str, tr: float
) -> tuple[float | None, list[str]]:
    """TI in seconds, None where nothing is inverted; and what was filled in: as in OASIS-3 where it is not said."""
    if sequence == "spin_echo":
        return None, []
    ti = _seconds(sidecar, content, "InversionTime")
    if ti is not None:
        return ti, []
    ti = _usual_ti(sidecar, suffix, sequence, tr)
    return ti, [f"InversionTime is missing: {ti:g} s, as in OASIS-3 at a TR of {tr:g} s"]


def read_sidecar(sidecar: Path) -> dict:
    """A sidecar's content.

    Raises:
        InputError: missing, not UTF-8, not JSON, not an object, or with a key twice.
    """
    try:
        content = json.loads(sidecar.read_bytes().decode("utf-8-sig"), object_pairs_hook=_no_duplicates)
    except FileNotFoundError:
        raise InputError(f"{sidecar}: missing, expected the scan's sidecar") from None
    except OSError as error:
        raise InputError(f"{sidecar}: {error.strerror}, expected the scan's sidecar") from None
    except UnicodeDecodeError:
        raise InputError(f"{sidecar}: found bytes that are not UTF-8, expected JSON in UTF-8") from None
    except _DuplicateKey as error:
        raise InputError(f"{sidecar}: {error}: found twice, expected once") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{sidecar}: not JSON: {error}") from None
    if not isinstance(content, dict):
        raise InputError(
            f"{sidecar}: found {reprlib.repr(content)}, expected an object with EchoTime and so on"
        )
    return content


class _DuplicateKey(Exception):
    pass


def _no_duplicates(pairs: list[tuple]) -> dict:
    content = {}
    for key, value in pairs:
        if key in content:
            raise _DuplicateKey(reprlib.repr(key))
        content[key] = value
    return content


def _seconds(sidecar: Path, content: dict, *fields: str) -> float | None:
    """The first of ``fields`` that is there; None if none is."""
    for field in (f for f in fields if f in content):
        value, found = content[field], f"{sidecar}: {field}: found {reprlib.repr(content[field])}"
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
            raise InputError(f"{found}, expected a number of seconds above 0")
        if value > LONGEST[field]:
            raise InputError(f"{found}, expected seconds (this looks like milliseconds)")
        return float(value)
    return None


def _text(sidecar: Path, content: dict, field: str) -> str:
    """A text, or a list of texts joined by spaces, in lower case; empty if the field is missing."""
    value = content.get(field, "")
    parts = value if isinstance(value, list) else [value]
    if not all(isinstance(part, str) for part in parts):
        raise InputError(f"{sidecar}: {field}: found {reprlib.repr(value)}, expected text")
    return " ".join(parts).lower()


def _usual_ti(sidecar: Path, suffix: str, sequence: str, tr: float) -> float:
    for usual_tr, ti in USUAL_TI.get((suffix, sequence), {}).items():
        if abs(tr - usual_tr) <= 0.05:
            return ti
    raise InputError(
        f"{sidecar}: InversionTime: missing, expected seconds (no usual value is known for {suffix} at a TR of {tr:g} s)"
    )
