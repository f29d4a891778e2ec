"""Scores of missing and of unseen contrasts, against a model whose answers are known."""

import numpy as np
import pytest
import torch

from physldm.data import make_subject
from physldm.data.slices import Batch
from physldm.evaluation import evaluate
from physldm.evaluation.contrasts import EITHER_WAY, UNSEEN, code_shift, gain_field, unseen_psnr
from physldm.evaluation.image import fixed_protocol
from physldm.physics import TISSUES, AcquisitionBatch, flair, signal
from physldm.runs import Run


@pytest.fixture(scope="module")
def subject():
    return make_subject(3, 0, spacing=2, heights=(84, 92))


def test_the_gain_field_is_the_gain_times_a_smooth_field(subject):
    batch = AcquisitionBatch.repeat(subject.acquisitions, 2)
    field = gain_field(subject.clean, subject.maps, batch)
    brain = subject.fractions.sum(1) > 0.5
    assert field[brain].median().item() == pytest.approx(subject.gain[0], rel=0.1)
    for n in range(3):  # it explains every contrast, not only the one it was read from
        rebuilt = field * signal(subject.maps, batch)[:, n]
        torch.testing.assert_close(rebuilt[brain], subject.clean[:, n][brain], rtol=1e-3, atol=0.05)


def test_fat_is_gone_where_its_null_is_promised():
    stir, fat = UNSEEN["STIR-like"], TISSUES["fat"]
    s = flair(*(torch.tensor(x) for x in (fat.pd, fat.t1, fat.t2)), te=0.0, tr=stir.tr, ti=stir.ti)
    assert abs(s) < 0.003 * fat.pd  # a TI 0.01 s off leaves 3 %


def test_unseen_contrasts_of_the_true_maps_are_perfect_and_of_others_worse(subject):
    field = gain_field(subject.clean, subject.maps, AcquisitionBatch.repeat(subject.acquisitions, 2))
    brain = subject.fractions.sum(1) > 0.5
    found = subject.maps.clone()
    found[:, 0] *= field
    assert min(unseen_psnr(found, subject.maps, field, brain).values()) > 100
    found[:, 0] *= 1.1  # a tenth too bright: its PSNR by hand
    for name, value in unseen_psnr(found, subject.maps, field, brain).items():
        true = subject.maps.clone()
        true[:, 0] *= field
        image = signal(true, UNSEEN[name.removeprefix("unseen.psnr.")]).abs()[brain].double()
        expected = 20 * torch.log10(image.quantile(0.995) / (0.1 * image.square().mean().sqrt()))
        assert value == pytest.approx(expected.item(), abs=0.01)


class KnownEncoder:
    """Two numbers a scan: the mean of the image it sees, surely; and five times that plus the TE it is told, less so."""

    log_var = (0.0, 1.5)

    def experts(self, scaled, scale, acquisitions):
        seen = scaled.mean((2, 3))
        mean = torch.stack([seen, 5 * seen + acquisitions.te], -1)[..., None, None]
        log_var = torch.tensor(self.log_var)[:, None, None].expand_as(mean)
        return mean, log_var, torch.zeros_like(scale)


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("contrast", EITHER_WAY)
@pytest.mark.usefixtures("unchecked")
def test_code_shift_is_the_move_over_the_spread_of_slices_where_the_expert_is_sure(
    subject, contrast, told, unchecked
):
    maps = subject.maps * torch.tensor([700.0, 1.0, 1.0])[:, None, None]
    codes = []  # by hand, slice by slice
    for way, taken in enumerate(EITHER_WAY[contrast]):
        te = EITHER_WAY[contrast][way if told else 0].te
        for picture in signal(maps, taken).abs().numpy():
            seen = 2 * np.clip(picture / np.quantile(picture, 0.995), 0, 1).mean() - 1
            codes.append((seen, 5 * seen + te))
    one, other = np.array(codes).reshape(2, len(maps), 2)
    weight = np.exp(-np.array(KnownEncoder.log_var))
    expected = np.sqrt((weight * (one - other) ** 2).sum() / (weight * (one - one.mean(0)) ** 2).sum())
    found = code_shift(KnownEncoder(), maps, told)[f"shift.{contrast}"]
    assert found == pytest.approx(expected, rel=1e-3)


@pytest.mark.usefixtures("unchecked")
def test_the_code_of_an_encoder_that_sees_no_difference_does_not_move(subject, monkeypatch, unchecked):
    maps = subject.maps * torch.tensor([700.0, 1.0, 1.0])[:, None, None]
    same = {contrast: (pair[0], pair[0]) for contrast, pair in EITHER_WAY.items()}
    monkeypatch.setattr("physldm.evaluation.contrasts.EITHER_WAY", same)
    assert set(code_shift(KnownEncoder(), maps).values()) == {0.0}


@pytest.mark.slow
def test_every_subset_is_scored_as_if_the_others_were_not_there(smoke_run):
    run = Run(smoke_run)
    scores = evaluate(run)
    names = {key.split(".")[1] for key in scores if key.startswith("subset.")}
    assert len(names) == 7
    for contrast in ("T1w", "T2w", "FLAIR"):
        whole = scores[f"subset.T1w+T2w+FLAIR.psnr.{contrast}"]
        assert whole == pytest.approx(scores[f"fixed.psnr.{contrast}"], abs=1e-3)
    session = run.store.sessions("heldout")[0]
    slices = run.store.of_session(session)
    batch = run.store.batch(slices)
    rubbish = batch.images.clone()
    rubbish[:, 0] = 5.0
    only = torch.tensor([[False, True, True]] * len(slices))
    with torch.inference_mode():
        out = run.vae(Batch(rubbish, batch.acquisitions, only).images, batch.acquisitions, only)
    clean, fractions = (run.store.array(a, slices) for a in ("clean", "fractions"))
    alone = fixed_protocol(out.reconstruction[:, 0], clean[:, 0], fractions.sum(1) > 0.5)["psnr"]
    others = [s for s in run.store.sessions("heldout") if s != session]
    assert len(others) == 1  # the score is the mean of the two
    assert min(alone, scores["subset.T2w+FLAIR.psnr.T1w"]) > 0
    key = "subset.T2w+FLAIR.psnr.T1w"
    slices = run.store.of_session(others[0])
    batch = run.store.batch(slices)
    only = torch.tensor([[False, True, True]] * len(slices))
    with torch.inference_mode():
        out = run.vae(batch.images, batch.acquisitions, only)
    clean, fractions = (run.store.array(a, slices) for a in ("clean", "fractions"))
    other = fixed_protocol(out.reconstruction[:, 0], clean[:, 0], fractions.sum(1) > 0.5)["psnr"]
    assert scores[key] == pytest.approx((alone + other) / 2, abs=1e-3)
