"""Chapter 08: AdaGN."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from physldm.models.encoder import protocol_features
from physldm.physics import Acquisition, AcquisitionBatch

from .verdict import NO_ROUNDING, Verdict, checked, checked_function, each_named, not_yet, number, number_is

__all__ = [
    "NATURES",
    "TOLD",
    "TRIALS",
    "read_features",
    "same_t2w",
    "undo_group_norm",
    "unknown_features",
    "who_listens",
]


@checked
def same_t2w(answer: float) -> Verdict:
    """Chapter 08: the T2 that looks at TE 0.12 s as white matter's 0.070 s does at TE 0.09 s; PD and T1 the same.

    Args:
        answer: T2 in seconds.
    """
    found = number(answer, "one time in seconds")
    slips = {
        "The other way round: a later echo has faded more, unless T2 is longer.": 0.070 * 0.09 / 0.12,
        "The echo comes 0.03 s later, but the signal depends on TE/T2, not on their difference.": 0.070
        + 0.03,
        "With that T2 the later echo is darker.": 0.070,
        "In seconds, please.": 93.33,
    }
    ratio = math.exp(-0.12 / found) / math.exp(-0.09 / 0.070) if found > 0 else 0.0
    return number_is(
        found,
        0.070 * 0.12 / 0.09,  # exp(−0.09/0.070) = exp(−0.12/T2)
        slips,
        praise="TE/T2 is all that counts. That is longer than grey matter's T2, 0.085 s.",
        otherwise=f"With a T2 of {found:.4g} s it is {ratio:.2f} times as bright.",
    )


@checked_function("s and b")
def undo_group_norm(answer: Callable) -> Verdict:
    """Chapter 08: the scale and shift with which AdaGN gives back what its norm took away.

    Args:
        answer: function of h ``[B, C, H, W]`` and the number of groups; returns s and b, ``[B, C]`` each.
    """
    draw = torch.Generator().manual_seed(8)
    for groups in (3, 2):
        scale, shift = torch.rand(2, 2, 6, 1, 1, generator=draw) + torch.tensor([0.5, 3.0]).view(
            2, 1, 1, 1, 1
        )
        h = shift + scale * torch.randn(2, 6, 5, 4, generator=draw)
        s, b = answer(h, groups)
        if tuple(s.shape) != (2, 6) or tuple(b.shape) != (2, 6):
            return not_yet(
                f"s is {list(s.shape)} and b {list(b.shape)}; for h of [2, 6, 5, 4] in {groups} groups expected "
                "[2, 6], one a channel."
            )
        if not torch.allclose(
            s[..., None, None] * F.group_norm(h, groups) + b[..., None, None], h, atol=0.01
        ):
            return not_yet(_slip_of_norm(s, b, h, groups))
    return Verdict(
        True, "What the norm takes away, s and b can put back, if somebody tells them what it was."
    )


def _slip_of_norm(s: Tensor, b: Tensor, h: Tensor, groups: int) -> str:
    grouped, channels = h.reshape(len(h), groups, -1), h.shape[1] // groups
    sd, mean = (x.repeat_interleave(channels, 1) for x in torch.std_mean(grouped, -1, correction=0))
    every_sd, every_mean = torch.std_mean(h.flatten(2), -1, correction=0)
    usual_sd = grouped.std(-1).repeat_interleave(channels, 1)

    def close(x, y, rtol=1e-3):
        return torch.allclose(x.to(y), y, rtol=rtol)

    slips = {
        "s and b have changed places.": close(s, mean) and close(b, sd),
        "Nearly. The norm divides by n, torch's std by n − 1: std(correction=0).": close(s, usual_sd),
        "Those are mean and SD of each channel. The norm took those of each group.": close(s, every_sd)
        and close(b, every_mean),
        "The variance; the norm divides by its root.": close(s, sd.square()),
        "The norm divided by the SD. What undoes that?": close(s, 1 / sd),
        "s is right. What did the norm subtract before it divided?": close(s, sd),
        NO_ROUNDING: close(s, sd, 0.05) and close(b, mean, 0.05),
    }
    otherwise = "s · GroupNorm(h) + b is not h. By what did the norm divide, and what did it subtract?"
    return next((hint for hint, is_it in slips.items() if is_it), otherwise)


TOLD = Acquisition("flair", te=0.12, tr=8.0, ti=2.2)


def unknown_features() -> list[float]:
    """What the encoder was told of the scan ``TOLD``, for :func:`read_features`; its 99.5th percentile was 700.

    Returns:
        Six numbers, to three decimals: ln TE, ln TR, ln TI, all centred; inverts; refocuses; ln of the percentile,
        centred.
    """
    features = protocol_features(AcquisitionBatch.of([[TOLD]]), torch.tensor([[math.log(700.0)]]))
    return [round(x, 3) for x in features[0, 0].tolist()]


@checked
def read_features(answer: Acquisition) -> Verdict:
    """Chapter 08: the acquisition that :func:`unknown_features` tells of.

    Args:
        answer: an acquisition of Eq. 1, times in seconds, to 1 %.
    """
    if not isinstance(answer, Acquisition):
        return not_yet('Give an acquisition: Acquisition("...", te=..., tr=..., ti=...), times in seconds.')
    if answer.sequence != TOLD.sequence:
        return not_yet(
            f"{answer.sequence}: which sequence of Eq. 1 inverts (fourth number) and refocuses (fifth)?"
        )
    for name, at in (("te", 0), ("tr", 1), ("ti", 2)):
        found, true = getattr(answer, name), getattr(TOLD, name)
        if math.isclose(found, true, rel_tol=0.01):
            continue
        if any(math.isclose(found, true * math.exp(k), rel_tol=0.01) for k in (-2, -1, 1, 2, 3)):
            return not_yet(f"{name.upper()}: mind what is added to the logarithm, to centre it.")
        return not_yet(f"{name.upper()} of {found:g} s would be another number in place {at + 1}.")
    return Verdict(True, f"{TOLD}, and its 99.5th percentile was exp(1.051 + 5.5), about 700.")


# Change of T1 in white matter in three trials: the lie, the second scan, the other brain.
TRIALS = {"a": (0, 13, -11), "b": (-11, 0, -11), "c": (0, 0, 0), "d": (0, 0, -11)}
NATURES = {"a": "deaf", "b": "listens", "c": "blind", "d": "guesses"}


@checked
def who_listens(answer: Mapping[str, str]) -> Verdict:
    """Chapter 08: what each network of ``TRIALS`` does.

    Args:
        answer: ``{"a": ..., "b": ..., "c": ..., "d": ...}``, each ``listens``, ``deaf``, ``blind`` or
            ``guesses``.
    """
    hints = {
        "a": "a: it was told, and takes the second scan of one brain for another brain all the same.",
        "b": "b: a lie leads it astray, as far as the equation asks. What does that take?",
        "c": "c: another brain has the same T1 to it.",
        "d": "d: it finds the right T1 in every scan, and a lie does not touch it. Whence does it know the protocol?",
    }
    return each_named(answer, NATURES, hints, "And only one of the four needs AdaGN to be what it is.")
