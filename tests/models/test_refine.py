"""Steps on the code, against codes that are known because the scans were made from them."""

import math
from dataclasses import replace

import pytest
import torch

from physldm.config import load_preset
from physldm.models import PhysicsVAE, refine
from physldm.models.refine import PATIENCE, refined
from physldm.physics import Acquisition, AcquisitionBatch
from physldm.runs import Run

PROTOCOL = [
    Acquisition("mprage", tr=2.0, ti=0.8),
    Acquisition("spin_echo", te=0.08, tr=5.0),
    Acquisition("flair", te=0.12, tr=7.0, ti=2.1),
]
BATCH = AcquisitionBatch.repeat(PROTOCOL, 2)
ALL = torch.ones(2, 3, dtype=torch.bool)
DATA = load_preset("smoke", ["loss.kl=0", "loss.prior=0"]).loss


class Guessing(PhysicsVAE):
    """A VAE whose encoder says what it is told to say of the slice whose FLAIR is most like the one it sees."""

    guess: torch.Tensor
    flair: torch.Tensor
    log_gain: float = 0.0

    def forward(self, images, *arguments):
        said = super().forward(images, *arguments)
        which = torch.cdist(images[:, 2].flatten(1), self.flair.flatten(1)).argmin(1)
        return replace(said, mean=self.guess[which], log_gain=torch.full_like(said.log_gain, self.log_gain))


@pytest.fixture
def toy(untrained_run):
    """A decoder of chance whose maps differ by some 20 % from place to place, codes, and their scans by Eq. 1 in float64."""
    vae = Guessing(Run(untrained_run).config.vae)
    vae.load_state_dict(Run(untrained_run).vae.state_dict())
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        vae.decoder.out.weight *= 0.2 / vae.decoder(torch.randn(2, 4, 14, 10, generator=draw)).std()
    code = torch.randn(2, 4, 14, 10, generator=draw)
    away = 0.3 * torch.randn(2, 4, 14, 10, generator=draw)
    return scanned(vae, code, away)


class Linked(torch.nn.Module):
    """A decoder that says PD and T1 of every 8 × 8 voxels; T2 follows T1. So three scans tell their gains' ratios."""

    def forward(self, z):
        pd, t1 = torch.nn.functional.interpolate(0.2 * z[:, :2], scale_factor=8).unbind(1)
        return torch.stack([pd, t1, t1 / 2], 1)


@pytest.fixture
def linked(toy):
    """The same with a decoder that wrong gains lead astray."""
    vae, code, _, _ = toy
    away, vae.decoder = vae.guess - code, Linked()
    return scanned(vae, code, 2 * away)


def scanned(vae, code, away):
    """VAE, code, maps and scans by Eq. 1 in float64; the encoder's guess is ``away`` from the code."""
    with torch.no_grad():
        pd, t1, t2 = (truth := vae.decode(code)).double().unbind(1)
    scans = [
        pd * (1 - 2 * torch.exp(-0.8 / t1) / (1 + torch.exp(-2.0 / t1))),
        pd * (1 - torch.exp(-5.0 / t1)) * torch.exp(-0.08 / t2),
        pd * (1 - 2 * torch.exp(-2.1 / t1) + torch.exp(-7.0 / t1)) * torch.exp(-0.12 / t2),
    ]
    vae.guess, vae.flair = code + away, scans[2].float()
    return vae, code, truth, torch.stack(scans, 1).float()


def off(vae, code, truth):
    """Median error of PD, T1 and T2, %."""
    with torch.no_grad():
        return 100 * (vae.decode(code) / truth - 1).abs().movedim(1, 0).flatten(1).median(1).values


@pytest.mark.parametrize("gain", [1.0, 2.0])
def test_maps_are_found_from_a_displaced_code(toy, gain):
    vae, _, truth, scans = toy
    vae.log_gain = torch.tensor(gain).log().item()
    found, _ = refined(vae, gain * scans, BATCH, ALL, DATA, 60)
    assert (off(vae, vae.guess, truth) > 3).all() and (off(vae, found, truth) < 0.4).all()


def test_it_ends_at_once_where_the_guess_is_right(toy, monkeypatch):
    vae, code, _, scans = toy
    vae.guess, asked, explain = code, [], vae.explain
    monkeypatch.setattr(vae, "explain", lambda *x: asked.append(1) or explain(*x))
    found, _ = refined(vae, scans, BATCH, ALL, DATA, 100)
    # the encoder's pass, the guess, and as many as it waits
    assert torch.equal(found, code) and len(asked) == 2 + PATIENCE


def test_nothing_but_the_code_is_changed_and_chance_has_no_part(toy):
    vae, _, _, scans = toy
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    start = vae.guess.clone()
    first, _ = refined(vae, scans, BATCH, ALL, DATA, 5)
    torch.manual_seed(7)
    assert torch.equal(first, refined(vae, scans, BATCH, ALL, DATA, 5)[0]) and not torch.equal(first, start)
    assert all(torch.equal(value, before[name]) for name, value in vae.state_dict().items())
    assert torch.equal(vae.guess, start) and all(p.grad is None for p in vae.parameters())


def test_a_slice_takes_its_steps_whoever_is_with_it_and_by_the_scans_that_are_there(toy):
    vae, _, _, scans = toy
    some = torch.tensor([[True, True, True], [True, False, True]])
    both, gains = refined(vae, scans, BATCH, some, DATA, 4)
    assert not gains.any()
    rubbish = scans[1:].clone()
    rubbish[:, 1] = 7000.0
    alone, _ = refined(vae, rubbish, AcquisitionBatch.repeat(PROTOCOL, 1), some[1:], DATA, 4)
    torch.testing.assert_close(both[1:], alone, rtol=0, atol=1e-3)
    everything, _ = refined(vae, rubbish, AcquisitionBatch.repeat(PROTOCOL, 1), ALL[1:], DATA, 4)
    assert (everything - alone).abs().max() > 0.1


@pytest.mark.parametrize("n", range(3))
def test_a_gain_that_is_off_is_found_and_with_it_t1(linked, n):
    vae, _, truth, scans = linked
    log_gain = torch.zeros(3)
    log_gain[n] = math.log(1.1)
    scans = log_gain.exp()[:, None, None] * scans
    believed, told = refined(vae, scans, BATCH, ALL, DATA, 60)
    found, gains = refined(vae, scans, BATCH, ALL, DATA, 60, 0.1)
    true = log_gain - log_gain.mean()
    assert not told.any() and (gains - true).abs().max() < 0.6 * true.abs().max()
    # only ratios can be told: PD keeps the gain that all scans have on the average
    assert gains.sum().abs() < 1e-6
    errors = [off(vae, code, truth)[1] for code in (believed, found)]
    assert errors[1] < max(0.7 * errors[0], 1.0)  # a wrong gain of FLAIR hardly moves it


def test_all_slices_of_a_session_share_their_gains(linked, monkeypatch):
    vae, _, _, scans = linked
    scans = torch.tensor([1.1, 1.0, 1.0])[:, None, None] * scans
    codes, gains = refined(vae, scans, BATCH, ALL, DATA, 8, 0.1)
    monkeypatch.setattr(refine, "AT_ONCE", 1)
    one_by_one, same = refined(vae, scans, BATCH, ALL, DATA, 8, 0.1)
    torch.testing.assert_close(same, gains, rtol=0, atol=1e-4)
    torch.testing.assert_close(one_by_one, codes, rtol=0, atol=2e-3)
    # the second slice's scans are as told: together they say less than the first alone
    scans[1, 0] /= 1.1
    assert 0 < refined(vae, scans, BATCH, ALL, DATA, 8, 0.1)[1][0] < gains[0]


def test_absent_scans_have_no_gain(linked):
    vae, _, _, scans = linked
    some = torch.tensor([[True, False, True]]).expand(2, -1)
    scans = torch.tensor([1.1, 5.0, 1.0])[:, None, None] * scans
    _, gains = refined(vae, scans, BATCH, some, DATA, 8, 0.1)
    assert gains[1] == 0 and gains[0] > 0.01 and gains.sum().abs() < 1e-6
    _, alone = refined(vae, scans, BATCH, torch.tensor([[True, False, False]]).expand(2, -1), DATA, 8, 0.1)
    assert not alone.any()
