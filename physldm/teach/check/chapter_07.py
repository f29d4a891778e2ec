"""Chapter 07: the product of experts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from .verdict import (
    NO_ROUNDING,
    Hint,
    Verdict,
    checked,
    checked_function,
    each_named,
    near,
    not_yet,
    numbers,
    rounded,
    tidy,
)

__all__ = ["FUSED", "fused", "fused_curves", "one_prior", "product_of_present", "product_of_two"]

Gaussian = tuple[float, float]  # mean, variance


def _product(experts: Sequence[Gaussian]) -> Gaussian:
    """On a fine grid, from the densities themselves."""
    x = torch.linspace(-20, 20, 400_001, dtype=torch.float64)
    density = torch.exp(-torch.stack([(x - m) ** 2 / (2 * v) for m, v in experts]).sum(0))
    density = density / density.sum()
    mean = float((x * density).sum())
    return mean, float(((x - mean) ** 2 * density).sum())


def _close(found: float, right: float) -> bool:
    return math.isclose(found, right, rel_tol=1e-3, abs_tol=1e-4)


def _fewer_digits(found: Sequence[float], right: Sequence[float]) -> bool:
    return all(_close(f, r) or rounded(f, r) for f, r in zip(found, right, strict=True))


@checked_function("mean and variance")
def product_of_two(answer: Callable) -> Verdict:
    """Chapter 07: the product of two Gaussians.

    Args:
        answer: function of mean and variance of one and of the other, four numbers; returns (mean, variance).
    """
    for m1, v1, m2, v2 in ((1.0, 0.5, 4.0, 3.0), (-0.4, 2.0, 1.1, 0.8)):
        found = mean, var = numbers(answer(m1, v1, m2, v2), "two numbers, (mean, variance)")
        right = right_mean, right_var = _product([(m1, v1), (m2, v2)])
        if _close(mean, right_mean) and _close(var, right_var):
            continue
        if _fewer_digits(found, right):
            return not_yet(NO_ROUNDING)
        slips = {
            1 / v1 + 1 / v2: "That is the precision, σ⁻². The variance is its inverse.",
            v1 + v2: "Variances do not add here; precisions do.",
            math.sqrt(right_var): "That is the standard deviation, σ. The variance is its square.",
            2 * right_var: "That averages the precisions. They add.",
            1 / (1 + 1 / right_var): "A third vote is in there, of a prior expert. Only two have spoken.",
        }
        for slip, hint in slips.items():
            if _close(var, slip):
                return not_yet(hint)
        if not _close(var, right_var):
            return not_yet(f"For variances {v1} and {v2} the product has another variance than {var:.3g}.")
        if _close(mean, (m1 + m2) / 2):
            return not_yet("A plain average: but the surer expert counts for more.")
        return not_yet(f"The variance is right. The mean is not {mean:.3g}: weigh each mean by σ²/σᵢ².")
    return Verdict(True, "Precisions add; means are weighed by them.")


@checked_function("mean and log variance")
def product_of_present(answer: Callable) -> Verdict:
    """Chapter 07: the product of those experts who are present.

    Args:
        answer: function of means ``[N]``, log variances ``[N]`` and who is present ``[N]``, bool; returns
            (mean, log variance) of the product, two numbers.
    """
    present = torch.tensor([True, False, True])
    for means, variances in (((1.0, 7.0, 3.0), (1.0, 0.5, 0.25)), ((-0.5, 2.0, 0.9), (0.3, 4.0, 0.7))):
        _numbers_of_present(answer, means, variances, present)
        _trace_of_the_absent(answer, means, variances, present)
    sure_mean, sure_joint = _ask(answer, torch.tensor([1.0, 7.0, 3.0]), torch.full((3,), -200.0), present)
    if not (_close(sure_mean, 2.0) and math.isclose(sure_joint, -200 - math.log(2), rel_tol=1e-5)):
        return not_yet(f"At ln σ² = −200 it gives {sure_mean:.4g} and {sure_joint:.4g}: stay in logarithms.")
    return Verdict(True, "No overflow, no NaN, and no trace of who was not there.")


def _ask(answer: Callable, mean: Tensor, log_var: Tensor, present: Tensor) -> tuple[float, float]:
    found_mean, found_log_var = answer(mean, log_var, present)
    return float(found_mean), float(found_log_var)


def _numbers_of_present(answer: Callable, means: Sequence, variances: Sequence, present: Tensor) -> None:
    """Raises a hint where mean or log variance are not those of the first and the last expert."""
    found = mean, joint = _ask(answer, torch.tensor(means), torch.tensor(variances).log(), present)
    experts = list(zip(means, variances, strict=True))
    two = [experts[0], experts[2]]
    right_mean, right_var = _product(two)
    right = math.log(right_var)
    if _fewer_digits(found, (right_mean, right)) and not (_close(mean, right_mean) and _close(joint, right)):
        raise Hint(NO_ROUNDING)
    prior = "ln σ² = 0 is a variance of 1: a prior expert has voted. Absent is a precision of 0."
    slips = {
        "The second number is the variance; return its logarithm.": right_var,
        "The absent expert has voted.": math.log(_product(experts)[1]),
        prior: math.log(_product([*two, (0.0, 1.0)])[1]),
        "The sign: that is the logarithm of the precision.": -right,
        "That is ln σ. Return ln σ².": right / 2,
    }
    for hint, slip in slips.items():
        if _close(joint, slip):
            raise Hint(hint)
    if not _close(joint, right):
        raise Hint(f"The log variance is {joint:.4g}, and {right:.4g} would be right.")
    if not _close(mean, right_mean):
        raise Hint(f"The log variance is right; the mean is {mean:.4g}, not {right_mean:.4g}.")


def _trace_of_the_absent(answer: Callable, means: Sequence, variances: Sequence, present: Tensor) -> None:
    """Raises a hint where NaN or a gradient comes from the absent expert."""
    given = (torch.tensor(means), torch.tensor(variances).log())
    mean, log_var = (torch.where(present, x, torch.nan).requires_grad_() for x in given)
    with_nan = answer(mean, log_var, present)
    if not all(torch.as_tensor(x).isfinite() for x in with_nan):
        raise Hint("With NaN where the scan is absent, NaN comes out: 0 × NaN is NaN.")
    if any(isinstance(x, Tensor) and x.requires_grad for x in with_nan):
        sum(with_nan).backward()
        slopes = [x.grad[1].item() for x in (mean, log_var) if x.grad is not None]
        if any(slopes):  # NaN counts as true
            raise Hint(f"The absent expert gets a gradient of {slopes[0]:g}.")


# Mean and variance of N(0, 1) and N(2, 0.25), fused: precision 1 + 4, half of that, and the mixture's moments.
FUSED = {"a": ("generalised", 1.6, 0.4), "b": ("mixture", 1.0, 1.625), "c": ("product", 1.6, 0.2)}


def fused_curves() -> tuple[Float[Tensor, "401"], dict[str, Float[Tensor, "401"]]]:
    """The three unnamed beliefs of :func:`fused`.

    Returns:
        Places ``[401]`` and the densities there, ``{"a": [401], "b": [401], "c": [401]}``.
    """
    z = torch.linspace(-3, 5, 401)
    curves = FUSED.items()
    return z, {
        k: torch.exp(-((z - m) ** 2) / (2 * v)) / math.sqrt(2 * math.pi * v) for k, (_, m, v) in curves
    }


@checked
def fused(answer: Mapping[str, str]) -> Verdict:
    """Chapter 07: which rule made each of :func:`fused_curves`, and which of the three is too sure of a shared error.

    Args:
        answer: ``{"a": ..., "b": ..., "c": ..., "too sure": ...}``: ``product``, ``generalised`` or
            ``mixture`` for each curve, and the letter of the one that is too sure.
    """
    if not isinstance(answer, Mapping) or set(answer) != {*FUSED, "too sure"}:
        return not_yet('Give all four: {"a": ..., "b": ..., "c": ..., "too sure": ...}.')
    rules = {letter: rule for letter, (rule, *_) in FUSED.items()}
    hints = {
        "a": "a and c share their mean. In which of the two rules do precisions add, not average?",
        "b": "The mixture's mean is the plain average of 0 and 2. Which curve peaks there?",
        "c": "a and c share their mean. In which of the two rules do precisions add, not average?",
    }
    praise = "a: precisions averaged; b: nobody is asked how sure they are; c: precisions added."
    verdict = each_named({letter: answer[letter] for letter in FUSED}, rules, hints, praise)
    if verdict and tidy(answer["too sure"]) not in FUSED:
        return not_yet(f"too sure: found {answer['too sure']!r}; say one of a, b, c.")
    if verdict and tidy(answer["too sure"]) != "c":
        return not_yet("The names are right. Which rule counts the same error twice as if it were two?")
    return verdict


@checked
def one_prior(answer: Gaussian) -> Verdict:
    """Chapter 07: one belief from three posteriors under a standard Gaussian prior, which counts once.

    Args:
        answer: (mean, variance), to two digits.
    """
    found = numbers(answer, "two numbers, (mean, variance)")
    means, precisions = (1.0, 1.2, 1.5), (2.0, 2.5, 4.0)

    def belief(priors: int) -> Gaussian:
        precision = sum(precisions) + priors
        return sum(m * p for m, p in zip(means, precisions, strict=True)) / precision, 1 / precision

    def are(right: Gaussian) -> bool:
        return all(map(near, found, right))

    mean, variance = belief(-2)
    if are((mean, variance)):
        return Verdict(True, "Three copies of the prior went in, two came out.")
    slips = {
        "The second number is the precision. Its inverse is the variance.": (mean, 1 / variance),
        "The second number is the standard deviation. Its square is the variance.": (
            mean,
            math.sqrt(variance),
        ),
        "That is Eq. 3: the prior is in there three times. Once is right.": belief(0),
        "A prior expert is a fourth copy of the prior. Here copies must be taken out.": belief(1),
        "Now the prior is not counted at all. One copy belongs.": belief(-3),
        "One copy is taken out, and N is three. How many are too many?": belief(-1),
    }
    otherwise = "Add the precisions, take away those of the surplus priors; the prior's mean is 0."
    return not_yet(next((hint for hint, slip in slips.items() if are(slip)), otherwise))
