"""Chapter 00: one brain in a minute."""

from __future__ import annotations

import math

from .verdict import Verdict, checked, not_yet, number

__all__ = ["synthetic_scan"]


@checked
def synthetic_scan(answer: float) -> Verdict:
    """Chapter 00: the inversion time at which grey matter (T1 1.45 s) is dark, at a TR of 3 s.

    Args:
        answer: TI in seconds; within 0.02 s is right.
    """
    t1, tr, found = 1.45, 3.0, number(answer, "one time in seconds")
    # 1 − 2 E(TI) + E(TR) = 0
    null = -t1 * math.log((1 + math.exp(-tr / t1)) / 2)
    if abs(found - null) <= 0.02:
        return Verdict(True, "There grey matter's magnetisation is just crossing zero.")
    if not 0 < found < tr:
        return not_yet(f"An inversion time in seconds lies between 0 and TR, {tr:g} s.")
    if math.isclose(found, t1 * math.log(2), abs_tol=0.01):
        return not_yet("T1·ln 2 is the answer for a very long TR. In 3 s grey matter does not recover fully.")
    side = "still upside down" if found < null else "already above zero"
    return not_yet(f"At {found:.3g} s grey matter is {side}.")
