import csv
import json
import math
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from physldm.config import StageConfig, load_preset, read_config
from physldm.draws import Step, Who, keyed_draw
from physldm.errors import InputError
from physldm.models import latent_shape
from physldm.models.vae import VaeOutput
from physldm.runs import Run
from physldm.training import train, vae_stage
from physldm.training.engine import learning_rate
from physldm.training.ldm_stage import cache_posteriors
from physldm.training.losses import (
    apparent_gain,
    kl_to_standard_normal,
    ramp,
    real_or_made,
    reconstruction_loss,
    tissue_prior,
    total_variation,
    vae_loss,
)
from physldm.training.vae_stage import draw_step, subsets
from physldm.weights import architecture, load_tensors


def losses(run, stage):
    with open(run / "log.csv", newline="") as file:
        return {
            int(r["step"]): float(r["value"])
            for r in csv.DictReader(file)
            if r["stage"] == stage and r["name"] == "loss"
        }


def test_losses_fall(smoke_run):
    for stage in ("vae", "ldm"):
        found = losses(smoke_run, stage)
        assert found[max(found)] < 0.9 * found[0]


def test_run_directory_is_whole(smoke_run):
    names = {"config.toml", "vae.safetensors", "ldm.safetensors", "log.csv", "run.json", "events"}
    assert names <= {p.name for p in smoke_run.iterdir()}
    assert not list(smoke_run.glob("*checkpoint*")) and not list(smoke_run.glob("part-*"))
    assert read_config(smoke_run / "config.toml").preset == "smoke"
    facts = json.loads((smoke_run / "run.json").read_text())
    assert facts["data_fingerprint"] == Run(smoke_run).store.fingerprint and facts["versions"]["torch"]
    assert list((smoke_run / "events").rglob("events.out.*"))


def test_a_killed_run_goes_on_to_the_same_numbers(smoke_run, tmp_path):
    """Killed without warning in either stage, after a checkpoint, and started again by the same command."""
    run = tmp_path / "killed"
    shutil.copytree(smoke_run / "slices", run / "slices")
    command = [sys.executable, "-m", "physldm.cli", "train", "--run", str(run), "--preset", "smoke",
               "--set", "precision=32-true"]  # fmt: skip
    for stage in ("vae", "ldm"):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while not (run / f"{stage}.checkpoint.safetensors").exists():
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (run / f"{stage}.safetensors").exists()
    subprocess.run(command, check=True)
    for stage in ("vae", "ldm"):
        assert losses(run, stage) == losses(smoke_run, stage)
        ours, theirs = (
            load_tensors(
                folder / f"{stage}.safetensors", architecture(read_config(folder / "config.toml"), stage)
            )[0]
            for folder in (run, smoke_run)
        )
        assert ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


def test_draws_depend_on_their_key_only():
    first = torch.randn(5, generator=keyed_draw(0, 1, 2))
    assert torch.equal(first, torch.randn(5, generator=keyed_draw(0, 1, 2)))
    others = [torch.randn(5, generator=keyed_draw(*key)) for key in ((1, 1, 2), (0, 2, 2), (0, 1, 3))]
    assert not any(torch.equal(first, other) for other in others)


def test_an_epoch_shows_every_item_once_and_ranks_share_it():
    stage = StageConfig(steps=1, batch=4, lr=1)
    seen = [
        i
        for step in range(5)
        for rank in (0, 1)
        for i in Step(0, Who.VAE, step, rank, 2).batch(40, stage.batch)
    ]
    assert sorted(seen) == list(range(40))
    assert Step(0, Who.VAE, 0).batch(40, 4) != Step(0, Who.VAE, 10).batch(40, 4)


def test_learning_rate_warms_up_and_cools_down():
    stage = StageConfig(steps=1, batch=1, lr=0.5, warmup=10)
    rates = [learning_rate(step, 100, stage) for step in range(100)]
    assert rates[0] < 0.06 and max(rates) <= 0.5 and rates[-1] < 1e-3
    flat = StageConfig(steps=1, batch=1, lr=0.5, cosine=False)
    assert learning_rate(90, 100, flat) == 0.5


def test_kl_is_that_of_torch():
    mean, log_var = torch.randn(2, 3, 4, 4, 4, generator=torch.Generator().manual_seed(0)).double()
    ours = kl_to_standard_normal(mean, log_var)
    theirs = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, (0.5 * log_var).exp()), torch.distributions.Normal(0.0, 1.0)
    )
    assert ours.item() == pytest.approx(theirs.sum((1, 2, 3)).mean().item(), rel=1e-6)


def test_prior_leaves_pd_alone():
    o = torch.zeros(1, 3, 2, 2)
    o[:, 0] = 9.0
    assert tissue_prior(o) == (0, 81)
    o[:, 1] = 2.0
    assert tissue_prior(o) == (4, 81)


def test_total_variation_of_a_box_is_its_height_times_its_edge():
    box, edge, line = torch.zeros(3, 2, 10, 8, dtype=torch.float64)
    box[1, 2:7, 3:5] = 0.5  # 5 rows and 2 columns, in one picture of two
    edge[:, :, 4:] = 2.0  # through the whole picture
    line[:, 4] = -3.0  # up and down again
    down, across = 9 * 8, 10 * 7  # neighbours along either axis
    assert total_variation(box).item() == pytest.approx(0.5 * (2 * 2 / down + 2 * 5 / across) / 2)
    assert total_variation(edge).item() == pytest.approx(2 * 10 / across)
    assert total_variation(line).item() == pytest.approx(3 * 2 * 8 / down)


def test_apparent_gain_is_the_gain_where_water_follows_t1():
    t1 = torch.tensor([0.85, 1.45, 4.2], dtype=torch.float64)  # white matter, grey matter, CSF
    gain = torch.tensor([700.0, 1000.0, 1300.0], dtype=torch.float64)
    pd = gain / (0.916 + 0.436 / t1)
    o = torch.stack([pd.log(), t1.log(), torch.zeros(3)])[None, :, None]
    assert torch.allclose(apparent_gain(o)[0, 0], gain.log())
    # twice the PD at the same T1 is twice the gain
    o[:, 0] += math.log(2)
    assert torch.allclose(apparent_gain(o)[0, 0], (2 * gain).log())


def test_apparent_gain_asks_nothing_of_air():
    o = torch.zeros(1, 3, 1, 3)
    o[0, 0, 0] = torch.tensor([0.3, -0.6, -7.0])
    o.requires_grad_()
    g = apparent_gain(o)[0, 0]
    assert g[1] == g[2] and g[0] > g[1]  # PD may fall as low as it likes
    total_variation(apparent_gain(o)).backward()
    assert o.grad[0, :, 0, 0].abs().sum() > 0 and o.grad[0, :, 0, 1:].abs().sum() == 0


def test_water_moves_pd_and_t1_together_but_never_t2():
    o = torch.randn(1, 3, 6, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
    total_variation(apparent_gain(o)).backward()
    assert o.grad[:, 0].abs().sum() > 0 and o.grad[:, 1].abs().sum() > 0
    assert o.grad[:, 2].abs().sum() == 0


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
    assert drawn.given[:4].all() and torch.equal(drawn.asked[:4], torch.ones(4, 3))
    assert not drawn.given[4:].all(1).any() and torch.equal(drawn.asked[4:] > 0, ~drawn.given[4:])
    assert drawn.asked[4:].sum().item() == pytest.approx(6)  # as much as two slices that are asked for all
    with torch.inference_mode():
        output, images, asked = drawn.through(run.vae)
        for m, row in enumerate(drawn.rows):  # the same as if that slice and those scans had come alone
            one = slice(row, row + 1)
            alone = run.vae(
                drawn.images[one], drawn.acquisitions[one], drawn.given[m : m + 1], drawn.noise[m : m + 1]
            )
            assert torch.allclose(alone.maps[0], output.maps[m], rtol=1e-3)
            assert torch.allclose(alone.reconstruction[0], output.reconstruction[m], rtol=1e-3, atol=0.1)
    assert torch.equal(images[5], drawn.images[1]) and torch.equal(asked, drawn.asked)


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


def test_terms_that_look_real_come_in_by_a_ramp_and_see_only_what_is_there():
    config = load_preset("smoke", ["loss.adversarial=2.0", "loss.ramp_from=10", "loss.ramp=20"]).loss
    assert [ramp(step, config) for step in (0, 10, 20, 30, 99)] == [0, 0, 0.5, 1, 1]
    draw = torch.Generator().manual_seed(0)
    images, made = torch.rand(2, 3, 8, 8, generator=draw), torch.rand(2, 3, 8, 8, generator=draw)
    mask = torch.tensor([[True, False, True], [True, True, False]])
    images[~mask] = torch.nan
    code = torch.zeros(2, 4, 1, 1)
    output = VaeOutput(
        code, code, torch.zeros(2, 3, 8, 8), made.exp(), made, torch.ones(2, 3), torch.zeros(2, 3)
    )
    judge = lambda x: x.mean((1, 2, 3))  # noqa: E731
    plain, _ = vae_loss(output, images.nan_to_num(), mask, config, 20)
    value, parts = vae_loss(output, images.nan_to_num(), mask, config, 20, discriminator=judge)
    # least squares, by hand: (D(s) − 1)² over the four images that are there, at half its weight of 2
    expected = ((2 * made[mask] - 1).mean((1, 2)) - 1).square().mean()
    assert parts["adversarial"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert (value - plain).item() == pytest.approx(expected.item(), rel=1e-4)
    assert real_or_made(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0])).item() == 0.25 + 1.0


def test_magnitudes_are_compared_where_that_is_asked_for():
    signed, scan = torch.full((1, 1, 2, 2), -0.5), torch.full((1, 1, 2, 2), 0.5)
    for switch, expected in (("false", 1.0), ("true", 0.0)):
        config = load_preset("smoke", [f"loss.magnitude={switch}"]).loss
        squared, _ = reconstruction_loss(signed, scan, torch.ones(1, 1), None, config)
        assert squared.item() == pytest.approx(expected, abs=1e-6)


def test_with_a_critic_a_stopped_run_goes_on_to_the_same_numbers(smoke_run, tmp_path, monkeypatch):
    config = load_preset(
        "smoke", ["loss.adversarial=0.01", "loss.ramp_from=2", "vae_stage.steps=8", "vae_stage.checkpoint_steps=4",
                  "precision=32-true", "augment.subsets=0.5", "vae.gain=true"])  # fmt: skip
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


def test_samples_depend_on_the_seed_only(smoke_run):
    run = Run(smoke_run)
    first = run.sample(2, seed=1)
    assert first.shape == (2, 3, 112, 80) and (first > 0).all()
    assert torch.equal(first, run.sample(2, seed=1)) and not torch.equal(first, run.sample(2, seed=2))


def test_a_brain_can_be_drawn_at_heights_and_guidance_is_a_weighted_sum(smoke_run):
    run = Run(smoke_run)
    start, stop, step = run.config.data.heights
    assert run.ldm.span.tolist() == [start, range(start, stop, step)[-1]]
    stack = run.sample(2, seed=1, steps=4, heights=[70.0, 90.0, 110.0])
    assert stack.shape == (6, 3, 112, 80)
    # both brains begin with their own noise; the same height is the same slice, whoever asks
    close = {"rtol": 1e-3, "atol": 1e-2}  # of other batches: the same sums in another order
    torch.testing.assert_close(stack[4:5], run.sample(2, seed=1, steps=4, heights=[90.0])[1:], **close)
    torch.testing.assert_close(
        stack[:3], run.sample(1, seed=1, steps=4, heights=[70.0, 90.0, 110.0]), **close
    )
    x, t, h = torch.randn(2, *latent_shape(run.config)), torch.tensor([300, 300]), torch.tensor([70.0, 110.0])
    with torch.inference_mode():
        told, untold = run.model(h)(x, t), run.model()(x, t)
        assert not torch.allclose(told, untold)
        torch.testing.assert_close(run.model(h, guidance=2.0)(x, t), 3 * told - 2 * untold)


def test_heights_of_a_run_that_knows_none_are_refused(smoke_run, tmp_path):
    config = load_preset("smoke", ["unet.height=false", "unet.places=false", "ldm_stage.steps=2"])
    shutil.copytree(
        smoke_run, tmp_path / "run", ignore=shutil.ignore_patterns("ldm*", "config.toml", "slices")
    )
    train(tmp_path / "run", config, "ldm", Run(smoke_run).store.folder)
    run = Run(tmp_path / "run")
    assert run.sample(1, seed=0, steps=2).shape == (1, 3, 112, 80)
    with pytest.raises(InputError, match=r"unet\.height: found false, expected true"):
        run.sample(1, seed=0, heights=[84.0])


def test_cached_posteriors_stand_in_the_order_of_slices_and_their_mirror_images(smoke_run):
    run = Run(smoke_run)
    mean, sigma = cache_posteriors(run.vae, run.store, "train", torch.device("cpu"), batch=4)
    for i, number in enumerate(run.store.slices("train")[:6]):
        batch = run.store.batch([number])
        for place, images in ((2 * i, batch.images), (2 * i + 1, batch.images.flip(-1))):
            with torch.inference_mode():
                own, log_var = run.vae.encode(images, batch.acquisitions, batch.mask)
            torch.testing.assert_close(mean[place], own[0], rtol=1e-3, atol=1e-3)
            torch.testing.assert_close(sigma[place], (0.5 * log_var[0]).exp(), rtol=1e-3, atol=1e-3)


def test_latent_statistics_are_those_of_the_codes(smoke_run):
    run = Run(smoke_run)
    mean, _ = cache_posteriors(run.vae, run.store, "train", torch.device("cpu"))
    shift, scale = run.latent_statistics
    torch.testing.assert_close(shift.flatten(), mean.mean((0, 2, 3)), rtol=1e-3, atol=1e-3)
    assert (scale.flatten() >= 0.99 * mean.std((0, 2, 3))).all()


def test_an_absent_contrast_teaches_nothing(tmp_path):
    """What stands where a scan is absent has no influence on the weights, bit for bit."""
    from safetensors.torch import load_file

    from physldm.config import load_preset
    from physldm.data import make_subject
    from physldm.data.slices import add_session, close_store
    from physldm.training import train

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


def test_slices_that_a_scan_does_not_reach_are_absent(tmp_path):
    import numpy as np

    from physldm.data.slices import add_session, close_store
    from physldm.physics import Acquisition

    scans = np.ones((3, 3, 8, 8), np.float32)
    scans[1:, 2] = 0
    protocol = [Acquisition.usual(name) for name in ("mprage", "spin_echo", "flair")]
    session = {"source": "", "acquisitions": protocol, "arrays": {"scans": scans}, "heights": range(3)}
    add_session(tmp_path, "sub-1", subject="1", **session)
    store = close_store(tmp_path, {"sub-1": "train"}, spacing=1, fingerprint="")
    assert store.batch([0, 1]).mask.tolist() == [[True, True, True], [True, True, False]]
    # a store that is being changed is no store until it is closed again
    add_session(tmp_path, "sub-2", subject="2", **session)
    assert not (tmp_path / "index.json").exists()
