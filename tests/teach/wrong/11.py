"""Chapter 11: wrong answers; those whose slip the hint must name, with a word of it; other right ones."""

import math


def _growth(levels):
    before, here, after = (0.5 * math.log(a / (1 - a)) for a in levels)
    return (after - here) / (here - before)


def _dpm(x, guess, levels):
    _, a, a_next = levels
    r = ((1 - a_next) / (1 - a)) ** 0.5
    return r * x + (a_next**0.5 - r * a**0.5) * guess


WRONG = {
    "wrong_start": [
        lambda m, s, a: m,
        lambda m, s, a: 0.0,
        lambda m, s, a: a**0.5 * m,
        lambda m, s, a: m * (1 - a**0.5),
        lambda m, s, a: m * (1 - s * a**0.5),
        lambda m, s, a: m - a**0.5 * m / (a * s**2 + 1 - a) ** 0.5,
        lambda m, s, a: m - s**2 * a**0.5 * m / (a * s**2 + 1 - a),
        lambda m, s, a: m + s * a**0.5 * m / (a * s**2 + 1 - a) ** 0.5,
        lambda m: m,
    ],
    "velocity_from_noise": [
        lambda eps, x_t, a: (x_t - (1 - a) ** 0.5 * eps) / a**0.5,
        lambda eps, x_t, a: a**0.5 * eps - (1 - a) ** 0.5 * x_t,
        lambda eps, x_t, a: ((1 - a) ** 0.5 * x_t - eps) / a**0.5,
        lambda eps, x_t, a: eps - (1 - a) ** 0.5 * x_t,
        lambda eps, x_t, a: (eps - (1 - a) ** 0.5 * x_t) / a,
        lambda eps, x_t, a: a * eps - (1 - a) * (x_t - (1 - a) ** 0.5 * eps) / a**0.5,
        lambda eps, x_t, a: eps,
    ],
    "two_networks": [
        {"Eq. 8": "a", "x0": "b", "v": "a", "min-SNR": "a"},
        {"Eq. 8": "b", "x0": "a", "v": "b", "min-SNR": "a"},
        {"Eq. 8": "a", "x0": "b", "v": "b", "min-SNR": "b"},
        dict.fromkeys(("Eq. 8", "x0", "v", "min-SNR"), "a"),
        dict.fromkeys(("Eq. 8", "x0", "v", "min-SNR"), "c"),
        {"Eq. 8": "a"},
    ],
    "dpm_step": [
        lambda x, x0, b, *levels: x0,
        lambda x, x0, b, *levels: _dpm(x, x0, levels),
        lambda x, x0, b, *levels: _dpm(x, x0 + 0.5 * (x0 - b), levels),
        lambda x, x0, b, *levels: _dpm(x, x0 + _growth(levels) * (x0 - b), levels),
        lambda x, x0, b, *levels: _dpm(x, x0 + 0.5 / _growth(levels) * (x0 - b), levels),
        lambda x, x0, b, *levels: _dpm(x, x0 - 0.5 * _growth(levels) * (x0 - b), levels),
        lambda x: x,
    ],
}
NAMED = {
    "wrong_start": [
        (lambda m, s, a: a**0.5 * m, "at the start"),
        (lambda m, s, a: m * (1 - a**0.5), "s = 1"),
    ],
    "velocity_from_noise": [(lambda eps, x_t, a: eps, "For ε")],
    "dpm_step": [
        (lambda x, x0, b, *levels: x0 + 0.5 * _growth(levels) * (x0 - b), "Make the step"),
        (lambda x, x0, b, *levels: _dpm(x, x0, levels), "DDIM"),
    ],
    "two_networks": [({"Eq. 8": "a", "x0": "b", "v": "b", "min-SNR": "b"}, "v:")],
}
RIGHT = {"two_networks": [{"Eq. 8": "A", "x0": "B", "v": "A", "min-SNR": "B"}]}
