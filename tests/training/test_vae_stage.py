"""What a step of the VAE's training is shown and asked for, and that it can be stopped and is blind to the absent."""

import csv
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from physldm.config import load_preset
from physldm.data import make_subject
from physldm.data.slices import Batch, add_session, close_store
from physldm.draws import Step, Who
from physldm.models.losses import vae_loss
from physldm.physics import Acquisition, AcquisitionBatch, signal
from physldm.runs import Run
from physldm.training import train, vae_stage
from physldm.training.vae_stage import draw_step, subsets


@pytest.mark.parametrize("further, singles, pairs", [(0.5, 1000, 1000), (0.0, 0, 2000), (0.25, 500, 1500)])
def test_subsets_leave_out_one_scan_or_more(further, singles, pairs):
    draw, mask = torch.Generator().manual_seed(0), torch.tensor([[True, True, True]] * 6000)
    left = subsets(mask, further, draw)
    counts = torch.bincount((left * torch.tensor([1, 2, 4])).sum(1), minlength=8)
    assert counts[0] == counts[7] == 0  # five standard deviations:
    assert (counts[[1, 2, 4]] - singles).abs().max() < 160 and (counts[[3, 5, 6]] - pairs).abs().max() < 190
    mask = torch.tensor([[True, False, True], [False, True, False]] * 100)
    left = subsets(mask, further, draw)
    assert not (left & ~mask).any() and (left.sum(1) == 1).all()


def test_a_second_decoding_sees_some_scans_and_is_asked_for_the_others(smoke_run):
    run = Run(smoke_run)
    config = load_preset("smoke", ["augment.subsets=0.5", "vae_stage.batch=4"])
    drawn = draw_step(run.store, config, Step(3, Who.VAE, 7))
    assert drawn.rows == [0, 1, 2, 3, 0, 1]
    assert drawn.given[:4].all() and torch.equal(drawn.weight[:4], torch.ones(4, 3))
    assert not drawn.given[4:].all(1).any() and torch.equal(drawn.weight[4:] > 0, ~drawn.given[4:])
    assert drawn.weight[4:].sum().item() == pytest.approx(6)  # as much as two slices that are asked for all
    assert torch.equal(drawn.targets, drawn.images[drawn.rows])  # one study's scans have one gain
    assert torch.equal(drawn.asked.te, drawn.acquisitions.te[drawn.rows])
    with torch.inference_mode():
        output, targets, weight = drawn.through(run.vae)
        for m, row in enumerate(drawn.rows):  # the same as if that slice and those scans had come alone
            one = slice(row, row + 1)
            alone = run.vae(
                drawn.images[one], drawn.acquisitions[one], drawn.given[m : m + 1], drawn.noise[m : m + 1]
            )
            assert torch.allclose(alone.maps[0], output.maps[m], rtol=1e-3)
            assert torch.allclose(alone.reconstruction[0], output.reconstruction[m], rtol=1e-3, atol=0.1)
    assert torch.equal(targets, drawn.targets) and torch.equal(weight, drawn.weight)


@pytest.fixture(scope="module")
def brains(tmp_path_factory):
    """A store of two brains that nobody has scanned, of four slices each."""
    folder, heights = tmp_path_factory.mktemp("brains"), (76, 84, 92, 100)
    for number in range(2):
        subject = make_subject(0, number, spacing=2, heights=heights)
        arrays = {name: getattr(subject, name).numpy() for name in ("maps", "fractions")}
        add_session(folder, f"sub-{number}", subject=f"{number}", source="", acquisitions=None, arrays=arrays,
                    heights=heights)  # fmt: skip
    return close_store(folder, {"sub-0": "train", "sub-1": "train"}, spacing=2, fingerprint="")


BRAINS = ["data.protocols=any", "data.noise=0", "vae_stage.batch=4", "augment.subsets=0.5"]


def brightness(images, acquisitions, maps):
    """Images over the signal of their maps, ``[B, N, H W]``: gain times the coil's field; nan where it is weak in one."""
    exact = signal(maps, acquisitions).abs().flatten(2)
    weak = (exact < 0.1 * exact.amax(2, keepdim=True)).any(1, keepdim=True)
    return (images.flatten(2) / exact).masked_fill(weak, torch.nan)


def apart(a, b):
    """Of two such the ratio of each pair of images, ``[B, N]``, the same everywhere."""
    ratio = a / b
    middle = ratio.nanmedian(2).values
    off = (ratio / middle[..., None] - 1).abs()
    assert off[~off.isnan()].max() < 1e-3 and not middle.isnan().any()
    return middle


def drawn_and_maps(brains, changes, number):
    config, step = load_preset("smoke", [*BRAINS, *changes]), Step(3, Who.VAE, number)
    drawn = draw_step(brains, config, step)
    maps = brains.array("maps", brains.slices("train")[step.batch(8, 4)])
    # mirrored or not: the one whose brain lies where the images have theirs
    wrong = [((m[:, 0] > 0) != (drawn.images[:, 0] > 0)).sum() for m in (maps, maps.flip(-1))]
    assert min(wrong) == 0
    return drawn, maps if wrong[0] == 0 else maps.flip(-1)


@pytest.mark.parametrize("number", range(4))
def test_brains_are_asked_for_their_scans_as_if_all_had_been_taken_at_one_gain(brains, number):
    drawn, maps = drawn_and_maps(brains, [], number)
    assert drawn.rows == [0, 1, 2, 3, 0, 1] and drawn.weight[4:].sum().item() == pytest.approx(6)
    own = brightness(drawn.targets, drawn.asked, maps[drawn.rows])
    torch.testing.assert_close(apart(own, own[:, :1]), torch.ones(6, 3), rtol=1e-4, atol=0)
    gain = apart(brightness(drawn.images, drawn.acquisitions, maps), own[:4]).log()
    own = gain.abs().amax(1) > 1e-3  # a receiver that is tuned for each scan, SD 0.1; else it is one for all
    assert gain.abs().max() < 0.5 and (gain[own].abs() > 1e-5).all() and (gain[~own].abs() < 1e-5).all()
    with_gain, _ = drawn_and_maps(brains, ["vae.gain=scan"], number)
    assert torch.equal(with_gain.targets, with_gain.images[with_gain.rows])


def test_a_sessions_gain_cannot_tell_of_a_scans_own(brains):
    without, common, each = (
        draw_step(brains, load_preset("smoke", [*BRAINS, f"vae.gain={kind}"]), Step(3, Who.VAE, 1))
        for kind in ("false", "session", "scan")
    )
    assert torch.equal(common.images, without.images) and torch.equal(common.targets, without.targets)
    assert not torch.equal(common.targets, each.targets) and torch.equal(each.targets, each.images[each.rows])


def test_some_brains_are_asked_for_scans_that_were_not_given(brains):
    drawn, maps = drawn_and_maps(brains, ["augment.asked=0.5"], 7)
    asked, given = drawn.asked[:4], drawn.acquisitions
    # no two ways have the same T2w
    assert (asked.contrast_te == given.contrast_te).all(1).tolist() == [True, True, False, False]
    assert not (asked.contrast_te[2:, 1] == given.contrast_te[2:, 1]).any()
    own = brightness(drawn.targets[:4], asked, maps)
    torch.testing.assert_close(apart(own, own[:, :1]), torch.ones(4, 3), rtol=1e-4, atol=0)
    # of the second decodings none: they are asked for what was left out
    assert torch.equal(drawn.asked.tr[4:], given.tr[:2]) and torch.equal(drawn.targets[4:], drawn.targets[:2])
    whole, _ = drawn_and_maps(brains, ["augment.asked=1"], 7)
    assert not (whole.asked.contrast_te[:4, 1] == whole.acquisitions.contrast_te[:, 1]).any()


@pytest.mark.slow
def test_a_training_on_brains_goes_on_to_the_same_numbers(brains, tmp_path, monkeypatch):
    changes = ["vae_stage.steps=6", "vae_stage.checkpoint_steps=2", "precision=32-true", "augment.asked=0.5"]
    config = load_preset("smoke", [*BRAINS, "data.noise=0.01", *changes])
    train(tmp_path / "whole", config, "vae", brains.folder)
    with monkeypatch.context() as patched:
        count = iter(range(4))
        patched.setattr(vae_stage, "vae_loss", lambda *a, **k: (next(count), vae_loss(*a, **k))[1])
        with pytest.raises(StopIteration):
            train(tmp_path / "stopped", config, "vae", brains.folder)
    train(tmp_path / "stopped", config, "vae", brains.folder)
    with monkeypatch.context() as patched:  # every step draws for itself
        patched.setattr(vae_stage, "Ahead", nullcontext)
        train(tmp_path / "plain", config, "vae", brains.folder)
    stopped, plain, whole = (
        load_file(tmp_path / name / "vae.safetensors") for name in ("stopped", "plain", "whole")
    )
    assert all(torch.equal(stopped[k], whole[k]) and torch.equal(plain[k], whole[k]) for k in whole)


def test_some_slices_are_decoded_at_the_mean_of_their_code(smoke_run):
    run = Run(smoke_run)
    changes = ["augment.subsets=0.5", "augment.at_mean=0.5", "vae_stage.batch=4"]
    config = load_preset("smoke", changes)
    drawn = draw_step(run.store, config, Step(3, Who.VAE, 7))
    still = drawn.noise.flatten(1).abs().amax(1) == 0
    assert drawn.rows == [0, 1, 2, 3, 0, 1]
    assert still.tolist() == [True, True, False, False, True, False]  # half of either kind
    with torch.inference_mode():
        output, images, _ = drawn.through(run.vae)
        mean = run.vae.decode(run.vae.encode(images[:1], drawn.acquisitions[:1])[0])
    assert torch.allclose(output.maps[0], mean[0], rtol=1e-3)


def test_an_absent_contrast_teaches_nothing(tmp_path):
    """What stands where a scan is absent has no influence on the weights, bit for bit."""
    heights = (84, 88, 92, 96)
    subject = make_subject(0, 0, spacing=2, heights=heights)
    config = load_preset("smoke", ["vae_stage.steps=3", "precision=32-true"])
    weights = []
    for name, rubbish in (("zeros", 0.0), ("rubbish", 700.0)):
        scans = subject.scans.clone()
        scans[:, 1] = rubbish * torch.rand(scans[:, 1].shape, generator=torch.Generator().manual_seed(1))
        acquisitions = [subject.acquisitions[0], None, subject.acquisitions[2]]
        store = tmp_path / name
        add_session(store, "sub-1", subject="1", source="", acquisitions=acquisitions,
                    arrays={"scans": scans.numpy()}, heights=heights)  # fmt: skip
        close_store(store, {"sub-1": "train"}, spacing=2, fingerprint="")
        train(tmp_path / f"run-{name}", config, "vae", store)
        weights.append(load_file(tmp_path / f"run-{name}" / "vae.safetensors"))
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())


@pytest.mark.slow
def test_with_a_critic_a_stopped_run_goes_on_to_the_same_numbers(smoke_run, tmp_path, monkeypatch):
    config = load_preset(
        "smoke", ["loss.adversarial=0.01", "loss.ramp_from=2", "vae_stage.steps=8", "vae_stage.checkpoint_steps=4",
                  "precision=32-true", "augment.subsets=0.5", "vae.gain=scan"])  # fmt: skip
    store = Run(smoke_run).store.folder
    train(tmp_path / "whole", config, "vae", store)
    with monkeypatch.context() as patched:
        count = iter(range(6))  # killed in the sixth step, after a checkpoint
        patched.setattr(vae_stage, "vae_loss", lambda *a, **k: (next(count), vae_loss(*a, **k))[1])
        with pytest.raises(StopIteration):
            train(tmp_path / "stopped", config, "vae", store)
    assert (tmp_path / "stopped" / "vae.checkpoint.safetensors").exists()
    train(tmp_path / "stopped", config, "vae", store)
    ours, theirs = (load_file(tmp_path / name / "vae.safetensors") for name in ("stopped", "whole"))
    assert all(torch.equal(ours[k], theirs[k]) for k in theirs)
    with open(tmp_path / "whole" / "log.csv", newline="") as file:
        names = {row["name"] for row in csv.DictReader(file) if row["step"] == "7"}
    assert {"discriminator", "logit_real", "logit_made", "adversarial"} <= names


def test_a_mirrored_brain_has_its_left_on_the_right_and_its_front_in_front(unchecked):
    picture = torch.arange(112 * 80.0).view(1, 1, 112, 80).expand(4, 3, -1, -1)
    protocol = [Acquisition.usual(name) for name in ("mprage", "spin_echo", "flair")]
    batch = Batch(picture, AcquisitionBatch.repeat(protocol, 4), torch.ones(4, 3, dtype=torch.bool))
    store = SimpleNamespace(
        slices=lambda split: np.arange(4), is_brain=lambda number: False, batch=lambda slices: batch
    )
    rows = torch.arange(112 * 80.0).view(112, 80)
    mirrored = torch.stack([row.flipud() for row in rows])
    seen = {False: 0, True: 0}
    for number in range(60):
        image = draw_step(store, load_preset("smoke"), Step(0, Who.VAE, number)).images[0, 0]
        seen[torch.equal(image, mirrored)] += 1
        assert torch.equal(image, mirrored) or torch.equal(image, rows)
    assert min(seen.values()) > 15  # of 60 even chances, four standard deviations
