"""Which equation a scan obeys, by what people and scanners write of it."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from physldm.errors import InputError
from physldm.physics import FIELDS, SEQUENCES
from physldm.physics.acquisition import SEQUENCE_OF_SUFFIX

from .json_files import Twice

# Fields that name a sequence, the most reliable first; the first two are the scanner's own.
NAMES = (
    "SequenceName",
    "ScanningSequence",
    "PulseSequenceName",
    "PulseSequenceType",
    "SeriesDescription",
    "ProtocolName",
)
SCANNERS_OWN = NAMES[:2]
EQ_1 = {name: name for name in SEQUENCE_OF_SUFFIX.values()}
TRAINS = {"tse": "spin_echo", "flair_tse": "flair"}  # and what they are but for their train
MADE_HERE = {"ConversionSoftware": "physldm"}  # what this package's own sidecars say beside the settings
GRADIENT, SPIN, OTHER = "gradient echo", "spin echo", "another equation"
# What people write, how the signal is read out (None where that is not said), and whether something is inverted first. Of
# several that fit a text the first counts for the read-out, any for the inversion.
WRITTEN: tuple[tuple[str, str | None, bool], ...] = (
    (r"mp-?_?2_?rage|psir|phase.?sens|double.?inv|\bdir\b", OTHER, True),
    (r"trufi|ssfp|fiesta|ciss|bffe|fisp|t2\*|t2.?star|medic|\bswi|\bepi|\bep[23]d|\bepfid|\bepse|\bep\b|dwi|diffusion", OTHER, False),
    (r"mp-?_?rage|\btfl|bravo|turbo.?(flash|field)|ir-?_?(e?f?spgr|tfe|ffe|prep)|t1-?_?tfe|\b(3d)?-?_?tfe|ir.?gr\b", GRADIENT, True),
    (r"flair|dark.?fluid|\btir|\bt[12]_tir|stir|\bir-?_?(tse|fse|se)|spc_?ir|(tse|fse|spin.?echo)-?_?ir\b", SPIN, True),
    (r"tse|fse|\brare|turbo.?spin|spin.?echo|spc|space|cube|vista|brainview|mvox|haste|\bse[23]d|\bse\b", SPIN, False),
    (r"flash|\bfl[23]d|spgr|\bffe|fgre|gradient|\bgre|\bgr\b|vibe", GRADIENT, False),
    (r"\bir\b|inversion|inverted", None, True),
)  # fmt: skip
TRAIN = r"tse|fse|\brare|turbo.?(spin|inv)|\btirm?\b|\btir[23]d|spc|space|cube|vista|brainview|mvox|haste"
SOLID = r"3d|spc|space|cube|vista|brainview|mvox"  # names of three-dimensional trains, which are long
FLAT = r"2d"
# A T1w scan whose echo is as late as this, in seconds, is read out by spin echoes: MPRAGEs have 2 to 5 ms.
LATE_FOR_A_GRADIENT_ECHO = 0.01
# Words of ImageType of pictures that no equation of a magnitude describes: maps, phases, parts, projections.
NO_MAGNITUDE = {
    "uni", "uniden", "den", "div", "p", "phase", "r", "real", "i", "imaginary", "map", "adc", "eadc", "fa", "trace", "tracew", "mip", "mnip",
    "minip", "projection", "subtraction", "sub", "fat", "swi", "perfusion", "cbf", "fieldmap", "b0", "velocity", "synthetic",
}  # fmt: skip


class Named(NamedTuple):
    """What a field says: how the signal is read out, whether something is inverted first, and in which words."""

    field: str
    text: str
    readout: str | None
    inverted: bool


def text_of(sidecar: Path, content: dict, field: str) -> str:
    """A text, or a list of texts joined by spaces, in lower case; empty if the field is missing.

    Raises:
        InputError: it is something else, or two things at once.
    """
    value = content.get(field, "")
    if isinstance(value, Twice):
        raise InputError(f"{sidecar}: {field!r}: found twice, expected once")
    parts = value if isinstance(value, list) else [value]
    if not all(isinstance(part, str) for part in parts):
        raise InputError(f"{sidecar}: {field}: found {reprlib.repr(value)}, expected text")
    return " ".join(parts).lower()


def refuse_no_magnitude(sidecar: Path, content: dict) -> list[str]:
    """What is to be said of a picture that was computed from others.

    Raises:
        InputError: it is no magnitude of one scan: a map, a phase, MP2RAGE's UNI and so on.
    """
    for field in ("ImageType", "ComplexImageComponent"):
        text = text_of(sidecar, content, field)
        words = re.split(r"[^a-z0-9]+", text.replace("uni-den", "uniden"))
        if found := sorted(NO_MAGNITUDE.intersection(words)):
            raise InputError(
                f"{sidecar}: {field}: found {found[0].upper()} in {reprlib.repr(content[field])}, "
                "expected a magnitude as it was scanned"
            )
    if "derived" in text_of(sidecar, content, "ImageType"):
        return [
            "ImageType says DERIVED, that is computed from other pictures: taken as if it were scanned so"
        ]
    return []


def own_sequence(sidecar: Path, content: dict, long_te: float) -> str | None:
    """The equation of Eq. 1 that a sidecar of this package names, itself or with a train; None of one that others wrote.

    ``PulseSequenceType`` is a field of BIDS, and others may fill it with the same words. Ours names all settings of the
    sequence, and no field beside it names one; where a spin echo's TE is above ``long_te``, or has a train, it must say whose
    it is.
    """
    text_of(sidecar, content, "PulseSequenceType")
    value, marked = content.get("PulseSequenceType"), MADE_HERE.items() <= content.items()
    known = EQ_1 | TRAINS if marked else EQ_1
    if not isinstance(value, str) or value not in known:
        return None
    if any(field in content for field in NAMES if field != "PulseSequenceType"):
        return None
    needed = {*SEQUENCES[value].start, *(("echo_spacing", "train_length") if value in TRAINS else ())}
    if not {FIELDS[name].bids for name in needed} <= set(content):
        return None
    te = content.get("EchoTime")
    late = isinstance(te, (int, float)) and te > long_te and value != "mprage"
    return None if late and not marked else known[value]


def sequence_of(sidecar: Path, content: dict, suffix: str) -> tuple[str, list[str]]:
    """Whose equation a scan obeys by the names that others gave it, and one line for what that rests on.

    Args:
        sidecar: the file that errors name.
        content: what it says.
        suffix: T1w, T2w or FLAIR; decides where nothing is said.

    Raises:
        InputError: a name of a sequence of another equation.
    """
    named = [_named(sidecar, content, field) for field in NAMES]
    of_readout = [n for n in named if n.readout]
    first = of_readout[0] if of_readout else None
    readout, inverted, why = first and first.readout, [n for n in named if n.inverted], []
    if readout is None and suffix == "T1w" and _is_inverted(content) and _is_late(content):
        readout, why = SPIN, [f"EchoTime is {reprlib.repr(content['EchoTime'])} s, late for a gradient echo"]
    usual = SEQUENCE_OF_SUFFIX[suffix]
    expected = GRADIENT if usual == "mprage" else SPIN
    if first and (readout == OTHER or (readout == GRADIENT and expected == SPIN)):
        raise InputError(
            f"{sidecar}: {first.field}: found {first.text}, expected a name of "
            f"{'an MPRAGE or ' if expected == GRADIENT else ''}a spin echo, as {suffix} scans are"
        )
    readout, timed = readout or expected, _is_inverted(content)
    if readout == GRADIENT:
        sequence = "mprage"
    else:
        sequence = "flair" if suffix == "FLAIR" or inverted or timed else "spin_echo"
    if sequence == "flair" != usual and not inverted:
        why.append(f"InversionTime is {reprlib.repr(content['InversionTime'])} s")
    return sequence, _reasons(named, of_readout, inverted, why, sequence, usual)


def is_train(sidecar: Path, content: dict) -> bool:
    """Whether a name says that a train of refocusing pulses makes several echoes."""
    named = " ".join(text_of(sidecar, content, field) for field in NAMES)
    return re.search(TRAIN, re.sub(r"[_\\\\/]+", " ", named)) is not None


def is_flat(sidecar: Path, content: dict) -> bool:
    """Whether a train of echoes was taken slice by slice, so that its TE is the one of its contrast."""
    named = " ".join(text_of(sidecar, content, field) for field in ("MRAcquisitionType", *NAMES))
    return re.search(FLAT, named) is not None and not re.search(SOLID, named)


def _named(sidecar: Path, content: dict, field: str) -> Named:
    text = text_of(sidecar, content, field)
    # \b sees an underscore as a letter: "t1_se_tra" must hold the word se
    words = re.sub(r"[_\\/]+", " ", text)
    rows = [(readout, inverts) for pattern, readout, inverts in WRITTEN if re.search(pattern, words)]
    readout = next((readout for readout, _ in rows if readout), None)
    return Named(field, text, readout, any(inverts for _, inverts in rows))


def _is_late(content: dict) -> bool:
    te = content.get("EchoTime")
    return isinstance(te, (int, float)) and te >= LATE_FOR_A_GRADIENT_ECHO


def _is_inverted(content: dict) -> bool:
    ti = content.get("InversionTime")
    return ti is not None and ti != 0


def _reasons(
    named: Iterable[Named],
    of_readout: list[Named],
    inverted: list[Named],
    why: list[str],
    sequence: str,
    usual: str,
) -> list[str]:
    """What the choice of the equation rests on, where it is not what the scanner itself says of a usual scan."""
    notes = [
        f"{n.field} says {n.text}, {of_readout[0].field} {of_readout[0].text}: the latter is believed"
        for n in of_readout[1:]
        if n.readout != of_readout[0].readout
    ]
    if of_readout or why:
        rests_on = (
            of_readout[:1] + [n for n in inverted if sequence == "flair" and n not in of_readout[:1]][:1]
        )
        if sequence != usual or why or rests_on[0].field not in SCANNERS_OWN:
            said = [f"{n.field} says {n.text}" for n in rests_on] + why
            notes.append(f"taken as {sequence}: {', '.join(said)}")
        return notes
    name = next(iter(named))
    if inverted and sequence != usual:
        return [f"taken as {sequence}: {inverted[0].field} says {inverted[0].text}"]
    if not name.text:
        return [f"SequenceName is missing: taken as {sequence}"]
    return (
        [f"SequenceName says {name.text}, which is not known: taken as {sequence}"]
        if re.search("[a-z]", name.text)
        else []
    )
