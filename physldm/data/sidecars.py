"""What a scan's sidecar says of how it was taken. What it does not say is never filled in silently."""

from __future__ import annotations

import math
import reprlib
from pathlib import Path

from physldm.errors import InputError
from physldm.physics import Acquisition
from physldm.physics.acquisition import SEQUENCE_OF_SUFFIX

from .json_files import Twice, read_sidecar, sidecar_of
from .sequence_names import is_flat, is_train, own_sequence, refuse_no_magnitude, sequence_of

# Seconds. A number above this one is milliseconds.
LONGEST = {
    "EchoTime": 5,
    "ContrastEquivalentEchoTime": 5,
    "RepetitionTime": 60,
    "RepetitionTimePreparation": 60,
    "InversionTime": 20,
    "EchoSpacing": 1,
}
LONG_TE = 0.2  # seconds; a plain spin echo as late as this would be nearly empty
LONG_TRAIN = 280  # echoes; what a header of such a TE is taken to mean where it tells none, with the TE in their middle
# OASIS-3's inversion times by repetition time, seconds.
USUAL_TI = {("T1w", "mprage"): {2.4: 1.0, 2.3: 0.9}, ("FLAIR", "flair"): {9.0: 2.5, 5.0: 1.8}}


def inherited(file: Path, suffix: str, dataset: Path) -> dict:
    """What a scan's sidecar says and, where it is silent, those further up (BIDS: the inheritance principle).

    Args:
        file: the scan; a link is not followed, for what lies beside the link is the scan's.
        suffix: T1w, T2w or FLAIR.
        dataset: the folder above which nothing is looked for.

    Raises:
        InputError: there is no sidecar, or one that cannot be read.
    """
    own, content = file.parent, {}
    above = [f for f in (own, *own.parents) if f.is_relative_to(dataset)]
    # XNAT, the archive that OASIS-3 is kept in, hands out sidecars in a folder of their own
    twin = Path(*("BIDS" if part == "NIFTI" else part for part in own.parts))
    for folder in (*reversed(above), *([twin] if twin != own else [])):
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
        effective_te: seconds; the contrast-equivalent TE of a long train of refocusing pulses whose header has none.

    Raises:
        InputError: something is missing that cannot be filled in, or impossible.
    """
    computed = refuse_no_magnitude(sidecar, content)
    sequence, own, notes = _sequence(sidecar, content, suffix)
    te, contrast_te, long = _echo_times(sidecar, content, sequence, own, effective_te)
    tr = _seconds(sidecar, content, "RepetitionTimePreparation", "RepetitionTime")
    if tr is None or (contrast_te is None and sequence != "mprage"):
        raise InputError(f"{sidecar}: {'EchoTime' if tr else 'RepetitionTime'}: missing, expected seconds")
    ti, said_of_ti = _inversion_time(sidecar, content, suffix, sequence, tr)
    if sequence == "mprage" and ti is not None and tr <= ti:
        raise InputError(
            f"{sidecar}: RepetitionTime: found {tr:g}, expected more than InversionTime = {ti:g} s (this looks like the "
            "excitation TR; RepetitionTimePreparation is the time from one inversion to the next)"
        )
    settled = {"EchoTime": contrast_te, "RepetitionTime": tr, "InversionTime": ti}
    known = {field: value for field, value in settled.items() if value is not None}
    row, train, said_of_train = _train(sidecar, content, suffix, sequence, (te, contrast_te, long))
    notes = [note.replace(f"taken as {sequence}", f"taken as {row}") for note in notes]
    try:
        acquisition = Acquisition.from_bids({"PulseSequenceType": row, **known, **train}, suffix)
    except InputError as error:
        raise InputError("; ".join([f"{sidecar}: {error}", *said_of_train])) from None
    return acquisition, (*computed, *notes, *said_of_ti, *said_of_train)


def _sequence(sidecar: Path, content: dict, suffix: str) -> tuple[str, bool, list[str]]:
    """Whose equation a scan obeys, whether this package wrote that, and what was inferred."""
    declared = own_sequence(sidecar, content, LONG_TE)
    if declared is None:
        sequence, notes = sequence_of(sidecar, content, suffix)
        return sequence, False, notes
    expected = sorted({SEQUENCE_OF_SUFFIX[suffix], "flair"})
    if declared not in expected:
        raise InputError(f"{sidecar}: PulseSequenceType: found {declared}, expected {' or '.join(expected)}")
    return declared, True, []


# TE of the header (seconds), that of the contrast, and whether a long train of refocusing pulses parts the two.
EchoTimes = tuple[float | None, float | None, bool]


def _echo_times(sidecar: Path, content: dict, sequence: str, own: bool, effective_te: float) -> EchoTimes:
    te, told = (_seconds(sidecar, content, name) for name in ("EchoTime", "ContrastEquivalentEchoTime"))
    # a train taken slice by slice has the effective TE in its header; one in three dimensions the time of the middle of a
    # far longer train
    late = te is not None and te > LONG_TE and sequence != "mprage"
    long = late and not own and not is_flat(sidecar, content)
    return te or told, told or (effective_te if long else te), long


def _train(
    sidecar: Path, content: dict, suffix: str, sequence: str, times: EchoTimes
) -> tuple[str, dict, list[str]]:
    """The row of the table that has a train, where one was played; what is known of it, and what was filled in.

    A T1w after an inversion is one by its name, a long one by its TE. The others have Eq. 1's equation, unless the train is
    told whole.
    """
    spacing, length = _seconds(sidecar, content, "EchoSpacing"), content.get("EchoTrainLength")
    if isinstance(length, Twice):
        raise InputError(f"{sidecar}: 'EchoTrainLength': found twice, expected once")
    told = spacing is not None and length not in (None, 0, 1)
    row = {"spin_echo": "tse", "flair": "ir_tse" if suffix == "T1w" else "flair_tse"}.get(sequence)
    te, contrast_te, long = times
    if row is None or te is None or not (told or long or (row == "ir_tse" and is_train(sidecar, content))):
        return sequence, {}, []
    # the header's TE is that of k-space's centre
    known, filled_in = {"EchoTime": te, "ContrastEquivalentEchoTime": contrast_te}, []
    if long and "ContrastEquivalentEchoTime" not in content:
        filled_in = [f"effective TE {contrast_te:g} s"]
    if told:
        known |= {"EchoSpacing": spacing, "EchoTrainLength": length}
    elif long:
        spacing = 2 * te / LONG_TRAIN
        known |= {"EchoSpacing": spacing, "EchoTrainLength": LONG_TRAIN}
        filled_in.append(f"{LONG_TRAIN} echoes {spacing:.3g} s apart with EchoTime in their middle")
    else:
        usual = Acquisition.usual(row, te=te)
        note = f"{usual.train_length} echoes {usual.echo_spacing:g} s apart, as is usual"
        return row, known, [f"EchoTrainLength, EchoSpacing: not both said: {note}"]
    note = f"EchoTime {te:g} s is that of a long echo train: "
    return row, known, [note + ", ".join(filled_in)] if filled_in else []


def _inversion_time(
    sidecar: Path, content: dict, suffix: str, sequence: str, tr: float
) -> tuple[float | None, list[str]]:
    """TI in seconds, None where nothing is inverted; and what was filled in: as in OASIS-3 where it is not said."""
    if sequence == "spin_echo":
        return None, []
    nothing = content.get("InversionTime") in (0, None) and not isinstance(content.get("InversionTime"), bool)
    ti = None if nothing else _seconds(sidecar, content, "InversionTime")
    if ti is not None:
        return ti, []
    ti = _usual_ti(sidecar, suffix, sequence, tr)
    return ti, [f"InversionTime is missing: {ti:g} s, as in OASIS-3 at a TR of {tr:g} s"]


def _seconds(sidecar: Path, content: dict, *fields: str) -> float | None:
    """The first of ``fields`` that is there; None if none is."""
    for field in (f for f in fields if f in content):
        if isinstance(content[field], Twice):
            raise InputError(f"{sidecar}: {field!r}: found twice, expected once")
        value, found = content[field], f"{sidecar}: {field}: found {reprlib.repr(content[field])}"
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
            raise InputError(f"{found}, expected a number of seconds above 0")
        if value > LONGEST[field]:
            raise InputError(f"{found}, expected seconds (this looks like milliseconds)")
        return float(value)
    return None


def _usual_ti(sidecar: Path, suffix: str, sequence: str, tr: float) -> float:
    for usual_tr, ti in USUAL_TI.get((suffix, sequence), {}).items():
        if abs(tr - usual_tr) <= 0.05:
            return ti
    raise InputError(
        f"{sidecar}: InversionTime: missing, expected seconds (no usual value is known for {suffix} at a TR of {tr:g} s)"
    )
