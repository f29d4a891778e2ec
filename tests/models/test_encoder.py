"""What the encoder is told of a scan, written out by hand, and the sizes of what it says."""

import math

import pytest
import torch

from physldm.config import load_preset
from physldm.models import PhysicsVAE
from physldm.models.encoder import REFERENCE, TOLD, Encoder, protocol_effect, protocol_features
from physldm.physics import SEQUENCES, Acquisition, AcquisitionBatch
from physldm.physics.table import sequence

from .cases import CODE, IMAGE

LN = math.log


def test_an_encoder_is_told_each_time_the_kind_of_echo_and_the_brightness():
    row = [
        Acquisition("mprage", te=0.003, tr=2.4, ti=0.9),
        Acquisition("spin_echo", te=0.1, tr=3.2),
        Acquisition("flair", te=0.091, tr=9.0, ti=2.5),
        Acquisition("spgr", te=0.004, tr=0.02, flip_angle=20.0),
        Acquisition("tse", te=0.4578, effective_te=0.1, tr=3.2, echo_spacing=0.00327, train_length=280),
    ]
    brightness = torch.tensor([[300.0, 150.0, 80.0, 20.0, 150.0]])
    found = protocol_features(AcquisitionBatch.of([row]), brightness.log())[0]
    # ln TE + 3, ln TR − 1, ln TI; inverted; refocused; ln of the percentile − 5.5
    expected = [
        [LN(0.003) + 3, LN(2.4) - 1, LN(0.9), 1, 0, LN(300) - 5.5],
        [LN(0.1) + 3, LN(3.2) - 1, 0, 0, 1, LN(150) - 5.5],
        [LN(0.091) + 3, LN(9.0) - 1, LN(2.5), 1, 1, LN(80) - 5.5],
        [LN(0.004) + 3, LN(0.02) - 1, 0, 0, 0, LN(20) - 5.5],
        [LN(0.1) + 3, LN(3.2) - 1, 0, 0, 1, LN(150) - 5.5],  # the TE of its contrast
    ]
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-5, atol=1e-5)


def told(*row: Acquisition, brightness: float = 300.0) -> torch.Tensor:
    batch = AcquisitionBatch.of([row])
    return protocol_effect(batch, torch.full(batch.shape, LN(brightness)))[0]


def test_the_effect_of_a_protocol_is_the_signal_of_each_tissue_over_the_largest():
    tr, ti, te = 9.0, 2.5, 0.09
    signals = [(1 - 2 * math.exp(-ti / t1) + math.exp(-tr / t1)) * math.exp(-te / t2) for t1, t2 in REFERENCE]
    largest = max(map(abs, signals))
    expected = [*(s / largest for s in signals), LN(largest), LN(300 / largest) - 6.5]
    found = told(Acquisition("flair", te=te, tr=tr, ti=ti))[0]
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-5, atol=1e-5)


def test_twice_as_bright_changes_only_the_brightness_that_is_told():
    scan = Acquisition("mprage", tr=2.4, ti=1.0)
    change = told(scan, brightness=600.0) - told(scan)
    assert change[0, :-1].abs().max() == 0 and change[0, -1].item() == pytest.approx(LN(2), rel=1e-5)


def test_what_numbers_do_not_tell_the_effect_does():
    pair = [Acquisition.usual("mprage_readout", flip_angle=angle) for angle in (6.0, 12.0)]
    by_numbers = protocol_features(AcquisitionBatch.of([pair]), torch.zeros(1, 2))[0]
    assert torch.equal(*by_numbers) and (told(*pair)[0] - told(*pair)[1]).abs().max() > 0.05


def test_a_sequence_that_a_reader_adds_is_told_at_once():
    @sequence("saturation recovery", "T1w", {"tr": 1.0})
    def saturation(pd, t1, t2, *, tr):
        return pd * (1 - torch.exp(-tr / t1))

    try:
        found = told(Acquisition.usual("saturation"))[0]
        each = torch.tensor([1 - math.exp(-1 / t1) for t1, _ in REFERENCE])
        torch.testing.assert_close(found[: len(REFERENCE)], each / each.max(), rtol=1e-5, atol=1e-6)
    finally:
        del SEQUENCES["saturation"]


@pytest.mark.parametrize("kind", ("numbers", "effect"))
def test_a_vae_is_told_as_its_settings_say(kind):
    vae = PhysicsVAE(load_preset("smoke", [f"vae.told={kind}"]).vae)
    for norm in (m for m in vae.encoder.modules() if hasattr(m, "scale_and_shift")):
        torch.nn.init.normal_(norm.scale_shift.weight)
    scans = torch.rand(1, 1, 112, 80, generator=torch.Generator().manual_seed(0)) * 300
    pair = [Acquisition.usual("mprage_readout", flip_angle=angle) for angle in (6.0, 12.0)]
    one, other = (vae.encode(scans, AcquisitionBatch.of([[a]]))[0] for a in pair)
    assert torch.equal(one, other) == (kind == "numbers")


@pytest.mark.parametrize("preset", CODE)
def test_a_scan_becomes_a_belief_about_a_code(preset):
    with torch.device("meta"):
        config = load_preset(preset).vae
        told = torch.empty(6, TOLD[config.told][1])
        mean, log_var, log_gain = Encoder(config)(torch.empty(6, 1, *IMAGE[preset]), told)
    assert mean.shape == log_var.shape == (6, *CODE[preset])
    assert log_gain.shape == (6,)
