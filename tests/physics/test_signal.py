"""Eq. 1 against closed forms in plain float64 arithmetic, limits, a simulated recovery and gradients."""

import math

import pytest
import torch

from physldm.physics import Acquisition, AcquisitionBatch, flair, mprage, signal, spin_echo

exp = math.exp


def column(*values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("t1", [0.3, 0.85, 1.45, 4.2])
@pytest.mark.parametrize("t2", [0.02, 0.08, 1.9])
def test_closed_forms(t1, t2):
    args = column(0.8), column(t1), column(t2)
    se = 0.8 * (1 - exp(-3.2 / t1)) * exp(-0.1 / t2)
    assert spin_echo(*args, te=0.1, tr=3.2).item() == pytest.approx(se, rel=1e-12)
    mp = 0.8 * (1 - 2 * exp(-1.0 / t1) / (1 + exp(-2.4 / t1)))
    assert mprage(*args, tr=2.4, ti=1.0).item() == pytest.approx(mp, rel=1e-12)
    assert mprage(*args, tr=2.4, ti=1.0, te=0.003).item() == pytest.approx(mp * exp(-0.003 / t2), rel=1e-12)
    fl = 0.8 * (1 - 2 * exp(-2.5 / t1) + exp(-9.0 / t1)) * exp(-0.091 / t2)
    assert flair(*args, te=0.091, tr=9.0, ti=2.5).item() == pytest.approx(fl, rel=1e-12, abs=1e-14)


def steady_state(t1, events, period):
    """Mz just before each event, after many periods of exact relaxation towards 1 between instant pulses."""
    mz, seen = 1.0, {}
    for _ in range(200):
        clock = 0.0
        for at, name, pulse in events:
            mz = 1 + (mz - 1) * exp(-(at - clock) / t1)
            seen[name], clock = mz, at
            mz = pulse(mz)
        mz = 1 + (mz - 1) * exp(-(period - clock) / t1)
    return seen


@pytest.mark.parametrize("t1", [0.4, 0.85, 1.45, 4.2])
def test_equations_are_the_steady_state_of_their_pulses(t1):
    invert, saturate, look = (lambda m: -m), (lambda m: 0.0), (lambda m: m)
    one, t = column(1.0), column(t1)
    seen = steady_state(t1, [(0.0, "invert", invert), (1.0, "read", look)], 2.4)
    assert mprage(one, t, one, tr=2.4, ti=1.0).item() == pytest.approx(seen["read"], abs=1e-9)
    seen = steady_state(t1, [(0.0, "read", saturate)], 3.2)
    assert spin_echo(one, t, one * 1e9, te=0.1, tr=3.2).item() == pytest.approx(seen["read"], abs=1e-9)
    seen = steady_state(t1, [(0.0, "invert", invert), (2.5, "read", saturate)], 9.0)
    assert flair(one, t, one * 1e9, te=0.091, tr=9.0, ti=2.5).item() == pytest.approx(seen["read"], abs=1e-9)


def test_nulls():
    t1_mprage, t1_flair = 3.53, 4.36  # where Eq. 1 changes sign at the usual settings
    sign = lambda f, t1: math.copysign(1, f(column(1.0), column(t1), column(1.9)).item())  # noqa: E731
    m = lambda *a: mprage(*a, tr=2.4, ti=1.0)  # noqa: E731
    f = lambda *a: flair(*a, te=0.091, tr=9.0, ti=2.5)  # noqa: E731
    for equation, t1 in ((m, t1_mprage), (f, t1_flair)):
        assert sign(equation, t1 - 0.02) == 1 and sign(equation, t1 + 0.02) == -1


def test_limits_and_gradients_stay_finite():
    pd = torch.tensor([0.0, 1.0, 1.0, 1.0], requires_grad=True)
    t1 = torch.tensor([1.0, 0.0, 1e-6, 1e8], requires_grad=True)
    t2 = torch.tensor([0.1, 0.0, 1e-6, 1e8], requires_grad=True)
    for s in (
        mprage(pd, t1, t2, tr=2.4, ti=1.0),
        spin_echo(pd, t1, t2, te=0.1, tr=3.0),
        flair(pd, t1, t2, te=0.1, tr=9.0, ti=2.5),
    ):
        assert torch.isfinite(s).all()
        assert all(
            torch.isfinite(g).all()
            for g in torch.autograd.grad(s.sum(), (pd, t1, t2), allow_unused=True)
            if g is not None
        )
    assert mprage(*(torch.ones(1) * x for x in (1, 1e-6, 1)), tr=2.4, ti=1.0).item() == 1


def test_short_tr_keeps_its_digits_in_float32():
    pd, t1, t2 = torch.tensor([1.0]), torch.tensor([4.2]), torch.tensor([1e9])
    s = spin_echo(pd, t1, t2, te=1e-6, tr=1e-4).item()
    assert s == pytest.approx(-math.expm1(-1e-4 / 4.2), rel=1e-5)


def test_batch_equals_one_by_one_and_mixes_sequences():
    maps = torch.rand(3, 3, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.1
    a = Acquisition("mprage", tr=2.4, ti=1.0)
    b = Acquisition("spin_echo", te=0.1, tr=3.2)
    c = Acquisition("flair", te=0.091, tr=9.0, ti=2.5)
    rows = [[a, b], [b, c], [c, b]]
    batch = signal(maps, AcquisitionBatch.of(rows))
    assert batch.shape == (3, 2, 5, 4)
    for i, row in enumerate(rows):
        for n, acquisition in enumerate(row):
            torch.testing.assert_close(batch[i, n], signal(maps[i], acquisition), rtol=1e-6, atol=1e-7)


def test_each_subject_of_a_batch_is_scanned_in_its_own_way():
    """One sequence for all, as in most batches, with other times for each."""
    pd, t1, t2 = 0.8, 1.1, 0.08
    maps = torch.tensor([pd, t1, t2], dtype=torch.float64)[None, :, None, None].expand(3, -1, 2, 2)
    times = [(0.08, 3.2), (0.1, 3.2), (0.1, 5.0)]
    rows = [
        [Acquisition("spin_echo", te=te, tr=tr), Acquisition("mprage", tr=tr, ti=te * 8)] for te, tr in times
    ]
    found = signal(maps, AcquisitionBatch.of(rows))[:, :, 0, 0]
    for b, (te, tr) in enumerate(times):
        assert found[b, 0].item() == pytest.approx(pd * (1 - exp(-tr / t1)) * exp(-te / t2), rel=1e-6)
        inverted = 1 - 2 * exp(-te * 8 / t1) / (1 + exp(-tr / t1))
        assert found[b, 1].item() == pytest.approx(pd * inverted, rel=1e-5)


@pytest.mark.usefixtures("unchecked")
def test_wrong_shapes_are_refused(unchecked):
    with pytest.raises(ValueError, match="maps"):
        signal(torch.ones(2, 4, 4), Acquisition("mprage", tr=2.4, ti=1.0))
    with pytest.raises(ValueError, match="maps"):
        signal(torch.ones(2, 3, 4, 4), AcquisitionBatch.repeat([Acquisition("mprage", tr=2.4, ti=1.0)], 3))


def test_reference_values():
    """Computed by hand for PD 1 and a usual MPRAGE: WM at T1 .85 s, GM at 1.4 s."""
    values = [mprage(column(1.0), column(t1), column(1.0), tr=2.4, ti=1.0).item() for t1 in (0.85, 1.4)]
    assert values == pytest.approx([0.418, 0.170], abs=1e-3)


def test_signal_of_a_tissue_by_hand():
    from physldm.physics import tissue_signal

    expected = 0.70 * (1 - math.exp(-3.2 / 0.85)) * math.exp(-0.1 / 0.070)
    assert tissue_signal("wm", Acquisition("spin_echo", te=0.1, tr=3.2)) == pytest.approx(expected, rel=1e-5)
