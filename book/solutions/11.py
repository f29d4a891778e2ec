"""Solutions of chapter 11, one function an exercise."""

import math

from physldm.teach import check


def wrong_start(m, s, alpha_bar):
    spread = math.sqrt(alpha_bar * s**2 + 1 - alpha_bar)
    return m - s / spread * math.sqrt(alpha_bar) * m


def velocity_from_noise(eps, x_t, alpha_bar):
    a, s = alpha_bar**0.5, (1 - alpha_bar) ** 0.5
    x0 = (x_t - s * eps) / a
    return a * eps - s * x0


def two_networks():
    snr = {"SNR 50": 50, "SNR 0.5": 0.5}
    weights = {
        "Eq. 8": snr,
        "x0": dict.fromkeys(snr, 1),
        "v": {level: value + 1 for level, value in snr.items()},
        "min-SNR": {level: min(value, 5) for level, value in snr.items()},
    }

    def loss(network, weight):
        errors = check.TWO_NETWORKS[network]
        return sum(weight[level] * error for level, error in errors.items())

    return {
        ask: min("ab", key=lambda n: loss(n, w)) for ask, w in weights.items()
    }


def dpm_step(x, x0, x0_before, a_before, a, a_next):
    before, here, after = (
        0.5 * math.log(level / (1 - level)) for level in (a_before, a, a_next)
    )
    h, h_before = after - here, here - before
    guess = x0 + h / (2 * h_before) * (x0 - x0_before)
    r = ((1 - a_next) / (1 - a)) ** 0.5
    return r * x + (a_next**0.5 - r * a**0.5) * guess
