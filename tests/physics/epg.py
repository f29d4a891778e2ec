"""An extended phase graph (Hennig 1991; Weigel 2015), for tests: trains of refocusing pulses at any angle, exactly.

It knows nothing of the package: a state is the Fourier series of the magnetisation over what the crushers turn it by.
"""

import numpy as np


def _pulse(angle, axis):
    """A pulse about an axis (degrees from x) as a map of (F+, F−, Z)."""
    a, p = np.radians(angle), np.exp(1j * np.radians(axis))
    c2, s2, s = np.cos(a / 2) ** 2, np.sin(a / 2) ** 2, np.sin(a)
    return np.array([[c2, p**2 * s2, -1j * p * s],
                     [s2 / p**2, c2, 1j * s / p],
                     [-0.5j * s / p, 0.5j * p * s, np.cos(a)]])  # fmt: skip


def _shifted(state):
    """Half an echo spacing's crusher: F+ one order up, F− one down; order 0 is the same number for both."""
    plus, minus, z = state
    up, down = np.roll(plus, 1, -1), np.roll(minus, -1, -1)
    down[..., -1] = 0
    up[..., 0] = np.conj(down[..., 0])
    return np.stack([up, down, z])


def _relaxed(state, time, t1, t2):
    e1, e2 = np.exp(-time / t1)[:, None], np.exp(-time / t2)[:, None]
    state = state * np.stack([e2, e2, e1])
    state[2, :, 0] += 1 - e1[:, 0]
    return state


def _spoiled(state):
    return state * np.array([0, 0, 1])[:, None, None]


def echoes(t1, t2, *, angles, echo_spacing, tr, ti=None, efficiency=1.0, excitation=90.0, repeats=40):
    """The echoes of a train of pulses about x after an excitation about y, in the steady state: ``[echoes, tissues]``.

    Transverse magnetisation is spoiled before each excitation and inversion; what crushers have wound up along z is
    not.

    Args:
        t1: seconds, ``[tissues]``.
        t2: seconds, ``[tissues]``.
        angles: of the refocusing pulses, degrees.
        echo_spacing: seconds.
        tr: seconds; with an inversion, from one to the next.
        ti: from an inversion to the excitation, seconds.
        efficiency: f; an inversion leaves −f Mz.
        excitation: degrees.
        repeats: how many repetitions until it has settled.
    """
    t1, t2 = np.asarray(t1, float), np.asarray(t2, float)
    state = np.zeros((3, len(t1), 4 * len(angles) + 4), complex)
    state[2, :, 0] = 1.0
    for _ in range(repeats):
        if ti is not None:
            state = _spoiled(state) * -efficiency
            state = _relaxed(state, ti, t1, t2)
        state, found = np.einsum("ij,jtk->itk", _pulse(excitation, 90), _spoiled(state)), []
        for angle in angles:
            state = _shifted(_relaxed(state, echo_spacing / 2, t1, t2))
            state = np.einsum("ij,jtk->itk", _pulse(angle, 0), state)
            state = _shifted(_relaxed(state, echo_spacing / 2, t1, t2))
            found.append(state[0, :, 0])
        state = _relaxed(state, tr - (ti or 0.0) - len(angles) * echo_spacing, t1, t2)
    return np.stack(found)
