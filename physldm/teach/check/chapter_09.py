"""Chapter 09: a VAE with physics inside."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from .verdict import Hint, Verdict, checked, checked_function, compare, each_named, not_yet, tidy

__all__ = ["KINDS", "THREE_MODELS", "WHICH", "colouring_in", "relative_error", "which_equation"]

WHICH = {"a": "product of experts", "b": "FLAIR", "c": "tissue maps", "d": "AdaGN"}
_LABELS = {
    "eq poe": "product of experts",
    "eq flair": "FLAIR",
    "eq tissue maps": "tissue maps",
    "eq adagn": "AdaGN",
}


@checked
def which_equation(answer: Mapping[str, str]) -> Verdict:
    """Chapter 09: which equation does what on the way through the model.

    Args:
        answer: ``{"a": ..., "b": ..., "c": ..., "d": ...}``, each a name of the exercise's list, or the
            equation's label.
    """
    if isinstance(answer, Mapping) and any(tidy(word).strip("()").isdigit() for word in answer.values()):
        return not_yet(
            f"Names, please, not numbers, which change when a page is added: {', '.join(_LABELS.values())}."
        )
    hints = {
        "a": "a: which equation has a sum over scans in it?",
        "b": "b: which scan hides fluid?",
        "c": "c: where do T1 and T2 come out of an exponential?",
        "d": "d: who is told TI?",
    }
    if isinstance(answer, Mapping):
        answer = {letter: _LABELS.get(tidy(word), word) for letter, word in answer.items()}
    return each_named(answer, WHICH, hints, "Each part of the figure has its line.")


@checked_function("the mean")
def relative_error(answer: Callable) -> Verdict:
    """Chapter 09: the second mean of eq-recon, the error as a share of what is there.

    Args:
        answer: function of the reconstruction s and the scan x, tensors of one shape, and the floor c, a
            number; returns one number.
    """

    def right(s, x, c):
        return sum(abs(a - b) / (b + c) for a, b in zip(s, x, strict=True)) / len(s)

    def slips(s, x, c):
        both, n = list(zip(s, x, strict=True)), len(s)
        ratio = sum(abs(a - b) for a, b in both) / sum(b + c for _, b in both)
        return {
            "Errors up and down cancel: the bars mean absolute values.": sum(
                (a - b) / (b + c) for a, b in both
            )
            / n,
            "That is the sum over the voxels. The bar means their mean.": right(s, x, c) * n,
            "Without the floor c a voxel of air would divide by zero.": right(s, x, 0),
            "The share is of the scan x, not of the reconstruction.": right(x, s, c),
            "Divide voxel by voxel, then take the mean.": ratio,
            "That is the plain error. Divide it by what is there, x + c.": sum(abs(a - b) for a, b in both)
            / n,
            "That is the first term. The second is not squared.": sum((a - b) ** 2 for a, b in both) / n,
            "Bars, not squares: the share is not squared either.": sum(
                ((a - b) / (b + c)) ** 2 for a, b in both
            )
            / n,
        }

    def ask(s, x, c):
        found = answer(torch.tensor(s), torch.tensor(x), c)
        if isinstance(found, Tensor) and found.numel() > 1:
            raise Hint("That is one number a voxel. The bar in the equation is their mean.")
        return found

    points = [
        ((0.9, 0.25, 0.1), (1.0, 0.05, 0.3), 0.12),
        ((0.7, 0.2, 0.05, 0.6), (0.4, 0.3, 0.01, 0.5), 0.05),
    ]
    bright, dark = (right((x + 0.2,), (x,), 0.12) for x in (1.0, 0.05))
    praise = (
        f"With c = 0.12 an error of 0.2 counts {bright:.2f} where x = 1 and {dark:.2f} where x = 0.05: this mean cares "
        f"for the dark voxel. Squared it is {0.2**2:.2f} in both."
    )
    return compare(ask, "s x c", points, right, slips, praise)


THREE_MODELS = {
    "a": {"wm": (6.9, 6.7), "gm": (4.4, 4.1), "csf": (16.0, 16.3)},
    "b": {"wm": (21.0, 6.7), "gm": (24.5, 4.1), "csf": (48.0, 16.3)},
    "c": {"wm": (1.8, 6.7), "gm": (2.3, 4.1), "csf": (3.9, 16.3)},
}
KINDS = {"a": "colouring", "b": "lost", "c": "tissue"}


@checked
def colouring_in(answer: Mapping[str, str]) -> Verdict:
    """Chapter 09: which of ``THREE_MODELS`` knows tissue, and which only where it is.

    Args:
        answer: ``{"a": ..., "b": ..., "c": ...}``, each ``tissue``, ``colouring`` or ``lost``.
    """
    hints = {k: f"{k}: is it below the class median, near it, or far above?" for k in KINDS}
    praise = "The class median is the yardstick: below it, near it, above it."
    return each_named(answer, KINDS, hints, praise)
