"""Answers to the exercises: each check says right or not yet, and why; it never raises.

A check computes what it expects on its own, in float64 and from the equations, not with the function that the
chapter hands out.
"""

from __future__ import annotations

import functools
import math
import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from physldm.physics import TISSUES, Acquisition, signal


@dataclass(frozen=True)
class Verdict:
    """Whether an answer is right, and what to say about it."""

    right: bool
    hint: str

    def __bool__(self) -> bool:
        return self.right

    def __repr__(self) -> str:
        return f"{'✓ Right.' if self.right else '… Not yet.'} {self.hint}"


def _not_yet(hint: str) -> Verdict:
    return Verdict(False, hint)


def _verdict(check: Callable[..., Verdict]) -> Callable[..., Verdict]:
    """Turns whatever an answer does wrong into a hint, and an unanswered stub into an invitation."""

    @functools.wraps(check)
    def checked(answer=None) -> Verdict:
        if answer is None or answer is ...:
            return _not_yet("Replace the dots by your answer and run the cell again.")
        try:
            return check(answer)
        except Exception as error:  # an answer is a reader's code: anything may happen in it
            return _not_yet(f"Your answer stopped with {type(error).__name__}: {error}")

    return checked


def _each_named(
    answer: Mapping[str, str], right: Mapping[str, str], hints: Mapping[str, str], praise: str
) -> Verdict:
    """Whether every letter got its word; otherwise the hint of the first that did not."""
    if not isinstance(answer, Mapping) or set(answer) != set(right):
        stub = ", ".join(f'"{letter}": ...' for letter in right)
        return _not_yet(f"Name all {len(right)}: {{{stub}}}.")
    words = ", ".join(sorted(set(right.values())))
    if ... in answer.values():
        return _not_yet(f"Replace the dots by one of: {words}.")
    if odd := [v for v in answer.values() if v not in right.values()]:
        return _not_yet(f"Found {odd[0]!r}; say one of {words}.")
    wrong = [letter for letter in right if answer[letter] != right[letter]]
    return _not_yet(hints[wrong[0]]) if wrong else Verdict(True, praise)


@_verdict
def spin_echo_by_hand(answer: Callable) -> Verdict:
    """Chapter 01: ``answer(pd, t1, t2, te, tr)`` is the spin echo of Eq. 1."""
    if not callable(answer):
        return _not_yet("Pass the function itself: check.spin_echo_by_hand(my_spin_echo).")
    pd, t1, t2, te, tr = 0.8, 1.2, 0.09, 0.05, 1.5

    def value(te, tr, t1=t1, t2=t2, pd=pd):
        return pd * (1 - math.exp(-tr / t1)) * math.exp(-te / t2)

    found = answer(torch.tensor(pd), torch.tensor(t1), torch.tensor(t2), te, tr)
    if found is None or found is ...:
        return _not_yet("Replace the dots in the function by Eq. 1 for the spin echo.")
    found = float(found)
    slips = {
        value(tr, te): "TE and TR have changed places: recovery takes TR, decay takes TE.",
        value(te, tr, t2, t1): "T1 and T2 have changed places: recovery runs on T1, decay on T2.",
        value(te, tr, pd=1.0): "The proton density is missing: it multiplies everything.",
        pd * math.exp(-tr / t1) * math.exp(-te / t2): "exp(−TR/T1) is what has not yet recovered. "
        "How much has?",
        pd * (1 - math.exp(-tr / t1)): "The decay during the echo time is missing.",
    }
    for slip, hint in slips.items():
        if math.isclose(found, slip, rel_tol=1e-4):
            return _not_yet(hint)
    if not math.isclose(found, value(te, tr), rel_tol=1e-4):
        return _not_yet(f"For PD {pd}, T1 {t1} s, T2 {t2} s, TE {te} s, TR {tr} s it gives {found:.4g}.")
    return Verdict(True, "Recovery over TR, decay over TE, all of it times PD.")


@_verdict
def proton_density_scan(answer: Acquisition) -> Verdict:
    """Chapter 01: a spin echo whose signal is PD times almost the same number in every tissue."""
    if not isinstance(answer, Acquisition) or answer.sequence != "spin_echo":
        return _not_yet('Give an acquisition: Acquisition("spin_echo", te=..., tr=...), times in seconds.')
    share = {
        name: (1 - math.exp(-answer.tr / TISSUES[name].t1)) * math.exp(-answer.te / TISSUES[name].t2)
        for name in ("wm", "gm", "csf")
    }
    lowest, highest = min(share, key=share.get), max(share, key=share.get)
    spread = 1 - share[lowest] / share[highest]
    if spread <= 0.10:
        return Verdict(
            True, f"Signal/PD differs by {100 * spread:.0f} % between tissues: what is left is PD."
        )
    reason = (
        "CSF has had no time to recover: its T1 is the longest."
        if lowest == "csf"
        else f"{lowest.upper()} has already decayed: its T2 is short."
    )
    return _not_yet(
        f"Signal/PD still differs by {100 * spread:.0f} % between {lowest.upper()} and {highest.upper()} "
        f"(at most 10 % will do). {reason}"
    )


@_verdict
def null_time(answer: Callable) -> Verdict:
    """Chapter 01: ``answer(t1, tr)`` is the inversion time at which tissue with that T1 gives no signal."""
    if not callable(answer):
        return _not_yet("Pass the function itself: check.null_time(my_null_time).")
    for t1, tr in ((4.2, 9.0), (0.3, 5.0), (0.85, 2.4)):
        found = answer(t1, tr)
        if found is None or found is ...:
            return _not_yet("Replace the dots in the function by the inversion time.")
        found = float(found)
        # 1 − 2 E(TI) + E(TR) = 0
        left = 1 - 2 * math.exp(-found / t1) + math.exp(-tr / t1)
        if abs(left) < 1e-3:
            continue
        if math.isclose(found, t1 * math.log(2), rel_tol=1e-4):
            return _not_yet("T1·ln 2 is the answer for TR → ∞. Here the repetition is not that long.")
        if not 0 < found < tr:
            return _not_yet(f"For T1 {t1} s and TR {tr} s it gives {found:.4g} s: not between 0 and TR.")
        return _not_yet(
            f"For T1 {t1} s and TR {tr} s it gives {found:.4g} s, and there {100 * left:.1f} % of PD is "
            "still seen."
        )
    return Verdict(True, "exp(−TI/T1) must be the mean of 1 and exp(−TR/T1).")


# Which protocols made the three unnamed pictures of chapter 01, and what gives each away.
MYSTERY = {
    "a": (Acquisition("flair", te=0.09, tr=9.0, ti=2.5), "dark CSF beside grey matter brighter than white"),
    "b": (Acquisition("mprage", tr=2.4, ti=1.0), "white matter brightest, CSF dark"),
    "c": (Acquisition("spin_echo", te=0.1, tr=3.2), "CSF brightest of all"),
}


def mystery_scans(maps: Tensor) -> list[Tensor]:
    """The three pictures, magnitudes ``[H, W]`` of maps ``[3, H, W]``, in the order a, b, c."""
    return [signal(maps, acquisition).abs() for acquisition, _ in MYSTERY.values()]


@_verdict
def mystery(answer: Mapping[str, str]) -> Verdict:
    """Chapter 01: ``answer`` names the sequence of each unnamed picture, ``{"a": ..., "b": ..., "c": ...}``."""
    if not isinstance(answer, Mapping) or set(answer) != set(MYSTERY):
        return _not_yet('Name all three: {"a": ..., "b": ..., "c": ...}.')
    names = {a.sequence for a, _ in MYSTERY.values()}
    for picture, name in answer.items():
        if name is ...:
            return _not_yet("Replace the dots by the names of the sequences.")
        if name not in names:
            return _not_yet(f"{picture}: found {name!r}, expected one of {', '.join(sorted(names))}.")
    wrong = [picture for picture, name in answer.items() if name != MYSTERY[picture][0].sequence]
    if wrong:
        return _not_yet(f"Look again at {', '.join(wrong)}: which tissue is the brightest, and is CSF dark?")
    return Verdict(True, "; ".join(f"{k}: {why}" for k, (_, why) in MYSTERY.items()) + ".")


@_verdict
def synthetic_scan(answer: numbers.Real) -> Verdict:
    """Chapter 00: the inversion time (s) at TR 3 s at which grey matter (T1 1.45 s) is dark in FLAIR."""
    t1, tr = 1.45, 3.0
    expected = -t1 * math.log((1 + math.exp(-tr / t1)) / 2)
    if math.isclose(float(answer), expected, abs_tol=0.02):
        return Verdict(True, "There grey matter's magnetisation is just crossing zero.")
    if math.isclose(float(answer), t1 * math.log(2), abs_tol=0.01):
        return _not_yet(
            "T1·ln 2 is the answer for a very long TR. In 3 s grey matter does not recover fully."
        )
    side = "still upside down" if float(answer) < expected else "already above zero"
    return _not_yet(f"At {float(answer):.3g} s grey matter is {side}.")


@_verdict
def product_of_two(answer: Callable) -> Verdict:
    """Chapter 07: ``answer(mean1, var1, mean2, var2)`` is (mean, variance) of the product of two Gaussians."""
    if not callable(answer):
        return _not_yet("Pass the function itself: check.product_of_two(my_product).")
    m1, v1, m2, v2 = 1.0, 0.5, 4.0, 3.0
    found = answer(m1, v1, m2, v2)
    if found is None or found is ...:
        return _not_yet("Replace the dots in the function by mean and variance.")
    mean, var = (float(x) for x in found)
    # on a fine grid, from the densities themselves
    x = torch.linspace(-20, 20, 400_001, dtype=torch.float64)
    density = torch.exp(-((x - m1) ** 2) / (2 * v1) - (x - m2) ** 2 / (2 * v2))
    density = density / density.sum()
    true_mean = float((x * density).sum())
    true_var = float(((x - true_mean) ** 2 * density).sum())
    if math.isclose(var, 1 / v1 + 1 / v2, rel_tol=1e-4):
        return _not_yet("That is the precision, σ⁻². The variance is its inverse.")
    if math.isclose(var, v1 + v2, rel_tol=1e-4):
        return _not_yet("Variances do not add here; precisions do.")
    if not math.isclose(var, true_var, rel_tol=1e-3):
        return _not_yet(f"For variances {v1} and {v2} the product has another variance than {var:.3g}.")
    if math.isclose(mean, (m1 + m2) / 2, rel_tol=1e-4):
        return _not_yet("A plain average: but the surer expert counts for more.")
    if not math.isclose(mean, true_mean, rel_tol=1e-3):
        return _not_yet(f"The variance is right. The mean is not {mean:.3g}: weigh each mean by σ²/σᵢ².")
    return Verdict(True, "Precisions add; means are weighed by them.")


@_verdict
def refocused_spin_echo(answer: Callable) -> Verdict:
    """Chapter 02: ``answer(pd, t1, t2, te, tr)`` is the spin echo with its refocusing pulse."""
    if not callable(answer):
        return _not_yet("Pass the function itself: check.refocused_spin_echo(my_spin_echo).")
    pd, t1, t2, te, tr = 0.8, 1.2, 0.09, 0.2, 1.5
    found = answer(pd, t1, t2, te, tr)
    if found is None or found is ...:
        return _not_yet("Replace the dots in the function by the equation.")
    found, decay = float(found), pd * math.exp(-te / t2)
    # played, not quoted: 90°, half an echo time, turned over, the rest
    mz = -(1 - math.exp(-te / 2 / t1))
    mz = 1 - (1 - mz) * math.exp(-(tr - te / 2) / t1)
    slips = {
        decay * (1 - math.exp(-tr / t1)): "That is Eq. 1: nothing happens to Mz at TE/2.",
        decay
        * (1 - 2 * math.exp(-(tr - te) / t1) + math.exp(-tr / t1)): "The refocusing pulse comes at TE/2, not "
        "at TE.",
        decay
        * (1 - math.exp(-(tr - te / 2) / t1)): "The pulse at TE/2 turns Mz over. It does not set it to zero.",
        mz * pd: "The decay during the echo time is missing.",
    }
    for slip, hint in slips.items():
        if math.isclose(found, slip, rel_tol=1e-4):
            return _not_yet(hint)
    if not math.isclose(found, decay * mz, rel_tol=1e-4):
        return _not_yet(f"For PD {pd}, T1 {t1} s, T2 {t2} s, TE {te} s, TR {tr} s it gives {found:.4g}.")
    return Verdict(True, "Recover for TE/2, turn over, recover for TR − TE/2.")


@_verdict
def inversion_events(answer: Callable) -> Verdict:
    """Chapter 02: ``answer(ti, tr)`` is one repetition of an inversion recovery as a list of events."""
    from physldm.physics.bloch import Read, steady_state

    if not callable(answer):
        return _not_yet("Pass the function itself: check.inversion_events(my_events).")
    ti, tr, t1 = 0.7, 3.0, 1.1
    events = answer(ti, tr)
    if events is None or events is ...:
        return _not_yet("Return a list of events: Pulse(...), Delay(...), Spoil(), Read().")
    if sum(isinstance(e, Read) for e in events) != 1:
        return _not_yet("There must be exactly one Read().")
    # T2 of 20 ms: what a delay does not spoil is gone all the same
    m = steady_state(events, t1, 0.02)[0]
    seen = math.hypot(float(m[0]), float(m[1]))
    expected = abs(1 - 2 * math.exp(-ti / t1) + math.exp(-tr / t1))
    if seen < 1e-6:
        return _not_yet("Nothing is seen: along z the water is silent. It takes a 90° pulse before Read().")
    if math.isclose(seen, abs(1 - 2 * math.exp(-ti / t1) + math.exp(-(tr + ti) / t1)), rel_tol=1e-3):
        return _not_yet("One repetition now lasts TI + TR. What is left of TR after the wait?")
    if math.isclose(seen, 1 - math.exp(-tr / t1), rel_tol=1e-3):
        return _not_yet("That is a saturation recovery: where is the inversion?")
    if not math.isclose(seen, expected, rel_tol=1e-3):
        return _not_yet(
            f"At TI {ti} s, TR {tr} s, T1 {t1} s it reads {seen:.4f}, the equation {expected:.4f}."
        )
    return Verdict(True, "The simulator finds 1 − 2 exp(−TI/T1) + exp(−TR/T1), and nobody told it.")


# Four equations as four simulators might have them. Three are wrong.
SUSPECTS = {
    "a": lambda pd, t1, t2, te, tr, ti: pd * (1 - math.exp(-te / t1)) * math.exp(-tr / t2),
    "b": lambda pd, t1, t2, te, tr, ti: pd * (1 - 2 * math.exp(-ti / t1) / (1 + math.exp(-tr / ti))),
    "c": lambda pd, t1, t2, te, tr, ti: pd
    * (1 - math.exp(-tr / t1)) * (1 - 2 * math.exp(-ti / t1)) * math.exp(-te / t2),
    "d": lambda pd, t1, t2, te, tr, ti: pd * (1 - 2 * math.exp(-ti / t1) + math.exp(-tr / t1)) * math.exp(-te / t2),
}  # fmt: skip
BUGS = {"a": "TE and TR swapped", "b": "TI for T1", "c": "product of two scans", "d": "none"}


@_verdict
def planted_bugs(answer: Mapping[str, str]) -> Verdict:
    """Chapter 02: ``answer`` says what is wrong with each suspect, ``{"a": ..., "b": ..., "c": ..., "d": ...}``."""
    if not isinstance(answer, Mapping) or set(answer) != set(BUGS):
        return _not_yet('Name all four: {"a": ..., "b": ..., "c": ..., "d": ...}.')
    for suspect, bug in answer.items():
        if bug is ...:
            return _not_yet("Replace the dots by one of: " + ", ".join(sorted(BUGS.values())) + ".")
        if bug not in BUGS.values():
            return _not_yet(f"{suspect}: found {bug!r}, expected one of {', '.join(sorted(BUGS.values()))}.")
    wrong = [suspect for suspect, bug in answer.items() if bug != BUGS[suspect]]
    if wrong:
        return _not_yet(
            f"Look again at {', '.join(wrong)}. Try limits: TE to 0, TR to ∞, TI to 0, and TR = TI. Where is its null?"
        )
    return Verdict(True, "Limits find such bugs; a picture that merely looks plausible does not.")


@_verdict
def real_null(answer: numbers.Real) -> Verdict:
    """Chapter 02: the TI (s) at which CSF (T1 4.2 s) vanishes from the usual MPRAGE with its read-out, TR 2.4 s."""
    found = float(answer)
    eq1 = -4.2 * math.log((1 + math.exp(-2.4 / 4.2)) / 2)
    if math.isclose(found, eq1, abs_tol=0.01):
        return _not_yet("That is where Eq. 1 has its null. The read-out's pulses eat up magnetisation.")
    if not 0.6248 <= found <= 1.7752:
        return _not_yet("The read-out does not fit: TI must lie between 0.625 and 1.775 s.")
    # pulse by pulse, until it settles
    mz, cos, es, before = 1.0, math.cos(math.radians(8.0)), 0.0071, 88
    for _ in range(60):
        mz = 1 - (1 + mz) * math.exp(-(found - before * es) / 4.2)
        for pulse in range(176):
            seen = mz if pulse == before else seen if pulse else 0.0
            mz = 1 - (1 - mz * cos) * math.exp(-es / 4.2)
        mz = 1 - (1 - mz) * math.exp(-(2.4 - found - 88 * es) / 4.2)
    if abs(seen) < 0.0016:  # 10 ms of TI
        return Verdict(True, f"There Mz of CSF is {seen:+.4f}: 0.3 s earlier than Eq. 1 says.")
    return _not_yet(f"At TI {found:.3g} s the Mz of CSF is {seen:+.3f}.")


@_verdict
def null_range(answer: tuple[float, float]) -> Verdict:
    """Chapter 03: the TIs (s) that null white matter in a FLAIR of TR 9 s, for the least and greatest T1 reported."""
    low, high = (-t1 * math.log((1 + math.exp(-9 / t1)) / 2) for t1 in (0.699, 1.735))
    found = tuple(float(x) for x in answer)
    if len(found) != 2:
        return _not_yet("Give two times in seconds: (shortest, longest).")
    if found[0] > found[1]:
        return _not_yet("The shorter one first.")
    if math.isclose(found[0], low, abs_tol=0.005) and math.isclose(found[1], high, abs_tol=0.01):
        return Verdict(True, "A factor of two and a half in T1 is a factor of two and a half in TI.")
    return _not_yet(f"For T1 0.699 s and 1.735 s, TR 9 s, solve 1 − 2E(TI) + E(TR) = 0. Found {found}.")


@_verdict
def how_far(answer: numbers.Real) -> Verdict:
    """Chapter 03: how many standard deviations ln T2 of CSF (1.9 s) is from a prior of median 0.1 s and SD 0.5."""
    found = float(answer)
    if math.isclose(found, math.log(19) / 0.5, abs_tol=0.05):
        return Verdict(True, "Nearly six: for this prior there is no such thing as fluid.")
    if math.isclose(found, (1.9 - 0.1) / 0.5, abs_tol=0.05):
        return _not_yet("The Gaussian is in ln T2. Take logarithms before you subtract.")
    if math.isclose(found, math.log(19), abs_tol=0.02):
        return _not_yet("That is the distance in ln T2. How many standard deviations is it?")
    return _not_yet("(ln 1.9 − ln 0.1) over the standard deviation.")


@_verdict
def common_t1(answer: numbers.Real) -> Verdict:
    """Chapter 03: median T1 (s) of half white matter (0.85 s) and half grey (1.45 s), averaged as logarithms."""
    found = float(answer)
    if math.isclose(found, math.sqrt(0.85 * 1.45), abs_tol=0.005):
        return Verdict(True, "The geometric mean, a little below the plain one.")
    if math.isclose(found, (0.85 + 1.45) / 2, abs_tol=0.005):
        return _not_yet("That is the plain mean. Average the logarithms, then take exp.")
    return _not_yet("exp of the mean of ln 0.85 and ln 1.45.")


@_verdict
def t2_slope(answer: Callable) -> Verdict:
    """Chapter 04: ``answer(pd, t1, t2, te, tr)`` is ∂s/∂ln T2 of the spin echo of Eq. 1."""
    if not callable(answer):
        return _not_yet("Pass the function itself: check.t2_slope(my_slope).")
    pd, t1, t2, te, tr = 0.8, 1.2, 0.09, 0.05, 1.5
    found = answer(pd, t1, t2, te, tr)
    if found is None or found is ...:
        return _not_yet("Replace the dots in the function by the slope.")
    found = float(found)

    def s(t2):
        return pd * (1 - math.exp(-tr / t1)) * math.exp(-te / t2)

    slope = (s(t2 * (1 + 1e-6)) - s(t2 * (1 - 1e-6))) / 2e-6
    if math.isclose(found, slope, rel_tol=1e-4):
        return Verdict(True, "s · TE/T2: a scan with TE = 0 knows nothing of T2.")
    if math.isclose(found, slope / t2, rel_tol=1e-4):
        return _not_yet("That is ∂s/∂T2. For ∂s/∂ln T2 multiply by T2.")
    if math.isclose(found, -slope, rel_tol=1e-4):
        return _not_yet("The sign: a longer T2 leaves more signal.")
    return _not_yet(f"For TE {te} s, TR {tr} s and T2 {t2} s it gives {found:.4g}.")


@_verdict
def hidden_change(answer: tuple[float, float]) -> Verdict:
    """Chapter 04: by what percent T1 and T2 of white matter must change to hide a PD that is 10 % higher."""
    from physldm.physics.identifiability import tissue_values

    found = tuple(float(x) for x in answer)
    if len(found) != 2:
        return _not_yet("Give two numbers in percent: (change of T1, change of T2).")
    if all(abs(x) < 0.5 for x in found):
        return _not_yet("Percent, please: 5.0 for five percent.")
    protocol = [
        Acquisition("mprage", tr=2.4, ti=1.0),
        Acquisition("flair", te=0.091, tr=9.0, ti=2.5),
        Acquisition("spin_echo", te=0.1, tr=6.0),
    ]
    before = tissue_values("wm")[0][:, None, None]
    change = torch.tensor([1.1, 1 + found[0] / 100, 1 + found[1] / 100], dtype=torch.float64)[:, None, None]
    off = torch.stack([signal(before * change, a) - signal(before, a) for a in protocol]).abs().max().item()
    if off < 0.0025:
        return Verdict(True, f"No scan changes by more than {off:.4f}, and the noise is 0.01.")
    return _not_yet(
        f"A scan still changes by {off:.4f}; get below 0.0025. The direction is one of logarithms: 10 % more is ln 1.1."
    )


@_verdict
def voxels_needed(answer: numbers.Real) -> Verdict:
    """Chapter 04: how many voxels of white matter must share their PD, T1 and T2 for PD to be known to 5 %."""
    found, one = float(answer), 0.5329
    needed = math.ceil((one / 0.05) ** 2)
    if found in (needed, needed + 1):  # a bound read off the page has three digits
        return Verdict(True, f"{needed}: the bound falls with the root of their number.")
    if math.isclose(found, one / 0.05, abs_tol=1):
        return _not_yet(
            "Twice the voxels is not twice the knowledge of PD: information adds up, its root counts."
        )
    return _not_yet(
        f"With {found:g} voxels PD would be known to {100 * one / math.sqrt(max(found, 1e-9)):.2f} %; how few are enough?"
    )


@_verdict
def protocol_design(answer) -> Verdict:
    """Chapter 04: three acquisitions of Eq. 1, TRs of 18 s together, TE ≥ 10 ms, PD of white matter known to 5 %."""
    from physldm.physics.identifiability import cramer_rao, tissue_values

    scans = list(answer)
    if len(scans) != 3 or not all(isinstance(a, Acquisition) for a in scans):
        return _not_yet("Give a list of three acquisitions.")
    for a in scans:
        if a.sequence not in ("mprage", "spin_echo", "flair"):
            return _not_yet(f"{a.sequence}: expected mprage, spin_echo or flair.")
        if a.sequence != "mprage" and a.te < 0.01:
            return _not_yet(f"TE {a.te:g} s: the scanner cannot listen before 0.01 s.")
    total = sum(a.tr for a in scans)
    if total > 18:
        return _not_yet(f"The three TRs take {total:.1f} s together; there are 18.")
    bound = 100 * float(cramer_rao(tissue_values("wm"), scans)[0, 0])
    if math.isinf(bound):
        return _not_yet("Some change of tissue goes unseen by all three. Are they different enough?")
    if bound > 5:
        return _not_yet(
            f"PD of white matter is known to {bound:.1f} %. Which scan would show PD and little else?"
        )
    return Verdict(True, f"PD of white matter is known to {bound:.1f} %, in one voxel.")


@_verdict
def mixed_flair(answer: Callable) -> Verdict:
    """Chapter 05: ``answer(f, gm, csf, te, tr, ti)`` is the FLAIR signal of a voxel with a share f of CSF."""
    if not callable(answer):
        return _not_yet("Pass the function itself: check.mixed_flair(my_mixed_flair).")
    gm, csf, te, tr, ti, f = (0.82, 1.45, 0.085), (1.0, 4.2, 1.9), 0.091, 9.0, 2.5, 0.3

    def flair(pd, t1, t2):
        return pd * (1 - 2 * math.exp(-ti / t1) + math.exp(-tr / t1)) * math.exp(-te / t2)

    found = answer(f, gm, csf, te, tr, ti)
    if found is None or found is ...:
        return _not_yet("Replace the dots in the function by the signal.")
    found = float(found)
    (pd1, *t1), (pd2, *t2) = gm, csf
    averaged = flair((1 - f) * pd1 + f * pd2, *(a ** (1 - f) * b**f for a, b in zip(t1, t2, strict=True)))
    if math.isclose(found, (1 - f) * flair(*gm) + f * flair(*csf), rel_tol=1e-4):
        return Verdict(True, "Each tissue answers for itself, and the scanner adds.")
    if math.isclose(found, averaged, rel_tol=1e-3):
        return _not_yet("That averages the properties. Add the signals instead.")
    if math.isclose(found, f * flair(*gm) + (1 - f) * flair(*csf), rel_tol=1e-4):
        return _not_yet("f is the share of CSF, not of grey matter.")
    if math.isclose(found, flair(*gm) + flair(*csf), rel_tol=1e-4):
        return _not_yet("Weigh each signal by its share of the voxel.")
    return _not_yet(f"For f = {f} it gives {found:.4g}.")


UNKNOWN_SIGMA = 6.5


def unknown_scan() -> Tensor:
    """A T1-weighted slice ``[224, 160]`` with noise, in scanner units, for :func:`noise_of_air`; 16 rows are air."""
    from physldm.data import example_maps
    from physldm.physics.noise import complex_noise_magnitude

    clean = 600 * signal(example_maps()[0], Acquisition("mprage", tr=2.4, ti=1.0))
    return complex_noise_magnitude(clean, UNKNOWN_SIGMA, torch.Generator().manual_seed(5))


@_verdict
def noise_of_air(answer: numbers.Real) -> Verdict:
    """Chapter 05: σ of :func:`unknown_scan`."""
    found = float(answer)
    if math.isclose(found, UNKNOWN_SIGMA, rel_tol=0.03):
        return Verdict(True, f"It was {UNKNOWN_SIGMA}.")
    if math.isclose(found, UNKNOWN_SIGMA * math.sqrt(math.pi / 2), rel_tol=0.03):
        return _not_yet("That is the mean of the air. How many σ is it?")
    if math.isclose(found, UNKNOWN_SIGMA * math.sqrt(2 - math.pi / 2), rel_tol=0.03):
        return _not_yet("That is the standard deviation of a magnitude, which is smaller than σ.")
    return _not_yet("Take the mean of the first 16 rows and divide by 1.253. Are only those rows in it?")


SESSIONS = tuple(
    f"sub-{subject}_ses-{visit}"
    for subject, visits in zip("ABCDEFGHIJ", (2, 1, 3, 1, 2, 2, 1, 1, 2, 3), strict=True)
    for visit in range(1, visits + 1)
)


@_verdict
def fair_split(answer) -> Verdict:
    """Chapter 05: which of ``SESSIONS`` to hold out, so that no subject is in both parts."""
    heldout = set(answer)
    if strangers := heldout - set(SESSIONS):
        return _not_yet(f"{sorted(map(str, strangers))[0]} is no session of check.SESSIONS.")
    share = len(heldout) / len(SESSIONS)
    if not 0.2 <= share <= 0.4:
        return _not_yet(f"You hold out {share:.0%} of the sessions.")
    person = lambda session: session.split("_")[0]  # noqa: E731
    both = {person(s) for s in heldout} & {person(s) for s in set(SESSIONS) - heldout}
    if both:
        return _not_yet(f"{sorted(both)[0]} is in both parts.")
    return Verdict(True, "Whole people are held out, with all their visits.")


@_verdict
def what_it_proves(answer) -> Verdict:
    """Chapter 05: what a good score on held-out subjects of the average brain lets one conclude."""
    found = {str(letter).strip().lower() for letter in answer}
    if found == {"a", "d"}:
        return Verdict(
            True, "A phantom can refute a method, and point at what to doubt; it cannot vouch for it."
        )
    if "b" in found:
        return _not_yet("b: chapter 02 fitted a real MPRAGE with Eq. 1. How far off was T1?")
    if "c" in found:
        return _not_yet("c: look at the folds of the five subjects again.")
    return _not_yet("Each of a and d on its own: what was assumed, and did it hold here?")


BROKEN = {"SequenceName": "*tfl3d1", "EchoTime": 2.98, "RepetitionTime": 7.1}


@_verdict
def repaired_sidecar(answer: Mapping) -> Verdict:
    """Chapter 18: a sidecar that says in seconds how the MPRAGE of ``BROKEN`` was taken."""
    found = Acquisition.from_bids(answer, "T1w")
    if found.sequence != "mprage":
        return _not_yet(f"It reads as {found.sequence}.")
    if not math.isclose(found.te, 0.00298):
        return _not_yet(f"TE is read as {found.te:g} s; the scanner's was 2.98 ms.")
    if not math.isclose(found.tr, 2.3):
        return _not_yet(f"TR is read as {found.tr:g} s. It is the time from one inversion to the next.")
    if not math.isclose(found.ti, 0.9):
        return _not_yet("At a TR of 2.3 s OASIS-3's MPRAGEs have another TI: the text above names it.")
    return Verdict(True, f"{found}.")


TRIAGE = {"a": "filled in", "b": "refused", "c": "taken", "d": "filled in"}


@_verdict
def triage(answer: Mapping[str, str]) -> Verdict:
    """Chapter 18: what becomes of four scans: taken, filled in or refused."""
    hints = {
        "a": "a: do all FLAIRs of OASIS-3 with TR 9 s have the same TI?",
        "b": "b: is any usual TI known for a TR of 7 s?",
        "c": "c: a turbo spin echo's header has the TE of k-space's centre, and its contrast.",
        "d": "d: is 0.455 s the TE that this train's contrast has?",
    }
    return _each_named(
        answer, TRIAGE, hints, "What can be known is filled in, and said; what cannot is refused."
    )


@_verdict
def gain_factor(answer: numbers.Real) -> Verdict:
    """Chapter 18: the factor that gives a second scan (84 against 0.28) the gain of the first (84 against 0.14)."""
    found = float(answer)
    if math.isclose(found, 2.0, rel_tol=1e-3):
        return Verdict(True, "Gains of 600 and 300.")
    if math.isclose(found, 0.5, rel_tol=1e-3):
        return _not_yet("The other way round: the second scan has the smaller gain.")
    return _not_yet("A gain is the scan's median over the average brain's. What are the two?")


@_verdict
def what_to_believe(answer) -> Verdict:
    """Chapter 18: what the stored numbers let one say of the patient."""
    found = {str(letter).strip().lower() for letter in answer}
    if found == {"b", "d"}:
        return Verdict(True, "And neither says that the fit is right: its gains were guessed.")
    if "a" in found:
        return _not_yet("a: what does the same network say of her grey matter, and of her lesions?")
    if "c" in found:
        return _not_yet("c: what did the estimate of the gains assume of her brain?")
    return _not_yet("Compare the misfits; then ask whether smoothness was ever compared with anything.")


@_verdict
def same_mse(answer) -> Verdict:
    """Chapter 14: two lists of 100 errors with an MSE of 4, of which one has at least eight times the other's MAE."""
    one, other = (torch.as_tensor(errors, dtype=torch.float64).flatten() for errors in answer)
    for errors in (one, other):
        if len(errors) != 100:
            return _not_yet(f"Found a list of {len(errors)} errors, expected 100.")
        square = float(errors.square().mean())
        if not math.isclose(square, 4, rel_tol=1e-3):
            return _not_yet(f"The mean of the squares of one list is {square:.3g}, not 4.")
    small, large = sorted(float(errors.abs().mean()) for errors in (one, other))
    if large < 8 * small:
        return _not_yet(
            f"The MAEs are {small:.3g} and {large:.3g}. How must 100 errors lie for their MAE to be the largest, "
            "and how for it to be the smallest?"
        )
    return Verdict(True, f"MAEs of {large:.3g} and {small:.3g}: MAE likes an error that sits in one place.")


# What MSE and PSNR of the other fifteen rows of Table 1 say of the data range: lowest and highest.
OTHER_RANGES = (1362, 1381)


@_verdict
def misprint(answer) -> Verdict:
    """Chapter 14: the row of Table 1 whose PSNR contradicts its MSE, and the PSNR it should have (dB)."""
    row, decibels = (float(x) for x in answer)
    if row != 16:
        return _not_yet(f"The range of row {row:g} is like that of most others. Work out all sixteen.")
    low, high = (20 * math.log10(r / math.sqrt(1388)) for r in OTHER_RANGES)
    if math.isclose(decibels, 30.89, abs_tol=0.015):
        return _not_yet("That is the row, and the PSNR that is printed. Which one does its MSE give?")
    if not low - 0.05 < decibels < high + 0.05:
        return _not_yet("The row is right. 10 log₁₀(R²/MSE), with its own MSE and the R of the others.")
    return Verdict(
        True,
        f"The others imply a range of {OTHER_RANGES[0]} to {OTHER_RANGES[1]}, row 16 one of 1305. "
        f"Its MSE asks for {low:.2f} to {high:.2f} dB, not 30.89.",
    )


REPORTS = {
    "a": "SSIM 0.97 on the images as stored, 256 × 256. Cropped to the head, 190 × 150, the same images have 0.93.",
    "b": "The new network has a quarter of the old one's MSE, and its PSNR is 6.0 dB higher. Same scans, same range.",
    "c": "MS-SSIM 0.998. Mean brightness in the brain: reconstructions 61, scans 97.",
    "d": "A patient with a metal clip joined the test set. In his batch MSE doubled, and PSNR rose from 29 to 36 dB.",
    "e": "People in the test set who were scanned once: 26.8 dB. People who were scanned more than once: 31.9 dB.",
}
BEHIND = {"a": "air", "b": "nothing wrong", "c": "gain hidden", "d": "bright voxel", "e": "leak"}


@_verdict
def too_good(answer: Mapping[str, str]) -> Verdict:
    """Chapter 14: what is behind each of ``REPORTS``."""
    hints = {
        "a": "a: what was there more of before the crop?",
        "b": "b: by how many decibels does PSNR rise when MSE falls to a quarter?",
        "c": "c: the brain is a third too dark. What must have happened before the score was taken?",
        "d": "d: MSE and PSNR went up together. What else is in a PSNR?",
        "e": "e: is a person who is scanned twice easier to reconstruct? Where might the other scan be?",
    }
    return _each_named(answer, BEHIND, hints, "And no report was false. Each said too little.")


@_verdict
def repeatable_psnr(answer: Callable) -> Verdict:
    """Chapter 14: ``answer(found, clean, brain)`` is PSNR in the brain; range: 99.5th percentile of ``clean`` there."""
    if not callable(answer):
        return _not_yet("Pass the function itself: check.repeatable_psnr(my_psnr).")
    draw = torch.Generator().manual_seed(14)
    clean = 50 + 250 * torch.rand(60, 50, generator=draw)
    found = 0.9 * clean + 10 * torch.randn(60, 50, generator=draw)
    brain = torch.zeros(60, 50, dtype=torch.bool)
    brain[8:50, 10:40] = True
    clean[~brain] *= 0.02
    found[~brain] = 0
    clean[20, 20], clean[2, 2] = 900, 2000  # a bright voxel in the brain, and one outside
    value = answer(found, clean, brain)
    if value is None or value is ...:
        return _not_yet("Replace the dots in the function by the PSNR.")
    value = float(value)

    def decibels(r, where):
        error = (found - clean)[where].double().square().mean()
        return 10 * math.log10(float(r) ** 2 / float(error))

    inside, everywhere = clean[brain].double(), torch.ones_like(brain)
    percentile = inside.quantile(0.995)
    right = decibels(percentile, brain)
    slips = {
        decibels(percentile, everywhere): "The error is averaged over air as well.",
        decibels(inside.max(), brain): "The largest value sets the range: one bright voxel is in there.",
        decibels(inside.max() - inside.min(), brain): "Largest minus smallest: one bright voxel is in there.",
        decibels(clean.max() - clean.min(), brain): "The range is that of the whole picture, and one voxel sets it.",
        decibels(clean.double().quantile(0.995), brain): "The percentile is taken over the whole picture, air too.",
        decibels(clean.double().quantile(0.995), everywhere): "Nothing is masked: use the brain for error and range.",
        decibels(found[brain].double().quantile(0.995), brain): "The range belongs to the target, not to what was found.",
        right / 2: "PSNR has R squared over MSE, or 20 log₁₀ of R over its root.",
        right * math.log(10): "That is the natural logarithm.",
        -right: "The fraction stands on its head.",
    }  # fmt: skip
    if math.isclose(value, right, abs_tol=1e-3):
        return Verdict(True, f"{right:.2f} dB, and anybody else will find the same.")
    for slip, hint in slips.items():
        if math.isclose(value, slip, abs_tol=1e-3):
            return _not_yet(hint)
    return _not_yet(f"On a made-up picture it gives {value:.2f} dB, and {right:.2f} would be right.")


@_verdict
def product_of_present(answer: Callable) -> Verdict:
    """Chapter 07: ``answer(mean, log_var, present)`` is (mean, log variance) of the product of those who are present."""
    if not callable(answer):
        return _not_yet("Pass the function itself: check.product_of_present(my_product_of_present).")
    means, variances, present = (1.0, 7.0, 3.0), (1.0, 0.5, 0.25), torch.tensor([True, False, True])
    mean, log_var = torch.tensor(means), torch.tensor(variances).log()
    found = answer(mean, log_var, present)
    if found is None or found is ...:
        return _not_yet("Replace the dots in the function by mean and log variance.")
    joint_mean, joint = (float(x) for x in found)

    def belief(experts):
        precision = sum(1 / v for _, v in experts)
        return sum(m / v for m, v in experts) / precision, 1 / precision

    experts = list(zip(means, variances, strict=True))
    two = [experts[0], experts[2]]
    right_mean, right_var = belief(two)
    if math.isclose(joint, right_var, rel_tol=1e-4):
        return _not_yet("The second number is the variance; return its logarithm.")
    if math.isclose(joint, math.log(belief(experts)[1]), rel_tol=1e-4):
        return _not_yet("The absent expert has voted.")
    if math.isclose(joint, math.log(belief([*two, (0.0, 1.0)])[1]), rel_tol=1e-4):
        return _not_yet("ln σ² = 0 is a variance of 1: a prior expert has voted. Absent is a precision of 0.")
    if not math.isclose(joint, math.log(right_var), rel_tol=1e-4):
        return _not_yet(f"The log variance is {joint:.4g}, and {math.log(right_var):.4g} would be right.")
    if not math.isclose(joint_mean, right_mean, rel_tol=1e-4):
        return _not_yet(f"The log variance is right; the mean is {joint_mean:.4g}, not {right_mean:.4g}.")
    nothing = torch.full((3,), torch.nan)
    mean, log_var = (torch.where(present, x, nothing).requires_grad_() for x in (mean, log_var))
    with_nan = answer(mean, log_var, present)
    if not all(torch.as_tensor(x).isfinite() for x in with_nan):
        return _not_yet("With NaN where the scan is absent, NaN comes out: 0 × NaN is NaN.")
    if any(isinstance(x, Tensor) and x.requires_grad for x in with_nan):
        sum(with_nan).backward()
        slopes = [x.grad[1].item() for x in (mean, log_var) if x.grad is not None]
        if any(slopes):  # NaN counts as true
            return _not_yet(f"The absent expert gets a gradient of {slopes[0]:g}.")
    sure = torch.full((3,), -200.0)
    sure_mean, sure_joint = (float(x) for x in answer(torch.tensor(means), sure, present))
    if not (
        math.isclose(sure_mean, 2.0, rel_tol=1e-3)
        and math.isclose(sure_joint, -200 - math.log(2), rel_tol=1e-5)
    ):
        return _not_yet(f"At ln σ² = −200 it gives {sure_mean:.4g} and {sure_joint:.4g}: stay in logarithms.")
    return Verdict(True, "No overflow, no NaN, and no trace of who was not there.")


# Mean and variance of N(0, 1) and N(2, 0.25), fused: precision 1 + 4, half of that, and the mixture's moments.
FUSED = {"a": ("generalised", 1.6, 0.4), "b": ("mixture", 1.0, 1.625), "c": ("product", 1.6, 0.2)}


def fused_curves() -> tuple[Tensor, dict[str, Tensor]]:
    """Places ``[n]`` and the densities there, ``{"a": [n], ...}``, of :func:`fused`'s three unnamed beliefs."""
    z = torch.linspace(-3, 5, 401)
    return z, {
        k: torch.exp(-((z - m) ** 2) / (2 * v)) / math.sqrt(2 * math.pi * v) for k, (_, m, v) in FUSED.items()
    }


@_verdict
def fused(answer: Mapping[str, str]) -> Verdict:
    """Chapter 07: which rule made each of :func:`fused_curves`, and which of the three is too sure of a shared error:
    ``{"a": ..., "b": ..., "c": ..., "too sure": ...}``."""
    if not isinstance(answer, Mapping) or set(answer) != {*FUSED, "too sure"}:
        return _not_yet('Give all four: {"a": ..., "b": ..., "c": ..., "too sure": ...}.')
    rules = sorted(rule for rule, *_ in FUSED.values())
    for question, name in answer.items():
        expected = sorted(FUSED) if question == "too sure" else rules
        if name is ...:
            return _not_yet("Replace the dots: a rule for each curve, a letter for the one that is too sure.")
        if name not in expected:
            return _not_yet(f"{question}: found {name!r}, expected one of {', '.join(expected)}.")
    if answer["b"] != "mixture":
        return _not_yet("The mixture's mean is the plain average of 0 and 2. Which curve peaks there?")
    if answer["c"] != "product":
        return _not_yet("a and c share their mean. In which of the two rules do precisions add, not average?")
    if answer["a"] != "generalised":
        return _not_yet("a: the same mean as c, but wider. Which rule averages precisions?")
    if answer["too sure"] != "c":
        return _not_yet("The names are right. Which rule counts the same error twice as if it were two?")
    return Verdict(True, "a: precisions averaged; b: nobody is asked how sure they are; c: precisions added.")


@_verdict
def one_prior(answer: tuple[float, float]) -> Verdict:
    """Chapter 07: (mean, variance) from three posteriors under a standard Gaussian prior, which counts once."""
    found = tuple(float(x) for x in answer)
    if len(found) != 2:
        return _not_yet("Give two numbers: (mean, variance).")
    means, precisions = (1.0, 1.2, 1.5), (2.0, 2.5, 4.0)

    def belief(priors):
        precision = sum(precisions) + priors
        return sum(m * p for m, p in zip(means, precisions, strict=True)) / precision, 1 / precision

    def is_(value):
        return all(math.isclose(a, b, rel_tol=5e-3) for a, b in zip(found, value, strict=True))

    mean, variance = belief(-2)
    if is_((mean, variance)):
        return Verdict(True, "Three copies of the prior went in, two came out.")
    if is_((mean, 1 / variance)):
        return _not_yet("The second number is the precision. Its inverse is the variance.")
    if is_(belief(0)):
        return _not_yet("That is Eq. 3: the prior is in there three times. Once is right.")
    if is_(belief(1)):
        return _not_yet("A prior expert is a fourth copy of the prior. Here copies must be taken out.")
    if is_(belief(-3)):
        return _not_yet("Now the prior is not counted at all. One copy belongs.")
    if is_(belief(-1)):
        return _not_yet("One copy is taken out, and N is three. How many are too many?")
    return _not_yet("Add the precisions, take away those of the surplus priors; the prior's mean is 0.")


@_verdict
def relative_error(answer: Callable) -> Verdict:
    """Chapter 09: ``answer(s, x, c)`` is the second mean of eq-recon: the error as a share of what is there."""
    if not callable(answer):
        return _not_yet("Pass the function itself: check.relative_error(my_relative_error).")
    s, x, c = (0.9, 0.25, 0.1), (1.0, 0.05, 0.3), 0.12
    found = answer(torch.tensor(s), torch.tensor(x), c)
    if found is None or found is ...:
        return _not_yet("Replace the dots in the function by the mean.")
    if isinstance(found, Tensor) and found.numel() > 1:
        return _not_yet("That is one number a voxel. The bar in the equation is their mean.")
    found, n = float(found), len(s)
    pairs = list(zip(s, x, strict=True))
    right = sum(abs(a - b) / (b + c) for a, b in pairs) / n
    slips = {
        sum((a - b) / (b + c) for a, b in pairs) / n: "Errors up and down cancel: the bars mean absolute values.",
        right * n: "That is the sum over the voxels. The bar means their mean.",
        sum(abs(a - b) / b for a, b in pairs) / n: "Without the floor c a voxel of air would divide by zero.",
        sum(abs(a - b) / (a + c) for a, b in pairs) / n: "The share is of the scan x, not of the reconstruction.",
        sum(abs(a - b) for a, b in pairs) / sum(b + c for _, b in pairs): "Divide voxel by voxel, then take the mean.",
        sum(abs(a - b) for a, b in pairs) / n: "That is the plain error. Divide it by what is there, x + c.",
        sum((a - b) ** 2 for a, b in pairs) / n: "That is the first term. The second is not squared.",
    }  # fmt: skip
    if math.isclose(found, right, rel_tol=1e-4):
        return Verdict(True, "An error of 0.2 counts 0.48 where x = 0.3, and 1.18 where x = 0.05.")
    for slip, hint in slips.items():
        if math.isclose(found, slip, rel_tol=1e-4):
            return _not_yet(hint)
    return _not_yet(f"For s = {s}, x = {x}, c = {c} it gives {found:.4g}.")


@_verdict
def same_t2w(answer: numbers.Real) -> Verdict:
    """Chapter 08: the T2 (s) that looks at TE 0.12 s as white matter's 0.070 s does at TE 0.09 s; PD and T1 the same."""
    found = float(answer)
    # exp(−0.09/0.070) = exp(−0.12/T2)
    if math.isclose(found, 0.070 * 0.12 / 0.09, abs_tol=5e-4):
        return Verdict(True, "TE/T2 is all that counts. That is longer than grey matter's T2, 0.085 s.")
    if math.isclose(found, 0.070 * 0.09 / 0.12, abs_tol=5e-4):
        return _not_yet("The other way round: a later echo has faded more, unless T2 is longer.")
    if math.isclose(found, 0.070 + 0.03, abs_tol=5e-4):
        return _not_yet(
            "The echo comes 0.03 s later, but the signal depends on TE/T2, not on their difference."
        )
    if math.isclose(found, 0.070, abs_tol=5e-4):
        return _not_yet("With that T2 the later echo is darker.")
    if found > 1:
        return _not_yet("Seconds, please.")
    ratio = math.exp(-0.12 / found) / math.exp(-0.09 / 0.070) if found > 0 else 0.0
    return _not_yet(f"With a T2 of {found:.4g} s it is {ratio:.2f} times as bright.")


@_verdict
def undo_group_norm(answer: Callable) -> Verdict:
    """Chapter 08: ``answer(h, groups)`` gives the s and b ``[B, C]`` with which AdaGN gives back h ``[B, C, H, W]``."""
    if not callable(answer):
        return _not_yet("Pass the function itself: check.undo_group_norm(my_scale_and_shift).")
    draw = torch.Generator().manual_seed(8)
    scale, shift = torch.rand(2, 2, 6, 1, 1, generator=draw) + torch.tensor([0.5, 3.0]).view(2, 1, 1, 1, 1)
    h, groups = shift + scale * torch.randn(2, 6, 5, 4, generator=draw), 3
    found = answer(h, groups)
    if found is None or found is ...:
        return _not_yet("Replace the dots in the function by s and b.")
    s, b = found
    if s is ... or b is ...:
        return _not_yet("Replace the dots in the function by s and b.")
    if tuple(s.shape) != (2, 6) or tuple(b.shape) != (2, 6):
        return _not_yet(
            f"s is {list(s.shape)} and b {list(b.shape)}; for h of [2, 6, 5, 4] in 3 groups expected [2, 6], one a channel."
        )
    norm = torch.nn.functional.group_norm(h, groups)
    sd, mean = (x.repeat_interleave(2, 1) for x in torch.std_mean(h.reshape(2, 3, -1), -1, correction=0))
    every_sd, every_mean = torch.std_mean(h.flatten(2), -1, correction=0)
    usual_sd = h.reshape(2, 3, -1).std(-1).repeat_interleave(2, 1)

    def close(x, y):
        return torch.allclose(x.to(y), y, rtol=1e-3)

    if torch.allclose(s[..., None, None] * norm + b[..., None, None], h, atol=0.01):
        return Verdict(
            True, "What the norm takes away, s and b can put back, if somebody tells them what it was."
        )
    if close(s, mean) and close(b, sd):
        return _not_yet("s and b have changed places.")
    if close(s, usual_sd):
        return _not_yet("Nearly. The norm divides by n, torch's std by n − 1: std(correction=0).")
    if close(s, every_sd) and close(b, every_mean):
        return _not_yet("Those are mean and SD of each channel. The norm took those of each group.")
    if close(s, sd.square()):
        return _not_yet("The variance; the norm divides by its root.")
    if close(s, 1 / sd):
        return _not_yet("The norm divided by the SD. What undoes that?")
    if close(s, sd):
        return _not_yet("s is right. What did the norm subtract before it divided?")
    return _not_yet("s · GroupNorm(h) + b is not h. By what did the norm divide, and what did it subtract?")


TOLD = Acquisition("flair", te=0.12, tr=8.0, ti=2.2)


def unknown_features() -> list[float]:
    """What the encoder was told of the scan ``TOLD``, for :func:`read_features`; its 99.5th percentile was 700."""
    from physldm.models.encoder import protocol_features
    from physldm.physics import AcquisitionBatch

    features = protocol_features(AcquisitionBatch.of([[TOLD]]), torch.tensor([[math.log(700.0)]]))
    return [round(x, 3) for x in features[0, 0].tolist()]


@_verdict
def read_features(answer: Acquisition) -> Verdict:
    """Chapter 08: the acquisition that :func:`unknown_features` tells of."""
    if not isinstance(answer, Acquisition):
        return _not_yet('Give an acquisition: Acquisition("...", te=..., tr=..., ti=...), times in seconds.')
    if answer.sequence != TOLD.sequence:
        return _not_yet(
            f"{answer.sequence}: which sequence of Eq. 1 inverts (fourth number) and refocuses (fifth)?"
        )
    for name, at in (("te", 0), ("tr", 1), ("ti", 2)):
        found, true = getattr(answer, name), getattr(TOLD, name)
        if math.isclose(found, true, rel_tol=0.01):
            continue
        if any(math.isclose(found, true * math.exp(k), rel_tol=0.01) for k in (-2, -1, 1, 2, 3)):
            return _not_yet(f"{name.upper()}: mind what is added to the logarithm, to centre it.")
        return _not_yet(f"{name.upper()} of {found:g} s would be another number in place {at + 1}.")
    return Verdict(True, f"{TOLD}, and its 99.5th percentile was exp(1.051 + 5.5), about 700.")


# Change of T1 in white matter in three trials: the lie, the second scan, the other brain (chapter 08).
TRIALS = {"a": (0, 13, -11), "b": (-11, 0, -11), "c": (0, 0, 0), "d": (0, 0, -11)}
NATURES = {"a": "deaf", "b": "listens", "c": "blind", "d": "guesses"}


@_verdict
def who_listens(answer: Mapping[str, str]) -> Verdict:
    """Chapter 08: what each network of ``TRIALS`` does."""
    hints = {
        "a": "a: it was told, and takes the second scan of one brain for another brain all the same.",
        "b": "b: a lie leads it astray, as far as the equation asks. What does that take?",
        "c": "c: another brain has the same T1 to it.",
        "d": "d: it finds the right T1 in every scan, and a lie does not touch it. Whence does it know the protocol?",
    }
    return _each_named(answer, NATURES, hints, "And only one of the four needs AdaGN to be what it is.")


SINGULAR_VALUES = (40.0, 30.0, 20.0, 15.0, 10.0, 8.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0)


@_verdict
def code_length(answer: int) -> Verdict:
    """Chapter 06: how many numbers of a linear code hold 95 % of the variance, given ``SINGULAR_VALUES``."""
    if float(answer) != int(answer):
        return _not_yet("Give a whole number.")

    def needed(parts):
        return next(k for k in range(1, len(parts) + 1) if sum(parts[:k]) >= 0.95 * sum(parts))

    squares = [d**2 for d in SINGULAR_VALUES]
    found, right = int(answer), needed(squares)
    if found == right:
        return Verdict(True, f"{right} of {len(squares)}: the variance goes with the squares.")
    if found == needed(SINGULAR_VALUES):
        return _not_yet("That adds up the singular values. Variance goes with their squares.")
    if found == right - 1:
        return _not_yet("One short. If you took an index from Python, it counts from 0.")
    if not 1 <= found <= len(squares):
        return _not_yet(f"There are {len(squares)} singular values.")
    return _not_yet(f"{found} numbers hold {sum(squares[:found]) / sum(squares):.1%} of the variance.")


@_verdict
def draw_from_belief(answer: Callable) -> Verdict:
    """Chapter 06: ``answer(mean, log_var, noise)`` is a draw from N(μ, σ²) that lets gradients through."""
    if not callable(answer):
        return _not_yet("Pass the function itself: check.draw_from_belief(my_draw).")
    mean = torch.tensor([1.0, -2.0], dtype=torch.float64, requires_grad=True)
    log_var = torch.tensor([-1.0, 0.6], dtype=torch.float64, requires_grad=True)
    noise = torch.tensor([0.5, -1.5], dtype=torch.float64)
    found = answer(mean, log_var, noise)
    if found is None or found is ...:
        return _not_yet("Replace the dots in the function by the draw.")
    if not isinstance(found, Tensor) or found.shape != mean.shape:
        return _not_yet("Return a tensor of the shape of the mean.")
    scaled = (torch.exp(0.5 * log_var) * noise).detach()
    slips = {
        "That scales the noise by the variance. σ is its root: exp(½ log σ²).": log_var.exp() * noise,
        "That scales the noise by log σ². What is σ?": log_var * noise,
        "That is the mean: nothing is drawn.": 0 * noise,
        "That adds noise of standard deviation 1. Scale it by σ.": noise,
        "That divides the noise by σ.": noise * torch.exp(-0.5 * log_var),
    }
    for hint, slip in slips.items():
        if torch.allclose(found.double(), mean + slip, atol=1e-6):
            return _not_yet(hint)
    if not torch.allclose(found.double(), mean + scaled, atol=1e-6):
        return _not_yet("The draw must be decided by the noise that is passed in, as in z = μ + σ ε.")
    if not found.requires_grad:
        return _not_yet("The number is right, but no gradient comes through: is something detached?")
    grads = torch.autograd.grad(found.sum(), [mean, log_var], allow_unused=True)
    slopes = (torch.ones_like(mean), 0.5 * scaled)  # of z in μ and in log σ²
    if any(
        g is None or not torch.allclose(g, slope, atol=1e-6) for g, slope in zip(grads, slopes, strict=True)
    ):
        return _not_yet("The number is right, but the gradient in μ or in log σ² is not.")
    return Verdict(True, "The noise comes from outside, so μ and σ are on the gradient's way.")


@_verdict
def kl_by_hand(answer: Callable) -> Verdict:
    """Chapter 06: ``answer(mean, log_var)`` is KL(N(μ, σ²) ‖ N(0, I)), summed over the numbers of a code."""
    if not callable(answer):
        return _not_yet("Pass the function itself: check.kl_by_hand(my_kl).")
    mean = torch.tensor([0.8, -0.3, 0.0], dtype=torch.float64)
    log_var = torch.tensor([-1.0, 0.4, -2.0], dtype=torch.float64)
    found = answer(mean, log_var)
    if found is None or found is ...:
        return _not_yet("Replace the dots in the function by the KL.")
    found = torch.as_tensor(found)
    if found.numel() != 1:
        return _not_yet("Return one number: the sum over the numbers of the code.")
    # ∫ q ln(q/p) on a fine grid, from the densities themselves
    z = torch.linspace(-12, 12, 240_001, dtype=torch.float64)[:, None]
    log_q = -0.5 * ((z - mean) ** 2 / log_var.exp() + log_var + math.log(2 * math.pi))
    log_p = -0.5 * (z**2 + math.log(2 * math.pi))
    right = float((log_q.exp() * (log_q - log_p)).sum() * 1e-4)
    backwards = float((log_p.exp() * (log_p - log_q)).sum() * 1e-4)
    found = float(found)
    slips = {
        right / 3: "That is the mean over the numbers of the code. Sum them.",
        2 * right: "The half in front is missing.",
        right + 1.5: "The −1 is missing: a belief that is N(0, 1) must cost nothing.",
        -right: "The sign: a KL is never negative.",
        backwards: "That is the KL from the prior to the belief. It is the other way round.",
        float(0.5 * (mean**2 + log_var - 1 - log_var.exp()).sum()): "σ² and ln σ² have changed places.",
        float(0.5 * (mean**2 + (0.5 * log_var).exp() - 1 - 0.5 * log_var).sum()): "σ stands where σ² should: "
        "log_var is the logarithm of the variance.",
    }
    if math.isclose(found, right, rel_tol=1e-4):
        return Verdict(True, f"An integral over the densities gives {right:.4f}, too.")
    for slip, hint in slips.items():
        if math.isclose(found, slip, rel_tol=1e-4):
            return _not_yet(hint)
    return _not_yet(f"For μ {mean.tolist()} and log σ² {log_var.tolist()} it gives {found:.4g}.")


# Three trainings that differ in the weight of the KL only: error of held-out pictures, KL of a code of 6 × 140
# numbers, and of each channel the root mean squares of σ and μ.
THREE_VAES = {
    "a": {
        "mse": 0.052,
        "kl": 194.0,
        "sigma": (0.998, 0.42, 0.995, 0.71, 0.999, 0.93),
        "mu": (0.05, 0.91, 0.45, 0.70, 0.03, 0.36),
    },
    "b": {
        "mse": 0.030,
        "kl": 3340.0,
        "sigma": (0.03, 0.02, 0.03, 0.03, 0.02, 0.03),
        "mu": (1.4, 1.2, 1.2, 1.1, 1.5, 1.3),
    },
    "c": {
        "mse": 0.143,
        "kl": 0.2,
        "sigma": (0.999, 0.999, 0.998, 0.999, 0.999, 0.999),
        "mu": (0.02, 0.02, 0.03, 0.02, 0.02, 0.03),
    },
}


@_verdict
def silent_channels(answer: Mapping) -> Verdict:
    """Chapter 06: which of ``THREE_VAES`` had the heaviest KL, and which channels of ``a`` say nothing."""
    if not isinstance(answer, Mapping) or set(answer) != {"heaviest", "silent"}:
        return _not_yet('Give both: {"heaviest": "...", "silent": {...}}.')
    if answer["heaviest"] is ... or answer["silent"] is ...:
        return _not_yet("Replace the dots by a letter and by a set of channels.")
    heaviest = min(THREE_VAES, key=lambda name: THREE_VAES[name]["kl"])
    if str(answer["heaviest"]).strip().lower() != heaviest:
        return _not_yet("The heaviest weight presses the KL down the most, whatever becomes of the picture.")
    cost = [
        0.5 * (m**2 + s**2 - 1 - math.log(s**2))
        for s, m in zip(THREE_VAES["a"]["sigma"], THREE_VAES["a"]["mu"], strict=True)
    ]
    silent = {k for k, value in enumerate(cost) if value < 0.01}
    found = {int(k) for k in answer["silent"]}
    if strangers := found - set(range(len(cost))):
        return _not_yet(f"There is no channel {min(strangers)}: they are numbered from 0 to {len(cost) - 1}.")
    if loud := found - silent:
        k = min(loud)
        return _not_yet(f"Channel {k} costs {cost[k]:.3f} a number. Look at its μ as well as its σ.")
    if missed := silent - found:
        return _not_yet(f"Channel {min(missed)} costs {cost[min(missed)]:.4f} a number: less than 0.01.")
    return Verdict(True, "Silent is σ = 1 and μ = 0. A channel with σ near 1 whose μ moves still speaks.")


@_verdict
def best_edge(answer: Mapping) -> Verdict:
    """Chapter 10: the best guess for an edge whose first bright voxel is 8, 9 or 10, with chances 0.4, 0.35 and 0.25:
    voxels 7 to 10 under the squared and under the absolute error."""
    if not isinstance(answer, Mapping) or set(answer) != {"squares", "absolute"}:
        return _not_yet('Give both: {"squares": [...], "absolute": [...]}, four numbers each.')
    if any(value is ... for values in answer.values() for value in values):
        return _not_yet("Replace the dots: four numbers for squares, four for absolute errors.")
    found = {name: [float(value) for value in values] for name, values in answer.items()}
    if any(len(values) != 4 for values in found.values()):
        return _not_yet("Four numbers each, for the voxels 7, 8, 9 and 10.")
    right = {"squares": [0, 0.4, 0.75, 1], "absolute": [0, 0, 1, 1]}

    def same(values, expected):
        return all(math.isclose(a, b, abs_tol=1e-6) for a, b in zip(values, expected, strict=True))

    if all(same(found[name], right[name]) for name in right):
        return Verdict(
            True, "Squares ask for the mean, a ramp; absolute errors for the median, an edge again."
        )
    if same(found["squares"], right["absolute"]) and same(found["absolute"], right["squares"]):
        return _not_yet("The two have changed places.")
    if same(found["squares"], [1, 0.6, 0.25, 0]):
        return _not_yet("That is the chance of being dark. The edge goes from dark to bright.")
    if same(found["squares"], [0, 0.4, 0.35, 0.25]):
        return _not_yet("Voxel 9 is bright where the edge is at 9, and also where it is at 8.")
    if not same(found["squares"], right["squares"]):
        return _not_yet("Squares: in each voxel the mean of what it may be. How often is voxel 8 bright?")
    return _not_yet("Absolute: the median. What is voxel 8 in more than half of the cases?")


def sharp_slice() -> Tensor:
    """A T2-weighted slice ``[112, 80]`` of the average brain, 2 mm, in scanner units, for :func:`opposite_order`."""
    from physldm.data import example_maps

    return 1000 * signal(example_maps(2)[0], Acquisition("spin_echo", te=0.1, tr=3.2))


@_verdict
def opposite_order(answer) -> Verdict:
    """Chapter 10: two spoiled copies of :func:`sharp_slice`: the first with at most half the MSE of the second, and at
    least twice its LPIPS."""
    from physldm.evaluation.perceptual import perceptual_distance

    picture = sharp_slice()
    one, other = (torch.as_tensor(image, dtype=torch.float32) for image in answer)
    if one.shape != picture.shape or other.shape != picture.shape:
        return _not_yet(
            f"Found pictures of {tuple(one.shape)} and {tuple(other.shape)}, expected {tuple(picture.shape)}."
        )
    mse = [float((image - picture).square().mean()) for image in (one, other)]
    lpips = perceptual_distance(
        torch.stack([one, other]), picture.expand(2, -1, -1), data_range=float(picture.quantile(0.995))
    ).tolist()
    said = f"MSE {mse[0]:.0f} and {mse[1]:.0f}, LPIPS {lpips[0]:.3f} and {lpips[1]:.3f}."
    if mse[0] <= mse[1] / 2 and lpips[0] >= 2 * lpips[1] > 0:
        return Verdict(True, said)
    if mse[1] <= mse[0] / 2 and lpips[1] >= 2 * lpips[0] > 0:
        return _not_yet(f"{said} The right two, in the other order.")
    return _not_yet(f"{said} What did the table say of a blur, and of a shift?")


@_verdict
def adversarial_losses(answer: Callable) -> Verdict:
    """Chapter 10: ``answer(real, made)``, of verdicts, is what the critic learns by and what the judged network does."""
    if not callable(answer):
        return _not_yet("Pass the function itself: check.adversarial_losses(my_losses).")
    real = torch.tensor([0.9, 0.4, 1.2], dtype=torch.float64)
    made = torch.tensor([0.3, -0.1, 0.6, 0.2], dtype=torch.float64)
    found = answer(real, made)
    if found is None or found is ...:
        return _not_yet("Replace the dots in the function by the two losses.")
    critic, network = (float(x) for x in found)
    to_one = [sum((x - 1) ** 2 for x in v.tolist()) / len(v) for v in (real, made)]
    to_zero = [sum(x**2 for x in v.tolist()) / len(v) for v in (real, made)]
    right = 0.5 * to_one[0] + 0.5 * to_zero[1]
    if math.isclose(critic, to_one[1], rel_tol=1e-6) and math.isclose(network, right, rel_tol=1e-6):
        return _not_yet("The two have changed places: first the critic's.")
    if math.isclose(critic, 2 * right, rel_tol=1e-6):
        return _not_yet("The critic's loss lacks its halves.")
    if math.isclose(critic, 0.5 * to_zero[0] + 0.5 * to_one[1], rel_tol=1e-6):
        return _not_yet("This critic calls what is real made, and what is made real.")
    if not math.isclose(critic, right, rel_tol=1e-6):
        return _not_yet(
            f"The critic's loss is {critic:.4g} for real {real.tolist()} and made {made.tolist()}."
        )
    if math.isclose(network, to_zero[1], rel_tol=1e-6):
        return _not_yet("The network wants its pictures to be taken for real, that is for 1.")
    if not math.isclose(network, to_one[1], rel_tol=1e-6):
        return _not_yet(f"The network's loss is {network:.4g} for made {made.tolist()}.")
    return Verdict(True, "One pulls the verdict on what is made to 0, the other to 1.")


@_verdict
def receptive_field(answer: Callable) -> Verdict:
    """Chapter 10: ``answer(layers)``, of (kernel, stride) from the picture on, is how many voxels a side one output sees."""
    if not callable(answer):
        return _not_yet("Pass the function itself: check.receptive_field(my_field).")
    for layers in ([(4, 2)] * 3 + [(4, 1)] * 2, [(3, 1)] * 3, [(7, 2), (3, 3), (5, 1)], [(5, 3)]):
        found = answer(layers)
        if found is None or found is ...:
            return _not_yet("Replace the dots in the function by the number of voxels.")
        seen = {0}  # of one output, back to the picture
        for kernel, stride in reversed(layers):
            seen = {place * stride + i for place in seen for i in range(kernel)}
        if float(found) == len(seen):
            continue
        if float(found) == 1 + sum(kernel - 1 for kernel, _ in layers):
            return _not_yet(f"{layers}: {found}. A stride makes every later step worth several voxels.")
        if float(found) == math.prod(kernel for kernel, _ in layers):
            return _not_yet(f"{layers}: {found}. Neighbouring outputs of a layer share what they see.")
        return _not_yet(
            f"{layers}: {found}. Begin with one output and go back, layer by layer, from the last to the first."
        )
    return Verdict(True, "70 for the critic of this chapter.")


WHICH = {"a": "eq-poe", "b": "eq-flair", "c": "eq-tissue-maps", "d": "eq-adagn"}


@_verdict
def which_equation(answer: Mapping[str, str]) -> Verdict:
    """Chapter 09: which equation does what on the way through the model."""
    hints = {
        "a": "a: which equation has a sum over scans in it?",
        "b": "b: which scan hides fluid?",
        "c": "c: where do T1 and T2 come out of an exponential?",
        "d": "d: who is told TI?",
    }
    return _each_named(answer, WHICH, hints, "Each part of the figure has its line.")


THREE_MODELS = {
    "a": {"wm": (6.9, 6.7), "gm": (4.4, 4.1), "csf": (16.0, 16.3)},
    "b": {"wm": (21.0, 6.7), "gm": (24.5, 4.1), "csf": (48.0, 16.3)},
    "c": {"wm": (1.8, 6.7), "gm": (2.3, 4.1), "csf": (3.9, 16.3)},
}
KINDS = {"a": "colouring", "b": "lost", "c": "tissue"}


@_verdict
def colouring_in(answer: Mapping[str, str]) -> Verdict:
    """Chapter 09: which of three models knows tissue, and which only where it is; errors are (model, class median)."""
    hints = {k: f"{k}: is it below the class median, near it, or far above?" for k in KINDS}
    return _each_named(
        answer, KINDS, hints, "The class median is the yardstick: below it, near it, above it."
    )


@_verdict
def wrong_start(answer: Callable) -> Verdict:
    """Chapter 11: ``answer(m, s, alpha_bar)`` is the mean of what a perfect sampler makes of N(0, 1) begun at ᾱ."""
    if not callable(answer):
        return _not_yet("Pass the function itself: check.wrong_start(my_mean).")
    for m, s, a in ((2.0, 0.5, 0.3), (-1.0, 3.0, 0.05), (1.5, 0.9, 0.0047)):
        found = answer(m, s, a)
        if found is None or found is ...:
            return _not_yet("Replace the dots in the function by the mean.")
        # the middle of the noise lies √ᾱ m / √(ᾱ s² + 1 − ᾱ) standard deviations below the mean, and keeps its place
        below = math.sqrt(a) * m / math.sqrt(a * s**2 + 1 - a)
        if math.isclose(float(found), m - s * below, rel_tol=1e-4):
            continue
        slips = {
            m: "That is the mean it should be. The sampler begins too low: where does x = 0 end?",
            0.0: "The cloud moves on the way: x = 0 does not stay where it is.",
            m - below: "How many standard deviations below is right. At the end they have length s.",
            m * (1 - math.sqrt(a)): "That holds for s = 1 only.",
            m
            - s**2
            * below
            / math.sqrt(a * s**2 + 1 - a): "Standard deviations, not variances, set the scale.",
            m * (1 - math.sqrt(a) * s): "The noisy cloud has a spread of √(ᾱ s² + 1 − ᾱ), not of 1.",
            m + s * below: "The sign: the noise begins below the mean.",
        }
        for slip, hint in slips.items():
            if math.isclose(float(found), slip, rel_tol=1e-4, abs_tol=1e-9):
                return _not_yet(hint)
        return _not_yet(f"For m {m}, s {s} and ᾱ {a} it gives {float(found):.4g}.")
    return Verdict(
        True, "What is missing at the start is missing at the end, times the shrinking of the cloud."
    )


@_verdict
def velocity_from_noise(answer: Callable) -> Verdict:
    """Chapter 11: ``answer(eps, x_t, alpha_bar)`` is the velocity v."""
    if not callable(answer):
        return _not_yet("Pass the function itself: check.velocity_from_noise(my_velocity).")
    for x0, eps, a_bar in ((0.7, -1.2, 0.36), (-0.4, 0.9, 0.8)):
        a, s = math.sqrt(a_bar), math.sqrt(1 - a_bar)
        x_t = a * x0 + s * eps
        found = answer(eps, x_t, a_bar)
        if found is None or found is ...:
            return _not_yet("Replace the dots in the function by the velocity.")
        if math.isclose(float(found), a * eps - s * x0, rel_tol=1e-5):
            continue
        slips = {
            x0: "That is x₀. Put it into the definition of v.",
            a * eps - s * x_t: "x_t stands where x₀ should.",
            s * x0 - a * eps: "The sign: v points from the data towards the noise.",
            eps - s * x_t: "The division by √ᾱ is missing.",
            (eps - s * x_t) / a_bar: "Divide by √ᾱ, not by ᾱ.",
            a_bar * eps - (1 - a_bar) * x0: "The factors are √ᾱ and √(1 − ᾱ).",
        }
        for slip, hint in slips.items():
            if math.isclose(float(found), slip, rel_tol=1e-5):
                return _not_yet(hint)
        return _not_yet(f"For ε {eps}, x_t {x_t:.4f} and ᾱ {a_bar} it gives {float(found):.4g}.")
    return Verdict(True, "First x₀, then v; or at once (ε − √(1 − ᾱ) x_t)/√ᾱ.")


# Mean squared errors of x₀ of two networks, at the level with SNR 50 and at that with SNR 0.5.
TWO_NETWORKS = {"a": {"SNR 50": 0.002, "SNR 0.5": 0.30}, "b": {"SNR 50": 0.004, "SNR 0.5": 0.25}}


@_verdict
def two_networks(answer: Mapping[str, str]) -> Verdict:
    """Chapter 11: which of ``TWO_NETWORKS`` has the lower Eq. 8, loss of x₀, loss of v, and min-SNR loss (γ = 5)."""
    weights = {"Eq. 8": (50, 0.5), "x0": (1, 1), "v": (51, 1.5), "min-SNR": (5, 0.5)}
    losses = {
        name: {
            k: sum(w * e for w, e in zip(ws, errors.values(), strict=True))
            for k, errors in TWO_NETWORKS.items()
        }
        for name, ws in weights.items()
    }
    right = {name: min(loss, key=loss.get) for name, loss in losses.items()}
    hints = {
        name: f"{name}: multiply each error by the weight of its level, and add. The table of the chapter has the weights."
        for name in weights
    }
    said = "; ".join(f"{name}: {loss['a']:.3f} and {loss['b']:.3f}" for name, loss in losses.items())
    return _each_named(answer, right, hints, f"Sums for a and b: {said}.")


@_verdict
def dpm_step(answer: Callable) -> Verdict:
    """Chapter 11: ``answer(x, x0, x0_before, a_before, a, a_next)`` is a step of DPM-Solver++(2M) in the middle."""
    if not callable(answer):
        return _not_yet("Pass the function itself: check.dpm_step(my_step).")
    x, x0, before, levels = 0.8, 0.5, 0.2, (0.1, 0.3, 0.8)
    found = answer(x, x0, before, *levels)
    if found is None or found is ...:
        return _not_yet("Replace the dots in the function by the step.")
    a_before, a, a_next = levels
    half_log_snr = [0.5 * math.log(level / (1 - level)) for level in levels]
    h_before, h = half_log_snr[1] - half_log_snr[0], half_log_snr[2] - half_log_snr[1]

    def ddim(guess):
        eps = (x - a**0.5 * guess) / (1 - a) ** 0.5
        return a_next**0.5 * guess + (1 - a_next) ** 0.5 * eps

    moved = x0 - before
    slips = {
        ddim(x0): "That is DDIM: the guess stays where it is.",
        ddim(x0 + 0.5 * moved): "The two steps are not equally long in λ: h/h_b is missing.",
        ddim(
            x0 + h / h_before * moved
        ): "The half is missing: the guess is wanted in the middle of the step.",
        ddim(x0 + h_before / (2 * h) * moved): "h and h_b have changed places.",
        ddim(
            x0 - h / (2 * h_before) * moved
        ): "The guess went on from the one before to the one here: mind the sign.",
        ddim(x0 + (a_next - a) / (2 * (a - a_before)) * moved): "Measure the steps in λ, not in ᾱ.",
    }
    for slip, hint in slips.items():
        if math.isclose(float(found), slip, rel_tol=1e-5):
            return _not_yet(hint)
    if not math.isclose(float(found), ddim(x0 + h / (2 * h_before) * moved), rel_tol=1e-5):
        return _not_yet(
            f"For x {x}, x̂₀ {x0}, before {before} and the levels {levels} it gives {float(found):.4g}."
        )
    return Verdict(True, "DDIM, with a guess that has gone on for half a step.")


# Protocols of Eq. 1 whose contrast can be read off.
LABELS = {
    "a": Acquisition("spin_echo", te=0.01, tr=12.0),
    "b": Acquisition("flair", te=0.015, tr=6.0, ti=0.59),
    "c": Acquisition("mprage", te=0.003, tr=2.4, ti=0.75),
    "d": Acquisition("flair", te=0.02, tr=9.0, ti=2.44),
}
SHOWN = {"a": "water", "b": "no white matter", "c": "no grey matter", "d": "no fluid"}


@_verdict
def read_labels(answer: Mapping[str, str]) -> Verdict:
    """Chapter 13: what each of ``LABELS`` shows: water alone, or a brain without one of its tissues."""
    hints = {
        "a": "a: nothing is inverted. TE is short and TR is long: which exponentials are left?",
        "b": "b: TR is long, so the null is near T1 ln 2. Whose T1 is that?",
        "c": "c: for MPRAGE the null is where 2 exp(−TI/T1) = 1 + exp(−TR/T1). Try tissue_signal.",
        "d": "d: who is so slow that 2.44 s are about right?",
    }
    return _each_named(answer, SHOWN, hints, "First the null, then TE, then TR.")


# What somebody wants to do, as sequence, TE–TR–TI in ms, and the rest.
PLANS = {
    "a": "spin echo 10–6000, of maps whose air has some PD and a T2 of 30 ms; the whole picture is shown",
    "b": "MPRAGE 3–2400–2600, of a true brain; its magnitude is shown",
    "c": "MPRAGE 3–2400–600, of a true brain; the signed signal is compared with a scanner's picture",
    "d": "FLAIR 91–9000–2500, of a true brain; its magnitude is shown",
    "e": "FLAIR 91–3000–2950, of a true brain; its magnitude is shown",
}
FAULTS = {"a": "background", "b": "impossible", "c": "sign", "d": "nothing", "e": "impossible"}


@_verdict
def what_breaks(answer: Mapping[str, str]) -> Verdict:
    """Chapter 13: what is wrong with each of ``PLANS``: background, sign, impossible, or nothing."""
    hints = {
        "a": "a: a short T2 keeps air dark at the TE of training. What does TE 10 ms leave of that?",
        "b": "b: when does the next inversion come?",
        "c": "c: a scanner keeps magnitudes. Who is below zero at TI 600 ms?",
        "d": "d: is this one of the trained contrasts?",
        "e": "e: the echo needs its time, too, before the next inversion.",
    }
    return _each_named(answer, FAULTS, hints, "Can it be scanned? Is it signed? What is in the air?")


@_verdict
def carried_error(answer: tuple[float, float]) -> Verdict:
    """Chapter 13: error in % of white matter's signal in MPRAGE, TR 2.4 s, at TI 1.0 and 0.7 s, where the maps have PD 9 %
    too low, T1 6 % too short and T2 6 % too long."""
    if ... in answer:
        return _not_yet("Replace the dots by two numbers, in percent.")
    at_trained, at_new = (float(x) for x in answer)
    t = TISSUES["wm"]

    def relative_slope(ti):
        """d ln s / d ln T1 of MPRAGE."""
        e, f = math.exp(-ti / t.t1), math.exp(-2.4 / t.t1)
        s, step = 1 - 2 * e / (1 + f), 1e-5
        e, f = math.exp(-ti / (t.t1 * (1 + step))), math.exp(-2.4 / (t.t1 * (1 + step)))
        return ((1 - 2 * e / (1 + f)) / s - 1) / step

    expected = [-9 - 6 * relative_slope(ti) for ti in (1.0, 0.7)]
    found = (at_trained, at_new)
    if all(abs(a - b) < 1.3 for a, b in zip(found, expected, strict=True)):
        return Verdict(
            True,
            f"About {expected[0]:+.1f} % and {expected[1]:+.1f} %: what cancels at 1.0 s does not at 0.7 s.",
        )
    if all(abs(x + 9) < 1.3 for x in found):
        return _not_yet("That is PD alone. A shorter T1 makes white matter brighter: by how much?")
    if all(abs(abs(a) - abs(-18 - b)) < 1.3 for a, b in zip(found, expected, strict=True)):
        return _not_yet("Mind the sign of the change of T1: it is 6 % too short.")
    if all(abs(x) < 0.3 for x in found):
        return _not_yet("In percent of the signal: divide by white matter's signal, and take it times 100.")
    return _not_yet(
        "Each row of the Jacobian, times the three relative errors, over the signal. T2 plays no part."
    )


# White and grey matter's brightness at two visits of one person. At the first they are those of the table, with PD 1
# at 700.
_T1W, _OTHER_T1W = Acquisition("mprage", tr=2.4, ti=1.0), Acquisition("mprage", tr=2.3, ti=0.9)
VISITS = {
    "a": ((_T1W, 204.7, 90.4), (Acquisition("spin_echo", te=0.012, tr=0.5), 183.6, 145.4)),
    "b": ((_T1W, 204.7, 90.4), (_T1W, 245.7, 108.5)),
    "c": ((_T1W, 204.7, 90.4), (_OTHER_T1W, 171.4, 43.2)),
    "d": ((_T1W, 204.7, 90.4), (_OTHER_T1W, 204.7, 90.4)),
}
CHANGED = {"a": "scanner", "b": "scanner", "c": "tissue", "d": "tissue"}


@_verdict
def tissue_or_scanner(answer: Mapping[str, str]) -> Verdict:
    """Chapter 13: which of ``VISITS`` differ by scanner and gain only, and in which the tissue has changed."""
    hints = {
        "a": "a: scan the first visit's tissue with the second protocol before you compare.",
        "b": "b: both grew by the same factor. Who can do that at once?",
        "c": "c: what should grey over white matter be at the second protocol?",
        "d": "d: nothing has changed in the picture. Should it have?",
    }
    return _each_named(answer, CHANGED, hints, "Scan what you know as they did, and compare ratios.")


@_verdict
def code_scale(answer: Callable) -> Verdict:
    """Chapter 12: ``answer(mean, sigma)``, both ``[S, C, h, w]``, is the standard deviation of drawn codes, ``[C]``."""
    if not callable(answer):
        return _not_yet("Pass the function itself: check.code_scale(my_scale).")
    draw = torch.Generator().manual_seed(0)
    size = torch.tensor([0.3, 1.0, 2.5], dtype=torch.float64)[:, None, None]
    mean = 4 + size * torch.randn(6, 3, 5, 4, generator=draw, dtype=torch.float64)
    sigma = 2 * torch.rand(6, 3, 5, 4, generator=draw, dtype=torch.float64)
    found = answer(mean, sigma)
    if found is None or found is ...:
        return _not_yet("Replace the dots in the function by the scale.")
    found = torch.as_tensor(found, dtype=torch.float64)
    if found.numel() == 1:
        return _not_yet("That is one number for the whole code. Each channel has a scale of its own.")
    if found.shape == (5, 4) or found.shape == mean.shape[1:] or found.numel() != 3:
        return _not_yet(
            f"Found shape {tuple(found.shape)}, expected (3,): over slices and places, not channels."
        )
    found, every = found.flatten(), (0, 2, 3)
    chance = sigma.square().mean(every)
    slips = {
        "That is the variance. The scale is its square root.": mean.var(every) + chance,
        "That is the spread of μ. The codes are draws, and σ spreads them more.": mean.std(every),
        "That is what the draws add. The means differ, too.": chance.sqrt(),
        "Variances add, standard deviations do not.": mean.std(every) + sigma.mean(every),
        "Square σ first, then take the mean.": (mean.var(every) + sigma.mean(every).square()).sqrt(),
        "How far σ varies does not matter; how large its square is does.": (
            mean.var(every) + sigma.var(every)
        ).sqrt(),
        "Take the mean off first: a spread is counted from it.": (mean.square().mean(every) + chance).sqrt(),
    }
    for hint, slip in slips.items():
        if torch.allclose(found, slip, rtol=1e-4):
            return _not_yet(hint)
    right = (mean.var(every) + chance).sqrt()
    if not torch.allclose(found, right, rtol=0.01):  # with n or with n − 1
        return _not_yet(f"For a channel of spread {mean.std(every)[0]:.3f} it gives {found[0]:.3f}.")
    return Verdict(True, "The variance of the means and the mean of the variances.")


@_verdict
def average_memory(answer: Callable) -> Verdict:
    """Chapter 12: ``answer(d, n)`` is the share of a moving average that comes from the last n weights."""
    if not callable(answer):
        return _not_yet("Pass the function itself: check.average_memory(my_share).")
    for d, n in ((0.9, 5), (0.995, 138), (0.5, 2)):
        found = answer(d, n)
        if found is None or found is ...:
            return _not_yet("Replace the dots in the function by the share.")
        right = sum((1 - d) * d**k for k in range(n))
        if math.isclose(float(found), right, rel_tol=1e-4):
            continue
        slips = {
            d**n: "That is what is older than n steps.",
            (1 - d) * d**n: "That is the share of one single weight.",
            (1 - d) * d ** (n - 1): "That is the share of one single weight, the oldest of the n.",
            n * (1 - d): "The n weights do not all count as much as the newest.",
            1 - d ** (n - 1): "The newest weight counts already: n of them, not n − 1.",
            1 - (1 - d) ** n: "Each step keeps the share d of what was there, not 1 − d.",
        }
        for slip, hint in slips.items():
            if math.isclose(float(found), slip, rel_tol=1e-4):
                return _not_yet(hint)
        return _not_yet(f"For d {d} and n {n} it gives {float(found):.4g}.")
    half = {d: math.log(0.5) / math.log(d) for d in (0.995, 0.9999)}
    return Verdict(True, "Half: " + "; ".join(f"{n:,.0f} steps for d = {d}" for d, n in half.items()) + ".")


@_verdict
def guided_velocity(answer: Callable) -> Verdict:
    """Chapter 12: ``answer(v_told, v_any, w)`` is classifier-free guidance, counted so that w = 0 is none."""
    if not callable(answer):
        return _not_yet("Pass the function itself: check.guided_velocity(my_guided).")
    for told, anyone, w in ((0.7, -0.2, 2.0), (1.1, 0.4, 0.5)):
        found = answer(told, anyone, w)
        if found is None or found is ...:
            return _not_yet("Replace the dots in the function by the guided answer.")
        if math.isclose(float(found), (1 + w) * told - w * anyone, rel_tol=1e-5):
            continue
        slips = {
            anyone
            + w
            * (told - anyone): "With that w = 1 would be no guidance. Start from the answer of who is told.",
            told + w * (anyone - told): "The sign: away from the answer for any height.",
            w * (told - anyone): "That is only what is added.",
            told + w * told - anyone: "w multiplies the difference, both of its parts.",
            (1 + w) * told: "What is taken away is the answer for any height.",
        }
        for slip, hint in slips.items():
            if math.isclose(float(found), slip, rel_tol=1e-5):
                return _not_yet(hint)
        return _not_yet(f"For v(h) {told}, v(any) {anyone} and w {w} it gives {float(found):.4g}.")
    return Verdict(True, "w = 0 is the network as trained; one call more for anything else.")


# Five samplers of one model as somebody's table has them, and its floor; distances of "brains" drawn ones.
SAMPLERS = {
    "a": {"calls": 1000, "seconds": 420, "brains": 500, "distance": 9.8, "interval": (9.9, 10.9)},
    "b": {"calls": 50, "seconds": 21, "brains": 500, "distance": 11.9},
    "c": {"calls": 20, "seconds": 8.4, "brains": 500, "distance": 10.1},
    "d": {"calls": 10, "seconds": 4.2, "brains": 500, "distance": 12.6},
    "e": {"calls": 10, "seconds": 4.2, "brains": 5000, "distance": 9.1},
    "held out": {"brains": 500, "distance": 4.1},
    "held out, rebuilt": {"brains": 500, "distance": 9.5},
}


@_verdict
def choose_sampler(answer: Mapping[str, str]) -> Verdict:
    """Chapter 12: from ``SAMPLERS`` the cheapest that is as good as ``a``, the row that cannot be compared, and what
    to improve first."""
    if not isinstance(answer, Mapping) or set(answer) != {"cheapest", "apart", "first"}:
        return _not_yet('Give all three: {"cheapest": ..., "apart": ..., "first": ...}.')
    if ... in answer.values():
        return _not_yet("Replace the dots by letters, and by one of sampler, denoiser, vae.")
    size = SAMPLERS["a"]["brains"]
    fair = {k: row for k, row in SAMPLERS.items() if "calls" in row and row["brains"] == size}
    (apart,) = (k for k, row in SAMPLERS.items() if row["brains"] != size)
    good = {k: row for k, row in fair.items() if row["distance"] <= SAMPLERS["a"]["interval"][1]}
    if answer["apart"] != apart:
        return _not_yet("apart: a distance depends on how many brains it was taken from.")
    if answer["cheapest"] == apart:
        return _not_yet(f"cheapest: {apart} looks good because of its many brains.")
    if answer["cheapest"] != min(good, key=lambda k: good[k]["seconds"]):
        return _not_yet(
            "cheapest: of those below the upper end of a's interval the one with the fewest seconds."
        )
    if answer["first"] != "vae":
        return _not_yet("first: how far are real slices once the VAE has rebuilt them? And how far is a?")
    return Verdict(True, "What the VAE blurs no sampler brings back, and no denoiser either.")


@_verdict
def switch_effect(answer: Callable) -> Verdict:
    """Chapter 15: ``answer(rows, switch, score)`` is the mean with the switch minus the mean without it."""
    if not callable(answer):
        return _not_yet("Pass the function itself: check.switch_effect(my_effect).")
    draw = torch.Generator().manual_seed(15)
    names = ("AdaGN", "prior", "dropout")
    rows = []
    for number in range(8):
        on = {name: bool(number >> bit & 1) for bit, name in enumerate(names)}
        luck = 3 * torch.randn((), generator=draw, dtype=torch.float64).item()
        rows.append(on | {"mse": 100 + 7 * on["AdaGN"] - 20 * on["prior"] + luck, "mae": luck})

    def expected(switch, score):
        return sum((1 if r[switch] else -1) * r[score] for r in rows) / 4

    right = expected("prior", "mse")
    found = answer(rows, "prior", "mse")
    if found is None or found is ...:
        return _not_yet("Replace the dots in the function by the effect.")
    found = float(found)
    if math.isclose(found, right, rel_tol=1e-6):
        if not math.isclose(float(answer(rows, "AdaGN", "mae")), expected("AdaGN", "mae"), rel_tol=1e-6):
            return _not_yet("Right for one switch and one score. Another pair of them comes out wrong.")
        return Verdict(
            True, f"{right:.1f} on a made-up table of eight rows, where −20 was put in and luck added."
        )
    if math.isclose(found, -right, rel_tol=1e-6):
        return _not_yet("The sign: with the switch, minus without it.")
    if math.isclose(found, right / 2, rel_tol=1e-6):
        return _not_yet(
            "Half of it. Every row has its sign, and half of the rows have each: divide by n/2, not n."
        )
    if math.isclose(found, 4 * right, rel_tol=1e-6):
        return _not_yet("That is a difference of sums. Of what are there as many as pairs?")
    return _not_yet(f"On a made-up table it gives {found:.2f}; {right:.2f} would be right.")


# By the paper's MAE, beyond 2.5 times the luck of its Table 1.
BEYOND_LUCK = {"G regression", "modality dropout", "T1 & T2 prior"}
SWITCHES_OF_TABLE_1 = {"G regression", "modality dropout", "T1 & T2 prior", "AdaGN"}


@_verdict
def beyond_luck(answer) -> Verdict:
    """Chapter 15: the switches whose effect on the paper's MAE is more than 2.5 times the luck."""
    found = {answer} if isinstance(answer, str) else set(answer)
    if not found <= SWITCHES_OF_TABLE_1:
        return _not_yet(f"A set of names out of {sorted(SWITCHES_OF_TABLE_1)}.")
    if found == BEYOND_LUCK:
        return Verdict(True, "And of AdaGN the sixteen rows cannot say it, by this score.")
    if not BEYOND_LUCK <= found:
        return _not_yet("One is missing. A switch that lowers MAE has an effect as well.")
    return _not_yet('Too many. of_switches(paper, "mae") has the effects and the luck; mind the 2.5.')


@_verdict
def same_scans(answer: Callable) -> Verdict:
    """Chapter 15: ``answer(maps, gain)`` are maps whose scans are ``gain`` times those of ``maps``."""
    if not callable(answer):
        return _not_yet("Pass the function itself: check.same_scans(my_maps).")
    maps = torch.tensor([0.7, 0.8, 1.0, 0.85, 1.4, 4.0, 0.07, 0.085, 2.0]).reshape(3, 1, 3)
    given, gain = maps.clone(), 1.25
    found = answer(given, gain)
    if found is None or found is ...:
        return _not_yet("Replace the dots in the function by the maps.")
    if not isinstance(found, Tensor) or found.shape != maps.shape:
        return _not_yet("Expected maps of the same shape, [3, H, W].")
    if torch.allclose(found, maps / torch.tensor([gain, 1, 1])[:, None, None]):
        return _not_yet("The other way round: with a gain above 1 the scans are brighter.")
    if torch.allclose(found, maps * gain):
        return _not_yet("Then T1 and T2 change as well, and with them the contrast.")
    usual = [Acquisition.usual(name) for name in ("mprage", "spin_echo", "flair")]
    off = max((signal(found, a) - gain * signal(maps, a)).abs().max().item() for a in usual)
    if off < 1e-4:
        return Verdict(True, "Every signal is proportional to PD, so a common gain is a PD in other units.")
    return _not_yet("Scan your maps: they are not as bright as the others times the gain.")


@_verdict
def break_even(answer: numbers.Real) -> Verdict:
    """Chapter 15: the share of patients without T1w from which a run that practised is better on average."""
    found = float(answer)
    right = 2.0 / (2.0 + 11.2)
    if math.isclose(found, right, abs_tol=0.004):
        return Verdict(True, f"{right:.0%}: above it, what the few gain outweighs what all the others pay.")
    if math.isclose(found, 2.0 / 11.2, abs_tol=0.004):
        return _not_yet("Nearly. Who lacks T1w does not pay the price for having it.")
    if math.isclose(found, 1 - right, abs_tol=0.004) or math.isclose(found, 100 * right, abs_tol=0.4):
        return _not_yet("As a share of patients *without* T1w, between 0 and 1.")
    return _not_yet("p · 8.2 + (1 − p) · 29.4 for the one run. And for the other? Where are they equal?")


@_verdict
def widened(answer: Callable) -> Verdict:
    """Chapter 15: ``answer(errors, said)`` is √mean((error/SD)²)."""
    if not callable(answer):
        return _not_yet("Pass the function itself: check.widened(my_factor).")
    draw = torch.Generator().manual_seed(15)
    said = 0.01 + 0.05 * torch.rand(500, generator=draw, dtype=torch.float64)
    errors = 2 * said.sqrt() * torch.randn(500, generator=draw, dtype=torch.float64)
    found = answer(errors, said)
    if found is None or found is ...:
        return _not_yet("Replace the dots in the function by the factor.")
    found = float(found)
    z = errors / said
    slips = {
        float(z.square().mean()): "That is the factor for the variances. The bars are standard deviations.",
        float(z.abs().mean()): "The mean of the ratios' sizes. Square first, take the root last.",
        float((errors.square().mean() / said.square().mean()).sqrt()): "Divide in each place, then average.",
        float(z.mean()): "Errors of both signs cancel. Square them first.",
        float(z.square().mean() ** -0.5): "That would narrow them: it stands on its head.",
    }
    if math.isclose(found, float(z.square().mean().sqrt()), rel_tol=1e-4):
        return Verdict(True, "After multiplying, error over standard deviation has a mean square of 1.")
    for slip, hint in slips.items():
        if math.isclose(found, slip, rel_tol=1e-4):
            return _not_yet(hint)
    return _not_yet(
        f"On made-up errors it gives {found:.3g}; check the mean square of error over standard deviation."
    )


from ._new_02 import error_budget  # noqa: E402, F401
