"""Chapter 11: diffusion."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from .verdict import Verdict, checked, checked_function, compare, each_named

__all__ = ["TWO_NETWORKS", "dpm_step", "two_networks", "velocity_from_noise", "wrong_start"]


@checked_function("the mean")
def wrong_start(answer: Callable) -> Verdict:
    """Chapter 11: the mean of what a perfect sampler makes of N(0, 1), begun at a level that still has data in it.

    Args:
        answer: function of mean m and standard deviation s of a cloud and of ᾱ where the sampler begins;
            returns the mean of the drawn points.
    """

    def below(m, s, a):
        # the middle of the noise lies so many standard deviations below the mean, and keeps its place
        return math.sqrt(a) * m / math.sqrt(a * s**2 + 1 - a)

    def right(m, s, a):
        return m - s * below(m, s, a)

    def slips(m, s, a):
        lost, spread = below(m, s, a), math.sqrt(a * s**2 + 1 - a)
        return {
            "That is the mean it should be. The sampler begins too low: where does x = 0 end?": m,
            "The cloud moves on the way: x = 0 does not stay where it is.": 0.0,
            "How many standard deviations below is right. At the end they have length s.": m - lost,
            "That holds for s = 1 only.": m * (1 - math.sqrt(a)),
            "Standard deviations, not variances, set the scale.": m - s**2 * lost / spread,
            "The noisy cloud has a spread of √(ᾱ s² + 1 − ᾱ), not of 1.": m * (1 - math.sqrt(a) * s),
            "The sign: the noise begins below the mean.": m + s * lost,
            "That is the mean at the start, √ᾱ m, which the sampler should have begun with.": math.sqrt(a)
            * m,
        }

    points = [(2.0, 0.5, 0.3), (-1.0, 3.0, 0.05), (1.5, 0.9, 0.0047)]
    praise = (
        "What is missing at the start is missing at the end, times the shrinking of the cloud. "
        f"For m 1.5, s 0.9, ᾱ 0.0047 it is {right(*points[-1]):.2f}."
    )
    return compare(answer, "m s ᾱ", points, right, slips, praise)


@checked_function("the velocity")
def velocity_from_noise(answer: Callable) -> Verdict:
    """Chapter 11: the velocity of a network that says the noise.

    Args:
        answer: function of ε, x_t and ᾱ_t, numbers; returns v.
    """

    def parts(eps, x_t, a_bar):
        a, s = math.sqrt(a_bar), math.sqrt(1 - a_bar)
        return a, s, (x_t - s * eps) / a

    def right(eps, x_t, a_bar):
        a, s, x0 = parts(eps, x_t, a_bar)
        return a * eps - s * x0

    def slips(eps, x_t, a_bar):
        a, s, x0 = parts(eps, x_t, a_bar)
        return {
            "That is x₀. Put it into the definition of v.": x0,
            "x_t stands where x₀ should.": a * eps - s * x_t,
            "The sign: v points from the data towards the noise.": s * x0 - a * eps,
            "The division by √ᾱ is missing.": eps - s * x_t,
            "Divide by √ᾱ, not by ᾱ.": (eps - s * x_t) / a_bar,
            "The factors are √ᾱ and √(1 − ᾱ).": a_bar * eps - (1 - a_bar) * x0,
        }

    points = [(-1.2, -0.54, 0.36), (0.9, 0.0447, 0.8), (0.3, 0.8, 0.5)]
    praise = "First x₀, then v; or at once (ε − √(1 − ᾱ) x_t)/√ᾱ."
    return compare(answer, "ε x_t ᾱ", points, right, slips, praise, rel_tol=1e-5)


# Mean squared errors of x₀ of two networks, at the level with SNR 50 and at that with SNR 0.5.
TWO_NETWORKS = {"a": {"SNR 50": 0.002, "SNR 0.5": 0.30}, "b": {"SNR 50": 0.004, "SNR 0.5": 0.25}}


@checked
def two_networks(answer: Mapping[str, str]) -> Verdict:
    """Chapter 11: which of ``TWO_NETWORKS`` has the lower loss, by four losses.

    Args:
        answer: ``{"Eq. 8": ..., "x0": ..., "v": ..., "min-SNR": ...}``, each ``a`` or ``b``; γ of min-SNR is
            5.
    """
    weights = {"Eq. 8": (50, 0.5), "x0": (1, 1), "v": (51, 1.5), "min-SNR": (5, 0.5)}
    losses = {
        name: {
            k: sum(w * e for w, e in zip(ws, errors.values(), strict=True))
            for k, errors in TWO_NETWORKS.items()
        }
        for name, ws in weights.items()
    }
    right = {name: min(loss, key=loss.__getitem__) for name, loss in losses.items()}
    how = "multiply each error by the weight of its level, and add. The table of the chapter has the weights."
    hints = {name: f"{name}: {how}" for name in weights}
    said = "; ".join(f"{name}: {loss['a']:.3f} and {loss['b']:.3f}" for name, loss in losses.items())
    return each_named(answer, right, hints, f"Sums for a and b: {said}.")


@checked_function("the step")
def dpm_step(answer: Callable) -> Verdict:
    """Chapter 11: a step of DPM-Solver++(2M) in the middle.

    Args:
        answer: function of x_t, the guess x̂₀ there, the guess before, and ᾱ before, here and next, numbers;
            returns x at the next level.
    """

    def ddim(x, guess, a, a_next):
        eps = (x - a**0.5 * guess) / (1 - a) ** 0.5
        return a_next**0.5 * guess + (1 - a_next) ** 0.5 * eps

    def steps(*levels):
        before, here, after = (0.5 * math.log(level / (1 - level)) for level in levels)
        return here - before, after - here

    def right(x, x0, x0_before, a_before, a, a_next):
        h_before, h = steps(a_before, a, a_next)
        return ddim(x, x0 + h / (2 * h_before) * (x0 - x0_before), a, a_next)

    def slips(x, x0, x0_before, a_before, a, a_next):
        h_before, h = steps(a_before, a, a_next)

        def moved(share):
            return ddim(x, x0 + share * (x0 - x0_before), a, a_next)

        return {
            "That is DDIM: the guess stays where it is.": moved(0),
            "The two steps are not equally long in λ: h/h_b is missing.": moved(0.5),
            "The half is missing: the guess is wanted in the middle of the step.": moved(h / h_before),
            "h and h_b have changed places.": moved(h_before / (2 * h)),
            "The guess went on from the one before to the one here: mind the sign.": moved(
                -h / (2 * h_before)
            ),
            "Measure the steps in λ, not in ᾱ.": moved((a_next - a) / (2 * (a - a_before))),
            "That is the guess gone on. Make the step with it.": x0 + h / (2 * h_before) * (x0 - x0_before),
        }

    points = [(0.8, 0.5, 0.2, 0.1, 0.3, 0.8), (-0.3, 0.1, 0.4, 0.2, 0.5, 0.6)]
    praise = "DDIM, with a guess that has gone on for half a step."
    return compare(answer, "x_t x̂₀ x̂₀-before ᾱ-before ᾱ ᾱ-next", points, right, slips, praise, rel_tol=1e-5)
