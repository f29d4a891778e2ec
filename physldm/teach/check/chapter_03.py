"""Chapter 03: tissue."""

from __future__ import annotations

import math

from .verdict import MORE_DIGITS, Verdict, checked, near, not_yet, number, number_is, numbers, rounded

__all__ = ["common_t1", "how_far", "null_range"]


@checked
def null_range(answer: tuple[float, float]) -> Verdict:
    """Chapter 03: the TIs that null white matter in a FLAIR of TR 9 s, for the least and greatest T1 reported.

    Args:
        answer: (shortest, longest) in seconds, to 0.01 s: two digits cannot tell the second from T1·ln 2.
    """
    shortest, longest = numbers(answer, "two times in seconds, (shortest, longest)")
    low, high = (-t1 * math.log((1 + math.exp(-9 / t1)) / 2) for t1 in (0.699, 1.735))
    if shortest > longest:
        return not_yet("The shorter one first.")
    if near(shortest, low, 0.005) and near(longest, high, 0.006):
        return Verdict(True, "A factor of two and a half in T1 is a factor of two and a half in TI.")
    if (near(shortest, low, 0.005) or rounded(shortest, low)) and rounded(longest, high):
        return not_yet(MORE_DIGITS)
    if near(shortest, low, 0.005) and near(longest, 1.735 * math.log(2), 0.004):
        return not_yet("T1·ln 2 is the answer for TR → ∞. For the longer T1 a TR of 9 s is not that long.")
    if near(shortest, 1000 * low, 5) or near(longest, 1000 * high, 10):
        return not_yet("In seconds, please.")
    return not_yet(
        "For T1 0.699 s and 1.735 s, TR 9 s, solve 1 − 2E(TI) + E(TR) = 0. "
        f"Found {shortest:.4g} and {longest:.4g}."
    )


@checked
def how_far(answer: float) -> Verdict:
    """Chapter 03: how far ln T2 of CSF (1.9 s) is from a prior of median 0.1 s and SD 0.5.

    Args:
        answer: a number of standard deviations.
    """
    slips = {
        "The Gaussian is in ln T2. Take logarithms before you subtract.": (1.9 - 0.1) / 0.5,
        "That is the distance in ln T2. How many standard deviations is it?": math.log(19),
        "Divide by the standard deviation; this is multiplied by it.": math.log(19) * 0.5,
        "The prior is in natural logarithms, not in those to base 10.": math.log10(19) / 0.5,
    }
    praise = "Nearly six: for this prior there is no such thing as fluid."
    otherwise = "(ln 1.9 − ln 0.1) over the standard deviation."
    return number_is(number(answer), math.log(19) / 0.5, slips, praise=praise, otherwise=otherwise)


@checked
def common_t1(answer: float) -> Verdict:
    """Chapter 03: T1 of half white matter (0.85 s) and half grey (1.45 s), averaged as logarithms.

    Args:
        answer: T1 in seconds, to 0.01 s: two digits cannot tell it from other means.
    """
    slips = {
        "That is the plain mean. Average the logarithms, then take exp.": (0.85 + 1.45) / 2,
        "That averages the rates, 1/T1. The phantom averages ln T1.": 2 / (1 / 0.85 + 1 / 1.45),
        "That is the logarithm still. Take exp of it.": math.log(0.85 * 1.45) / 2,
    }
    return number_is(
        number(answer, "one time in seconds"),
        math.sqrt(0.85 * 1.45),
        slips,
        praise="The geometric mean, a little below the plain one.",
        otherwise="exp of the mean of ln 0.85 and ln 1.45.",
        within=0.0052,
    )
