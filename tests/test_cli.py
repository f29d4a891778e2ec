"""The command line as a user meets it: what it writes, and one clear line and exit code 2 for bad input."""

import errno
import json
import os
import shutil
import sys
from itertools import product

import nibabel as nib
import numpy as np
import pytest

from physldm import cli
from physldm.box import box_affine
from physldm.config import load_preset
from physldm.data.slices import SliceStore
from physldm.errors import InputError
from physldm.evaluation import evaluate
from physldm.physics import SEQUENCES
from physldm.runs import Run
from physldm.training.train import launched


def physldm(*arguments, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["physldm", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code or 0


@pytest.fixture
def run_cli(monkeypatch, capsys):
    def call(*arguments):
        code = physldm(*arguments, monkeypatch=monkeypatch)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def own_run(smoke_run, tmp_path):
    """A copy of the trained run, to write into."""
    return shutil.copytree(smoke_run, tmp_path / "own")


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    out = tmp_path_factory.mktemp("data") / "bids"
    with pytest.MonkeyPatch.context() as patch:
        assert physldm("phantom", "--out", out, "--subjects", 1, "--spacing", 2, monkeypatch=patch) == 0
    return out


TRUTH = "derivatives/truth/sub-001/anat"


def test_phantom_writes_bids(phantom):
    assert json.loads((phantom / "dataset_description.json").read_text())["BIDSVersion"]
    for suffix in ("T1w", "T2w", "FLAIR"):
        file = phantom / "sub-001" / "anat" / f"sub-001_{suffix}.nii.gz"
        assert nib.load(file).shape == (80, 112, 80) and file.with_suffix("").with_suffix(".json").exists()
    clean = [f"desc-clean_{contrast}" for contrast in ("T1w", "T2w", "FLAIR")]
    assert {p.name for p in (phantom / TRUTH).glob("*.nii.gz")} == {
        f"sub-001_{m}.nii.gz" for m in ("PDmap", "T1map", "T2map", "probseg", *clean)
    }
    assert (phantom / "participants.tsv").read_text().splitlines()[1] == "sub-001\ticbm152"


def test_same_seed_writes_the_same_volumes(phantom, tmp_path, run_cli):
    assert run_cli("phantom", "--out", tmp_path / "b", "--subjects", 1, "--spacing", 2)[0] == 0
    for file in phantom.rglob("*.nii.gz"):
        again = nib.load(tmp_path / "b" / file.relative_to(phantom))
        np.testing.assert_array_equal(nib.load(file).get_fdata(), again.get_fdata())


def test_scan_obeys_the_equation(phantom, tmp_path, run_cli):
    code, _, _ = run_cli("scan", phantom / TRUTH, "--sequence", "flair", "--te", 0.02, "--tr", 6, "--ti", 0.5,
                         "--out", tmp_path / "scan")  # fmt: skip
    assert code == 0
    (file,) = (tmp_path / "scan").rglob("*_FLAIR.nii.gz")
    pd, t1, t2 = (
        nib.load(phantom / TRUTH / f"sub-001_{m}.nii.gz").get_fdata() for m in ("PDmap", "T1map", "T2map")
    )
    expected = pd * (1 - 2 * np.exp(-0.5 / t1) + np.exp(-6 / t1)) * np.exp(-0.02 / t2)
    found = nib.load(file).get_fdata()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.min() < -0.05  # signed
    assert json.loads(file.with_suffix("").with_suffix(".json").read_text())["InversionTime"] == 0.5


def test_scan_knows_every_sequence_of_the_table(phantom, tmp_path, run_cli):
    code, out, _ = run_cli("sequences")
    assert code == 0 and all(name in out for name in SEQUENCES)
    code, _, err = run_cli("scan", phantom / TRUTH, "--sequence", "dir", "--te", 0.02, "--tr", 11, "--ti", 3.18,
                           "--ti2", 0.57, "--magnitude", "--out", tmp_path / "dir")  # fmt: skip
    assert code == 0, err
    (file,) = (tmp_path / "dir").rglob("*_acq-dir_T1w.nii.gz")
    assert np.asanyarray(nib.load(file).dataobj).min() >= 0
    sidecar = json.loads(file.with_name(file.name.replace(".nii.gz", ".json")).read_text(encoding="utf-8"))
    assert sidecar["SecondInversionTime"] == 0.57


def test_sample_writes_maps_that_scan_can_read(smoke_run, tmp_path, run_cli):
    assert run_cli("sample", "--run", smoke_run, "--out", tmp_path / "new", "-n", 2, "--seed", 3)[0] == 0
    assert len(list((tmp_path / "new").rglob("*_T1map.nii.gz"))) == 2
    code, _, err = run_cli("scan", tmp_path / "new", "--sequence", "mprage", "--tr", 2.4, "--ti", 1.0,
                           "--out", tmp_path / "scans")  # fmt: skip
    assert code == 0, err
    assert len(list((tmp_path / "scans").rglob("*_T1w.nii.gz"))) == 2


def test_sample_writes_a_stack_of_slices_where_they_lie(smoke_run, tmp_path, run_cli):
    code, _, err = run_cli("sample", "--run", smoke_run, "--out", tmp_path / "new", "-n", 1, "--steps", 3,
                           "--heights", "70:110:10")  # fmt: skip
    assert code == 0, err
    (file,) = (tmp_path / "new").rglob("*_T1map.nii.gz")
    stack = nib.load(file)
    assert stack.shape == (80, 112, 4) and stack.header.get_zooms() == (2, 2, 10)
    # the same voxels as in a phantom's volume, whose lowest slice lies at the bottom of the box
    box = box_affine(2)
    for i, height in enumerate(range(70, 110, 10)):
        np.testing.assert_allclose(stack.affine @ [3, 5, i, 1], box @ [3, 5, height / 2, 1], atol=1e-4)


@pytest.mark.slow
def test_evaluate_writes_the_contracted_keys(own_run, tmp_path, run_cli):
    assert run_cli("evaluate", "--run", own_run, "--json", tmp_path / "scores.json", "--unkind")[0] == 0
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores == json.loads((own_run / "metrics.json").read_text())
    metrics = ("mse", "mae", "psnr", "ms_ssim")
    assert all(
        np.isfinite(scores[f"{protocol}.{metric}"]) for protocol in ("paper", "fixed") for metric in metrics
    )
    # the paper's PSNR and MS-SSIM take one range for all contrasts, so they are no mean
    for key in ("paper.mse", "paper.mae", *(f"fixed.{metric}" for metric in metrics)):
        mean = np.mean([scores[f"{key}.{c}"] for c in ("T1w", "T2w", "FLAIR")])
        assert scores[key] == pytest.approx(mean)
    assert scores["paper.psnr.T1w"] != scores["paper.psnr"]
    for who in ("truth", "class_median", "own_median"):
        for p in ("pd", "t1", "t2"):
            assert scores[f"{who}.{p}_mdape"] > 0
            assert all(scores[f"{who}.{p}_mdape.{t}"] > 0 for t in ("wm", "gm", "csf"))
    for p, t in product(("pd", "pd_smooth", "t1", "t2"), ("wm", "gm")):
        assert -1 <= scores[f"truth.{p}_correlation.{t}"] <= 1 and scores[f"truth.{p}_mdape.{t}"] > 0
    for way, p, t in product(
        ("usual", "signals", "gains_10", "noise_3", "all"), ("pd", "t1", "t2"), ("wm", "gm")
    ):
        assert scores[f"unkind.{way}.{p}_mdape.{t}"] > 0
    for kind, p, t in product(
        ("protocols", "protocols_edge", "protocols_new"), ("pd", "t1", "t2"), ("wm", "gm")
    ):
        assert scores[f"{kind}.{p}_mdape.{t}.median"] <= scores[f"{kind}.{p}_mdape.{t}.worst"]
    code, _, err = run_cli("evaluate", "--run", own_run, "--split", "choose")
    assert code == 2 and "found no session of choose" in err
    assert scores == json.loads((own_run / "metrics.json").read_text())


def test_training_again_does_nothing_and_other_settings_are_refused(own_run, run_cli):
    again = ("train", "--run", own_run, "--preset", "smoke", "--set", "precision=32-true")
    before = (own_run / "vae.safetensors").stat().st_mtime_ns
    assert run_cli(*again)[0] == 0
    assert (own_run / "vae.safetensors").stat().st_mtime_ns == before
    code, _, err = run_cli(*again, "--set", "vae_stage.lr=0.1")
    assert code == 2 and "other settings" in err


@pytest.mark.slow
def test_from_a_phantom_to_maps_by_commands(phantom, smoke_run, tmp_path, run_cli):
    """phantom → prepare → train → evaluate → reconstruct; the smoke run's own network for the last two."""
    scores_of = lambda store: evaluate(Run(smoke_run), store)  # noqa: E731
    bids, store, maps = tmp_path / "bids", tmp_path / "store", tmp_path / "maps"
    shutil.copytree(phantom, bids)
    for part in ("", "derivatives/truth"):
        shutil.copytree(bids / part / "sub-001", bids / part / "sub-002")
        for file in (bids / part / "sub-002").rglob("sub-001*"):
            file.rename(file.with_name(file.name.replace("sub-001", "sub-002")))
    assert run_cli("prepare", bids, "--out", store, "--spacing", 2)[0] == 0
    train = ("train", "--run", tmp_path / "run", "--preset", "smoke", "--data", store, "--stage", "vae")
    assert run_cli(*train, "--set", "vae_stage.steps=2", "--set", "precision=32-true")[0] == 0
    fine = tmp_path / "fine"
    shutil.copytree(store, fine)
    index = json.loads((fine / "index.json").read_text())
    (fine / "index.json").write_text(json.dumps(index | {"spacing": 1, "fingerprint": "other"}))
    again = (*train, "--set", "vae_stage.steps=2", "--set", "precision=32-true", "--data", fine)
    one_line(*run_cli(*again)[::2], "fine", "spacing: found 1 mm", "prepare --spacing 2")
    (fine / "index.json").write_text(json.dumps(index | {"fingerprint": "other"}))
    one_line(*run_cli(*again)[::2], "run.json", "data: found", "other as now")
    code, _, err = run_cli(
        "evaluate", "--run", smoke_run, "--data", store, "--json", tmp_path / "scores.json"
    )
    assert code == 0, err
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["sessions"] == 1 and scores["truth.t1_mdape.wm"] > 0 and scores["fixed.psnr.FLAIR"] > 0
    # truth of one session: it is scored against it, the other is not
    heldout = next(s["name"] for s in index["sessions"] if s["split"] == "heldout")
    (trained,) = {"sub-001", "sub-002"} - {heldout}
    shutil.rmtree(bids / "derivatives" / "truth" / trained)
    assert run_cli("prepare", bids, "--out", tmp_path / "half", "--spacing", 2)[0] == 0
    found = scores_of(SliceStore(tmp_path / "half"))
    assert found["truth.t1_mdape.wm"] == scores["truth.t1_mdape.wm"]
    assert found["fixed.psnr"] == scores["fixed.psnr"] and "class_median.t1_mdape" not in found
    # without truth and without T2w: scores of the images that are there
    shutil.rmtree(bids / "derivatives")
    for name in ("sub-001", "sub-002"):
        (bids / name / "anat" / f"{name}_T2w.nii.gz").unlink()
    assert run_cli("prepare", bids, "--out", tmp_path / "bare", "--spacing", 2)[0] == 0
    arguments = ("--data", tmp_path / "bare", "--json", tmp_path / "scores.json")
    code, _, err = run_cli("evaluate", "--run", smoke_run, *arguments)
    assert code == 0, err
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["fixed.psnr"] == pytest.approx((scores["fixed.psnr.T1w"] + scores["fixed.psnr.FLAIR"]) / 2)
    assert not [key for key in scores if key.startswith("truth") or key.endswith("T2w")]
    arguments = ("--run", smoke_run, "--input", bids / "sub-001", "--out", maps, "--refine", 1)
    code, _, err = run_cli("reconstruct", *arguments)
    assert code == 0, err
    found = nib.load(maps / "sub-001" / "anat" / "sub-001_T1map.nii.gz")
    scan = nib.load(bids / "sub-001" / "anat" / "sub-001_T1w.nii.gz")
    assert found.shape == scan.shape and np.allclose(found.affine, scan.affine)
    pd = nib.load(maps / "sub-001" / "anat" / "sub-001_PDmap.nii.gz").get_fdata()
    assert np.isfinite(pd).all() and pd.min() >= 0
    one_line(*run_cli("reconstruct", *arguments)[::2], "--out", "files in it")
    # a run trained on measured scans knows their units
    measured = ("train", "--run", tmp_path / "measured", "--preset", "smoke", "--data", tmp_path / "bare")
    quick = ("--stage", "vae", "--set", "vae_stage.steps=1", "--set", "precision=32-true")
    assert run_cli(*measured, *quick)[0] == 0
    for run, gain in ((tmp_path / "measured", "1e+03"), (smoke_run, None)):
        arguments = ("--run", run, "--input", bids / "sub-001", "--out", tmp_path / f"maps-{gain}")
        code, out, err = run_cli("reconstruct", *arguments, "--refine", 0)
        assert code == 0 and ("gains T1w 1e+03, FLAIR 1e+03" in out + err) == (gain is not None)


def test_a_damaged_head_is_found_before_the_others_are_made(tmp_path, run_cli):
    folder = tmp_path / "heads"
    folder.mkdir()
    labels = np.zeros((6, 6, 6), np.int16)
    labels[1:5, 1:5, 1:5] = np.tile([2, 3, 4, 24], (4, 4, 1))
    nib.save(nib.Nifti1Image(labels, np.eye(4)), folder / "a.nii.gz")
    (folder / "b.nii.gz").write_bytes(b"no head")
    for command in (
        ("phantom", "--anatomy", folder, "--subjects", 2, "--out", tmp_path / "out"),
        ("train", "--preset", "smoke", "--set", f"data.anatomy={folder}", "--run", tmp_path / "out"),
    ):
        one_line(*run_cli(*command)[::2], "b.nii.gz: damaged")
        assert {p.name for p in tmp_path.iterdir()} == {"heads"}


def one_line(code, err, *words):
    assert code == 2, err
    assert err.startswith("physldm: ") and err.count("\n") == 1, err
    for word in words:
        assert word in err


def test_bad_values_give_one_line(phantom, smoke_run, tmp_path, run_cli):
    scan = ("scan", phantom / TRUTH, "--out", tmp_path / "o")
    maps = ("reconstruct", "--run", smoke_run, "--input", phantom, "--out", tmp_path / "o")
    cases = [
        (("train", "--run", tmp_path / "r", "--preset", "huge"), ("--preset", "'huge'", "laptop")),
        (("train", "--run", tmp_path / "r", "--preset", "smoke", "--set", "vae.depth=3"), ("vae.depth", "no such key")),
        (("train", "--run", tmp_path / "r", "--stage", "gan"), ("--stage", "'gan'")),
        (("train", "--run", tmp_path / "r", "--preset", "smoke", "--data", tmp_path / "none"), ("index.json", "missing")),
        (("train", "--run", tmp_path / "r", "--preset", "smoke", "--set", "data.anatomy=x"), ("anatomy", "'x'")),
        (("train", "--run", tmp_path / "r", "--preset", "smoke", "--set", "unet.attention=[true]"), ("settings", "attention")),
        (("train", "--run", tmp_path / "r", "--preset", "smoke", "--set", "diffusion.timesteps=20000"), ("settings", "alpha_bar")),
        ((*scan, "--sequence", "flair", "--te", 0.1, "--tr", 2, "--ti", 3), ("ti", "found 3", "less than tr")),
        ((*scan, "--sequence", "flair", "--te", 0.1, "--tr", 2), ("ti", "missing")),
        ((*scan, "--sequence", "spin_echo", "--te", 90, "--tr", 3000), ("milliseconds",)),
        ((*scan, "--sequence", "epi", "--te", 0.1, "--tr", 2), ("sequence", "'epi'")),
        (("scan", tmp_path / "empty", "--sequence", "spin_echo", "--te", 0.1, "--tr", 2, "--out", tmp_path / "o"), ("empty",)),
        (("phantom", "--out", tmp_path / "p", "--anatomy", "colin"), ("anatomy", "'colin'")),
        (("phantom", "--out", phantom), ("--out", "files in it")),
        (("evaluate", "--run", tmp_path / "no"), ("config.toml", "missing")),
        ((*maps, "--refine", -1), ("--refine", "greater than or equal to 0")),
        ((*maps, "--refine", "many"), ("--refine", "'many'")),
        (("sample", "--run", smoke_run, "--out", phantom), ("--out", "files in it")),
        (("sample", "--run", smoke_run, "--out", tmp_path / "x", "--heights", "60:80"), ("--heights", "60:128:4")),
        (("sample", "--run", smoke_run, "--out", tmp_path / "x", "--steps", 1001), ("--steps", "1001", "at most 1000")),
        (("train", "--run", tmp_path / "r", "--preset", "smoke", "--set", "diffusion.sampler_last=999"), ("sampler_last", "found 999", "at most 998")),
        (("train", "--run", tmp_path / "r", "--preset", "smoke", "--set", "diffusion.sampler_steps=1001"), ("sampler_steps", "found 1001", "at most 1000")),
    ]  # fmt: skip
    for arguments, words in cases:
        code, _, err = run_cli(*arguments)
        one_line(code, err, *words)
        assert (
            not (tmp_path / "r").exists() and not (tmp_path / "o").exists() and not (tmp_path / "p").exists()
        )


def test_wrong_usage_is_exit_code_2(run_cli):
    for arguments in (("train", "--runn", "x"), ("phantom", "--out", "x", "--subjects", "0"), ("fly",)):
        code, _, err = run_cli(*arguments)
        one_line(code, err)


def test_truncated_nifti_is_named(phantom, tmp_path, run_cli):
    shutil.copytree(phantom / TRUTH, tmp_path / "maps")
    file = tmp_path / "maps" / "sub-001_T1map.nii.gz"
    file.write_bytes(file.read_bytes()[:2000])
    code, _, err = run_cli("scan", tmp_path / "maps", "--sequence", "spin_echo", "--te", 0.1, "--tr", 2,
                           "--out", tmp_path / "o")  # fmt: skip
    one_line(code, err, "sub-001_T1map.nii.gz", "cut short")
    assert not (tmp_path / "o").exists()


def test_a_run_of_another_architecture_or_format_is_refused(own_run, run_cli):
    run = own_run
    config = (run / "config.toml").read_text()
    (run / "config.toml").write_text(config.replace("latent_channels = 4", "latent_channels = 5"))
    one_line(
        *run_cli("evaluate", "--run", run)[::2], "vae.safetensors", "architecture", '"latent_channels": 5'
    )
    (run / "config.toml").write_text(config)
    whole = (run / "vae.safetensors").read_bytes()
    (run / "vae.safetensors").write_bytes(whole[:-100])
    one_line(*run_cli("evaluate", "--run", run)[::2], "vae.safetensors", "damaged")
    (run / "vae.safetensors").unlink()
    one_line(*run_cli("evaluate", "--run", run)[::2], "vae.safetensors", "missing")


def test_samples_say_what_they_were_drawn_from_and_heights_beyond_training_are_said(
    smoke_run, tmp_path, run_cli
):
    out = tmp_path / "samples"
    code, said, _ = run_cli("sample", "--run", smoke_run, "--out", out, "-n", 2, "--seed", 5, "--steps", 2)
    assert code == 0 and "guesses" not in said
    for i in (1, 2):
        (file,) = out.rglob(f"sub-00{i}_sample.json")
        content = json.loads(file.read_text(encoding="utf-8"))
        assert content["seed"] == 5 and content["steps"] == 2 and content["heights"] is None
        assert content["run"]["preset"] == "smoke" and content["brain"] == i - 1
    options = ("--steps", 2, "--heights", "20:28:4")
    code, said, _ = run_cli("sample", "--run", smoke_run, "--out", tmp_path / "low", "-n", 1, *options)
    assert code == 0 and "heights: found 20 to 24 mm, trained on" in said
    assert json.loads(next((tmp_path / "low").rglob("*_sample.json")).read_text())["heights"] == [20, 24]


def test_a_network_that_does_not_fit_the_slices_and_a_full_disk_are_one_line(tmp_path, run_cli, monkeypatch):
    changes = ("--set", "vae.widths=[8,8,8,8,8,8,8]", "--set", "precision=32-true")
    code, _, err = run_cli("train", "--run", tmp_path / "run", "--preset", "smoke", *changes)
    one_line(code, err, "vae.widths: found 7 levels", "expected a divisor of 112 × 80")
    assert not (tmp_path / "run").exists()

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "log.csv")

    module = sys.modules["physldm.training.train"]
    monkeypatch.setattr(module, "train_vae", full)
    monkeypatch.setattr(module, "phantom_store", lambda *_: None)
    code, _, err = run_cli("train", "--run", tmp_path / "run", "--preset", "smoke")
    one_line(code, err, "log.csv", "expected room to write")


@pytest.mark.parametrize("started_by_srun", [False, True])
def test_a_cluster_that_allows_two_tasks_and_has_one_trains_or_says_why(
    tmp_path, monkeypatch, started_by_srun
):
    job = {"JOB_ID": "1", "JOB_NAME": "train", "NTASKS": "2", "PROCID": "0", "LOCALID": "0", "NODEID": "0"}
    for name, value in {**job, "NNODES": "1", "NODELIST": "localhost"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    if started_by_srun:
        monkeypatch.setenv("SLURM_STEP_ID", "0")
        with pytest.raises(InputError, match=r"devices: .*ntasks"):
            launched(load_preset("smoke", ["precision=32-true"]))
    else:
        assert launched(load_preset("smoke", ["precision=32-true"])).world_size == 1
