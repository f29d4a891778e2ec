"""Chapter 10: looking real."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from physldm.data import example_maps
from physldm.evaluation.perceptual import perceptual_distance
from physldm.physics import Acquisition, signal

from .verdict import NO_ROUNDING, Verdict, checked, checked_function, not_yet, number, numbers, rounded

__all__ = [
    "adversarial_losses",
    "best_edge",
    "layers_to_keep",
    "opposite_order",
    "receptive_field",
    "sharp_slice",
]


@checked
def best_edge(answer: Mapping[str, Sequence[float]]) -> Verdict:
    """Chapter 10: the best guess for an edge that begins at voxel 8, 9 or 10, with chances 0.4, 0.35 and 0.25.

    Args:
        answer: ``{"squares": [...], "absolute": [...]}``: brightness (0 to 1) of voxels 7, 8, 9 and 10 under
            the squared and under the absolute error.
    """
    if not isinstance(answer, Mapping) or set(answer) != {"squares", "absolute"}:
        return not_yet('Give both: {"squares": [...], "absolute": [...]}, four numbers each.')
    four = "four numbers each, for the voxels 7, 8, 9 and 10"
    found = {name: numbers(values, four, n=4) for name, values in answer.items()}
    right = {"squares": (0, 0.4, 0.75, 1), "absolute": (0, 0, 1, 1)}

    def same(values, expected):
        return all(math.isclose(a, b, abs_tol=1e-6) for a, b in zip(values, expected, strict=True))

    if all(same(found[name], right[name]) for name in right):
        return Verdict(
            True, "Squares ask for the mean, a ramp; absolute errors for the median, an edge again."
        )
    if same(found["squares"], right["absolute"]) and same(found["absolute"], right["squares"]):
        return not_yet("The two have changed places.")
    if same(found["squares"], (1, 0.6, 0.25, 0)):
        return not_yet("That is the chance of being dark. The edge goes from dark to bright.")
    if same(found["squares"], (0, 0.4, 0.35, 0.25)):
        return not_yet("Voxel 9 is bright where the edge is at 9, and also where it is at 8.")
    if not same(found["squares"], right["squares"]):
        return not_yet("Squares: in each voxel the mean of what it may be. How often is voxel 8 bright?")
    return not_yet("Absolute: the median. What is voxel 8 in more than half of the cases?")


def sharp_slice() -> Float[Tensor, "112 80"]:
    """A T2-weighted slice of the average brain, for :func:`opposite_order`.

    Returns:
        Signal ``[112, 80]`` in scanner units, 2 mm a voxel.
    """
    return 1000 * signal(example_maps(2)[0], Acquisition("spin_echo", te=0.1, tr=3.2))


@checked
def opposite_order(answer: tuple[Tensor, Tensor]) -> Verdict:
    """Chapter 10: two spoiled copies of :func:`sharp_slice`, of which MSE prefers the first and LPIPS the second.

    Args:
        answer: two pictures ``[112, 80]`` in scanner units: the first with at most half the MSE of the
            second, and at least twice its LPIPS.
    """
    picture = sharp_slice()
    one, other = (torch.as_tensor(image, dtype=torch.float32) for image in answer)
    if one.shape != picture.shape or other.shape != picture.shape:
        sizes = f"{tuple(one.shape)} and {tuple(other.shape)}"
        return not_yet(f"Found pictures of {sizes}, expected {tuple(picture.shape)}.")
    mse = [float((image - picture).square().mean()) for image in (one, other)]
    data_range = float(picture.quantile(0.995))
    lpips = perceptual_distance(
        torch.stack([one, other]), picture.expand(2, -1, -1), data_range=data_range
    ).tolist()
    said = f"MSE {mse[0]:.0f} and {mse[1]:.0f}, LPIPS {lpips[0]:.3f} and {lpips[1]:.3f}."
    if mse[0] <= mse[1] / 2 and lpips[0] >= 2 * lpips[1] > 0:
        return Verdict(True, said)
    if mse[1] <= mse[0] / 2 and lpips[1] >= 2 * lpips[0] > 0:
        return not_yet(f"{said} The right two, in the other order.")
    return not_yet(f"{said} What did the table say of a blur, and of a shift?")


@checked_function("the two losses")
def adversarial_losses(answer: Callable) -> Verdict:
    """Chapter 10: what the critic learns by, and what the network that it judges learns by.

    Args:
        answer: function of the verdicts on real ``[n]`` and on made pictures ``[m]``; returns (the critic's
            loss, the network's loss).
    """
    for verdicts in (([0.9, 0.4, 1.2], [0.3, -0.1, 0.6, 0.2]), ([0.2, 0.7], [1.1, 0.4, 0.5])):
        real, made = (torch.tensor(v, dtype=torch.float64) for v in verdicts)
        found = numbers(answer(real, made), "two numbers: the critic's loss, the network's loss")
        real_to_one, to_one = (sum((x - 1) ** 2 for x in v) / len(v) for v in verdicts)
        real_to_zero, to_zero = (sum(x**2 for x in v) / len(v) for v in verdicts)
        right = (0.5 * real_to_one + 0.5 * to_zero, to_one)
        if all(map(_same, found, right)):
            continue
        if all(_same(f, r) or rounded(f, r) for f, r in zip(found, right, strict=True)):
            return not_yet(NO_ROUNDING)
        critic, network = found
        slips = {
            "The two have changed places: first the critic's.": found == right[::-1]
            or all(map(_same, found, right[::-1])),
            "The critic's loss lacks its halves.": _same(critic, 2 * right[0]),
            "This critic calls what is real made, and what is made real.": _same(
                critic, 0.5 * real_to_zero + 0.5 * to_one
            ),
            f"The critic's loss is {critic:.4g} for real {verdicts[0]} and made {verdicts[1]}.": not _same(
                critic, right[0]
            ),
            "The network wants its pictures to be taken for real, that is for 1.": _same(network, to_zero),
        }
        otherwise = f"The network's loss is {network:.4g} for made {verdicts[1]}."
        return not_yet(next((hint for hint, is_it in slips.items() if is_it), otherwise))
    return Verdict(True, "One pulls the verdict on what is made to 0, the other to 1.")


def _same(found: float, right: float) -> bool:
    return math.isclose(found, right, rel_tol=1e-6)


def _field(layers: Sequence[tuple[int, int]]) -> int:
    """How many voxels a side one output sees, by counting them."""
    seen = {0}  # of one output, back to the picture
    for kernel, stride in reversed(layers):
        seen = {place * stride + i for place in seen for i in range(kernel)}
    return len(seen)


@checked_function("the number of voxels")
def receptive_field(answer: Callable) -> Verdict:
    """Chapter 10: how many voxels a side one output of the last layer sees.

    Args:
        answer: function of a list of (kernel, stride), from the picture on; returns a whole number.
    """
    for layers in ([(4, 2)] * 3 + [(4, 1)] * 2, [(3, 1)] * 3, [(7, 2), (3, 3), (5, 1)], [(5, 3)]):
        found = number(answer(layers), "one number from your function")
        if found == _field(layers):
            continue
        slips = {
            "A stride makes every later step worth several voxels.": 1
            + sum(kernel - 1 for kernel, _ in layers),
            "Neighbouring outputs of a layer share what they see.": math.prod(kernel for kernel, _ in layers),
            "A stride acts on the layers after it, not on its own.": 1
            + sum((k - 1) * stride for k, stride in layers),
        }
        otherwise = "Begin with one output and go back, layer by layer, from the last to the first."
        hint = next((hint for hint, slip in slips.items() if found == slip), otherwise)
        return not_yet(f"{layers}: {found:g}. {hint}")
    return Verdict(True, "70 for the critic of this chapter.")


@checked
def layers_to_keep(answer: int) -> Verdict:
    """Chapter 10: how many layers of (4, 2) may stand before two of (4, 1), if a verdict sees at most 40 voxels.

    Args:
        answer: the largest number of layers, whole.
    """
    found = number(answer, "a whole number")
    if found != int(found) or not 0 <= found <= 10:
        return not_yet("Give a whole number of layers.")
    fields = [_field([(4, 2)] * n + [(4, 1)] * 2) for n in range(int(found) + 2)]
    if fields[int(found)] > 40:
        return not_yet(f"With {found:g} a verdict sees {fields[int(found)]} voxels.")
    if fields[-1] <= 40:
        return not_yet(
            f"{found:g} see {fields[int(found)]} voxels. One more sees {fields[-1]}, and that will do."
        )
    return Verdict(True, f"{found:g} see {fields[int(found)]} voxels, one more {fields[-1]}.")
