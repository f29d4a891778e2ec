"""What a check says of an answer, and what all checks do alike.

``checked`` and ``checked_function`` turn whatever an answer does wrong into a hint; ``compare``, ``number_is`` and
``each_named`` find the slip behind a wrong answer.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MORE_DIGITS = "Right as far as it goes, but rounded too soon: give more digits."
NO_ROUNDING = f"{MORE_DIGITS} A function should not round at all."


@dataclass(frozen=True)
class Verdict:
    """Whether an answer is right, and what to say about it.

    Attributes:
        right: the answer is right.
        hint: one or two sentences: praise, or what to look at again.
    """

    right: bool
    hint: str

    def __bool__(self) -> bool:
        return self.right

    def __repr__(self) -> str:
        return f"{'✓ Right.' if self.right else '… Not yet.'} {self.hint}"

    def _ipython_display_(self) -> None:
        """Nothing more: the check has printed it, so that two checks of one cell both speak, and a script too."""


class Hint(Exception):
    """Raised anywhere in a check: the answer is not right yet, and the message says what to look at."""


def not_yet(hint: str) -> Verdict:
    """An answer that is not right yet.

    Args:
        hint: what to look at again.
    """
    return Verdict(False, hint)


def checked(check: Callable[[Any], Verdict]) -> Callable[..., Verdict]:
    """Makes a check of an answer that prints its verdict, returns it, and never raises.

    An unanswered stub becomes an invitation, and whatever an answer does wrong a hint.

    Args:
        check: judges one answer; may raise :class:`Hint`.
    """

    @functools.wraps(check)
    def answered(*given: Any, **named: Any) -> Verdict:
        verdict = _judge(check, given, named)
        print(verdict)
        return verdict

    return answered


def checked_function(asked: str) -> Callable[[Callable[[Callable], Verdict]], Callable[..., Verdict]]:
    """As :func:`checked`, for an answer that is a function; a call of it that still returns dots says so.

    Args:
        asked: what the reader is to put in the place of the dots, such as "the signal".
    """

    def decorate(check: Callable[[Callable], Verdict]) -> Callable[..., Verdict]:
        @checked
        @functools.wraps(check)
        def of_function(answer: Any) -> Verdict:
            if not callable(answer):
                raise Hint(f"Pass the function itself, without calling it: {_named(check)}(my_function).")

            def ask(*args: Any) -> Any:
                if _unanswered(found := answer(*args)):
                    raise Hint(f"Replace the dots in the function by {asked}.")
                return found

            return check(ask)

        return of_function

    return decorate


def _named(check: Callable) -> str:
    return f"check.{getattr(check, '__name__', '…')}"


def _judge(check: Callable, given: tuple, named: Mapping) -> Verdict:
    if named or len(given) > 1:
        return not_yet(f"One answer: put its parts into brackets of their own, {_named(check)}((…, …)).")
    if not given or _unanswered(given[0]):
        return not_yet("Replace the dots by your answer and run the cell again.")
    try:
        return check(given[0])
    except Hint as hint:
        return not_yet(str(hint))
    except Exception as error:  # an answer is a reader's code: anything may happen in it
        return not_yet(f"Your answer stopped with {type(error).__name__}: {error}")


def _unanswered(answer: Any) -> bool:
    """Whether an answer, or a part of it, is still the dots of the stub."""
    if isinstance(answer, Mapping):
        return any(_unanswered(part) for part in answer.values())
    if isinstance(answer, (list, tuple, set, frozenset)):
        return any(_unanswered(part) for part in answer)
    return answer is None or answer is ...


# --- numbers -----------------------------------------------------------------------------------------------------


def number(answer: Any, expected: str = "one number") -> float:
    """One number, whatever type it has.

    Args:
        answer: a number, or an array or tensor of one.
        expected: what the hint asks for.

    Raises:
        Hint: it is something else, or not a number.
    """
    try:
        found = float(answer)
    except (TypeError, ValueError, RuntimeError) as error:
        raise Hint(f"Expected {expected}, found {str(answer)[:60]!r}.") from error
    if math.isnan(found):
        raise Hint(f"Expected {expected}, found NaN.")
    return found


def numbers(answer: Any, expected: str, n: int = 2) -> tuple[float, ...]:
    """Several numbers.

    Args:
        answer: something with ``n`` parts.
        expected: what the hint asks for, such as "two times in seconds: (shortest, longest)".
        n: how many there must be.

    Raises:
        Hint: it is something else.
    """
    if isinstance(answer, (str, Mapping)) or not isinstance(answer, Iterable):
        raise Hint(f"Give {expected}.")
    parts = list(answer)
    if len(parts) != n:
        raise Hint(f"Give {expected}. Found {len(parts)}.")
    return tuple(number(part) for part in parts)


def near(found: float, right: float, within: float | None = None) -> bool:
    """Whether ``found`` is ``right``.

    Args:
        found: a number.
        right: what it should be.
        within: how far off it may be; None for half a unit of the second significant digit of ``right``.
    """
    if within is None:
        within = 0.5 * 10.0 ** (math.floor(math.log10(abs(right))) - 1) if right else 0.0
    return math.isclose(found, right, rel_tol=1e-9, abs_tol=within * (1 + 1e-6))


def rounded(found: float, right: float) -> bool:
    """Whether ``found`` is ``right``, rounded to one or two significant digits."""
    return any(math.isclose(found, float(f"{right:.{n}g}"), rel_tol=1e-6) for n in (1, 2))


def number_is(
    found: float,
    right: float,
    slips: Mapping[str, float],
    *,
    praise: str,
    otherwise: str,
    within: float | None = None,
) -> Verdict:
    """Whether a number is the right one; otherwise the slip that leads to it.

    Args:
        found: the answer.
        right: what it should be.
        slips: hint → the number to which the slip that it names leads.
        praise: said of a right answer.
        otherwise: the hint where no slip fits.
        within: as for :func:`near`.
    """
    if near(found, right, within):
        return Verdict(True, praise)
    if rounded(found, right):
        return not_yet(MORE_DIGITS)
    named = (hint for hint, slip in slips.items() if near(found, slip, within))
    return not_yet(next(named, otherwise))


# --- functions ---------------------------------------------------------------------------------------------------


def compare(
    answer: Callable,
    names: str,
    points: Sequence[tuple],
    right: Callable[..., float],
    slips: Callable[..., Mapping[str, float]],
    praise: str,
    rel_tol: float = 1e-4,
) -> Verdict:
    """Whether a function gives the right number at every point; otherwise the slip that it is.

    Args:
        answer: the reader's function.
        names: what a hint calls its arguments, in order, with a space between.
        points: arguments; more than one, so that a constant is not right.
        right: the right function of the same arguments.
        slips: function of the same arguments: hint → the number to which the slip that it names leads.
        praise: said of a right answer.
        rel_tol: how far off, relative to the right number, is right.
    """
    found = [number(answer(*point), "one number from your function") for point in points]
    expected = [right(*point) for point in points]

    def same(a: float, b: float) -> bool:
        return math.isclose(a, b, rel_tol=rel_tol, abs_tol=1e-9)

    off = [i for i, pair in enumerate(zip(found, expected, strict=True)) if not same(*pair)]
    if not off:
        return Verdict(True, praise)
    if all(rounded(found[i], expected[i]) for i in off):
        return not_yet(NO_ROUNDING)
    tables = [slips(*point) for point in points]
    for hint in tables[0]:
        if all(same(value, table[hint]) for value, table in zip(found, tables, strict=True)):
            return not_yet(hint)
    if len(set(found)) == 1:
        return not_yet(f"It gives {found[0]:.4g}, whatever is passed in.")
    given = ", ".join(f"{name} {value}" for name, value in zip(names.split(), points[off[0]], strict=True))
    return not_yet(f"For {given} it gives {found[off[0]]:.4g}.")


# --- words -------------------------------------------------------------------------------------------------------


def tidy(word: Any) -> str:
    """A label as it is compared: capitals, hyphens, underscores and quotation marks do not count."""
    return re.sub(r"[\s_\-]+", " ", str(word)).strip(" '\"`").casefold()


def letters(answer: Any, among: Collection[str]) -> set[str]:
    """A set of letters, however it was written: ``{"a", "b"}``, ``["a", "b"]`` or ``"ab"``.

    Args:
        answer: the letters.
        among: those that there are.

    Raises:
        Hint: it is something else, or has a letter that there is not.
    """
    if not isinstance(answer, Iterable):
        raise Hint(f'Give letters as a set, such as {{"{min(among)}"}}.')
    found = {tidy(letter) for letter in answer} - {"", ","}
    if odd := found - set(among):
        raise Hint(f"Found {min(odd)!r}; the letters are {', '.join(sorted(among))}.")
    return found


def each_named(answer: Any, right: Mapping[str, str], hints: Mapping[str, str], praise: str) -> Verdict:
    """Whether every letter got its word; otherwise the hint of the first that did not.

    Args:
        answer: letter → word.
        right: letter → the right word; the words are those that the exercise offers.
        hints: letter → what to say where its word is wrong.
        praise: said of a right answer.
    """
    if not isinstance(answer, Mapping) or set(answer) != set(right):
        stub = ", ".join(f'"{letter}": ...' for letter in right)
        return not_yet(f"Name all {len(right)}: {{{stub}}}.")
    words = {tidy(word): word for word in right.values()}
    for letter, word in answer.items():
        if tidy(word) not in words:
            return not_yet(f"{letter}: found {word!r}; say one of {', '.join(sorted(words.values()))}.")
    wrong = [letter for letter in right if tidy(answer[letter]) != tidy(right[letter])]
    return not_yet(hints[wrong[0]]) if wrong else Verdict(True, praise)
