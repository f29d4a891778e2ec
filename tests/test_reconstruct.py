"""Units of scans and maps, against scans whose gain was put in by hand."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from physldm.data import average_brain, make_subject
from physldm.data.alignment import Reading
from physldm.data.phantom import GAIN
from physldm.data.population import write_subject
from physldm.data.sessions import Scan
from physldm.errors import InputError
from physldm.physics import CONTRASTS, Acquisition
from physldm.reconstruct import (
    Reconstruction,
    at_usual_gain,
    blind_spots,
    estimate_gain,
    in_units_of_pd,
    knowable,
    misfit_of,
    reconstruct_dataset,
    reconstruct_session,
    session_gains,
)
from physldm.runs import Run

T1W = Acquisition("mprage", tr=2.4, ti=1.0)
T2W = Acquisition("spin_echo", te=0.1, tr=3.2)
PUT_IN = {"T1w": 250.0, "T2w": 4000.0}


@pytest.fixture(scope="module")
def reading():
    """The average brain scanned twice, by Eq. 1 written out again in float64, each at a gain of its own."""
    pd, t1, t2 = average_brain(2)[0].double().unbind(1)
    stacks = {
        "T1w": PUT_IN["T1w"] * pd * (1 - 2 * torch.exp(-T1W.ti / t1) / (1 + torch.exp(-T1W.tr / t1))).abs(),
        "T2w": PUT_IN["T2w"] * pd * (1 - torch.exp(-T2W.tr / t1)) * torch.exp(-T2W.te / t2),
    }
    scans = {c: Scan(Path(f"{c}.nii.gz"), c, a, ()) for c, a in (("T1w", T1W), ("T2w", T2W))}
    return Reading(scans, {c: stack.float() for c, stack in stacks.items()}, [])


def test_the_gain_of_an_average_brain_is_found(reading):
    for c, gain in PUT_IN.items():
        found = estimate_gain(reading.stacks[c], reading.scans[c].acquisition, 2)
        assert found == pytest.approx(gain, rel=1e-4)
    # scans that reach some slices only are compared with these slices
    part = reading.stacks["T1w"].clone()
    part[:50] = 0
    assert estimate_gain(part, T1W, 2) == pytest.approx(250.0, rel=1e-4)


@pytest.fixture(scope="module")
def heads():
    """Six made-up heads whose gains are known, with what of each voxel is inside the skull."""
    return [make_subject(3, i, spacing=2, sequence_gain_sd=0.5) for i in range(6)]


def cut_from(subject, part):
    """A subject's scans of which only a part is left."""
    brain = subject.fractions[:, :2].sum(1)
    if part == "stripped":  # with the fluid in the brain and not around it
        left = (brain > 0.5) | torch.from_numpy(
            ndimage.binary_erosion(subject.fractions.sum(1).numpy() > 0.5, iterations=4)
        )
    elif part == "coronal slab":
        left = torch.zeros_like(brain, dtype=torch.bool)
        left[:, 41:71] = True  # 60 of 224 mm
    else:
        left = torch.zeros_like(brain, dtype=torch.bool)
        left[30:52] = True
    return subject.scans.clamp_min(0) * left[:, None]


@pytest.mark.slow
@pytest.mark.parametrize("part", ["stripped", "coronal slab", "axial slab"])
def test_the_gain_of_what_is_left_of_a_head_is_the_gain_of_the_head(heads, part):
    off = []
    for subject in heads:
        scans = cut_from(subject, part)
        for n, a in enumerate(subject.acquisitions):
            off.append(math.log(estimate_gain(scans[:, n], a, 2) / subject.gain[n]))
    # T1 varies by 8 % between subjects, PD by 4 %: neither can be told from gain
    assert max(map(abs, off)) < math.log(1.25) and np.std(off) < 0.12


def test_of_no_brain_no_gain_is_estimated():
    scan = torch.zeros(80, 112, 80)
    scan[:3] = 100.0
    with pytest.raises(InputError, match=r"gain: found \d+ voxels"):
        estimate_gain(scan, T1W, 2)


def test_gains_of_a_session(reading):
    assert session_gains(reading, 2) == pytest.approx(PUT_IN, rel=1e-4)
    common = session_gains(reading, 2, "common")
    assert common == pytest.approx(dict.fromkeys(PUT_IN, math.sqrt(250 * 4000)), rel=1e-4)
    assert session_gains(reading, 2, "none") == dict.fromkeys(PUT_IN, GAIN)


def test_scans_come_in_the_order_of_contrasts_with_zeros_for_the_absent(reading):
    scans = at_usual_gain(reading, PUT_IN)
    assert scans.shape[1] == len(CONTRASTS) and not scans[:, CONTRASTS.index("FLAIR")].any()
    torch.testing.assert_close(scans[:, 0] / GAIN, reading.stacks["T1w"] / 250)
    assert reading.acquisitions == [T1W, T2W, None]


def test_units_of_pd_are_those_of_the_table():
    maps = torch.tensor([GAIN, 1.2, 0.08])[:, None, None].expand(2, 3, 4, 5)
    assert in_units_of_pd(maps)[0, :, 0, 0].tolist() == pytest.approx([1.0, 1.2, 0.08])


def test_a_sessions_maps_do_not_depend_on_its_scanners_gain_and_air_has_none(reading, smoke_run):
    run = Run(smoke_run)
    found = reconstruct_session(run, reading, refine=0)
    assert found.gains == pytest.approx(PUT_IN, rel=1e-4)

    nothing = (reading.stacks["T1w"] == 0) & (reading.stacks["T2w"] == 0)
    assert (
        found.maps.shape == (80, 3, 112, 80)
        and nothing.any()
        and not found.maps.movedim(1, 0)[:, nothing].any()
    )
    louder = Reading(reading.scans, {c: 7 * s for c, s in reading.stacks.items()}, [])
    torch.testing.assert_close(
        reconstruct_session(run, louder, refine=0).maps, found.maps, rtol=1e-3, atol=1e-4
    )


def test_misfit_is_that_of_the_maps_scanned_again(reading):
    maps = average_brain(2)[0]
    exact = Reconstruction(maps, PUT_IN)
    assert misfit_of(reading, exact, 2) == pytest.approx({"T1w": 0.0, "T2w": 0.0}, abs=1e-3)
    louder = Reconstruction(maps * torch.tensor([1.2, 1.0, 1.0])[:, None, None], PUT_IN)
    assert misfit_of(reading, louder, 2) == pytest.approx({"T1w": 20.0, "T2w": 20.0}, rel=1e-3)


@pytest.mark.slow
def test_maps_come_with_what_they_were_made_from_and_how_far_to_believe_them(smoke_run, tmp_path, capsys):
    write_subject(tmp_path / "bids", "sub-001", make_subject(0, 0, spacing=2))
    shutil.rmtree(tmp_path / "bids" / "derivatives")
    folder = tmp_path / "bids" / "sub-001" / "anat"
    (folder / "sub-001_FLAIR.nii.gz").unlink()
    sidecar = folder / "sub-001_T1w.json"
    sidecar.write_text(
        json.dumps({"RepetitionTime": 2.0, "EchoTime": 0.02, "InversionTime": 0.8, "SequenceName": "tir"})
    )
    run = Run(smoke_run)
    reconstruct_dataset(run, tmp_path / "bids", tmp_path / "out", refine=1)
    (file,) = (tmp_path / "out").rglob("sub-001_reconstruction.json")
    content, said = json.loads(file.read_text()), capsys.readouterr().out
    assert set(content["scans"]) == {"T1w", "T2w"} and content["settings"] == {
        "gain": "each",
        "effective_te": 0.1,
        "refine": 1,
    }
    for scan in content["scans"].values():
        assert scan["gain"] > 0 and scan["misfit"] >= 0
    assert content["run"]["preset"] == "smoke" and content["run"]["data"]
    for words in (
        "T1w.nii.gz: ir_tse (TE 0.02 s, TR 2 s, TI 0.8 s, ",
        "): the run never saw its like, but mprage (TR 2.4 s, TI 1 s); mprage (TR 2.3 s, TI 0.9 s)",
        "FLAIR missing: the run never",
        "sub-001: these scans cannot tell PD, T1, T2 of white matter",
    ):
        assert any(words in note for note in content["notes"]) and words in said
    high = [c for c, scan in content["scans"].items() if scan["misfit"] > 15]
    for c in high:
        assert any(f"sub-001_{c}.nii.gz: misfit" in note for note in content["notes"])
    # what the protocol can know is said before any map is made
    assert said.index("grey matter's PD inf %") < said.index("misfit of the scans T1w")
    assert content["bounds"]["gm"] == {"pd": None, "t1": None, "t2": None}


def test_slices_that_a_scan_does_not_reach_are_made_of_the_others(reading, smoke_run):
    run, half = Run(smoke_run), reading.stacks["T2w"].clone()
    half[40:] = 0
    both = reconstruct_session(
        run, Reading(reading.scans, {**reading.stacks, "T2w": half}, []), "none", 0
    ).maps
    alone = reconstruct_session(
        run, Reading({"T1w": reading.scans["T1w"]}, {"T1w": reading.stacks["T1w"]}, []), "none", 0
    ).maps
    where = (alone[45:60] > 0) & (both[45:60] > 0)
    torch.testing.assert_close(both[45:60][where], alone[45:60][where])


def test_gains_that_are_found_by_refining_are_told_and_the_misfit_is_by_them(reading, smoke_run, monkeypatch):
    run, asked = Run(smoke_run), []
    brain = average_brain(2)[0] * torch.tensor([GAIN, 1.0, 1.0])[:, None, None]

    def explain(run, scans, acquisitions, present, *, refine, spread):
        asked.append((refine, spread))
        reached = brain[reading.stacks["T1w"].flatten(1).any(1)]
        return reached, torch.tensor([1.25, 0.8, 1.0])

    monkeypatch.setattr(Run, "explain", explain)
    monkeypatch.setattr(Run, "gain_spread", 0.1)
    for gain, spread in (("each", 0.1), ("common", 0.0), ("none", 0.0)):
        told, found = session_gains(reading, 2, gain), reconstruct_session(run, reading, gain, 7)
        assert asked[-1] == (7, spread)
        assert found.gains["T1w"] == pytest.approx(1.25 * told["T1w"])
        assert found.gains["T2w"] == pytest.approx(0.8 * told["T2w"])
    # the average brain explains its own scans at the gains that were put in, which are those told
    misfit = misfit_of(reading, reconstruct_session(run, reading, "each", 7), 2)
    assert misfit == {"T1w": pytest.approx(25, abs=0.1), "T2w": pytest.approx(20, abs=0.1)}


def test_what_a_protocol_can_know_is_the_inverse_of_a_matrix_of_slopes():
    """Eq. 1 in numpy, its slopes by differences, and the covariance of least squares weighed by each scan's noise."""
    tissue = {"wm": (0.70, 0.85, 0.070), "gm": (0.82, 1.45, 0.085), "csf": (1.00, 4.2, 1.9)}

    def scans(theta):
        pd, t1, t2 = np.exp(theta)
        return np.array(
            [
                pd * (1 - 2 * np.exp(-0.8 / t1) / (1 + np.exp(-2.0 / t1))),
                pd * (1 - np.exp(-5.0 / t1)) * np.exp(-0.08 / t2),
                pd * (1 - 2 * np.exp(-2.1 / t1) + np.exp(-7.0 / t1)) * np.exp(-0.12 / t2),
            ]
        )

    sigma = 0.01 * np.max([np.abs(scans(np.log(t))) for t in tissue.values()], axis=0)
    protocol = [
        Acquisition("mprage", tr=2.0, ti=0.8),
        Acquisition("spin_echo", te=0.08, tr=5.0),
        Acquisition("flair", te=0.12, tr=7.0, ti=2.1),
    ]
    found = knowable(protocol)
    for name in ("wm", "gm"):
        theta, step = np.log(tissue[name]), 1e-5 * np.eye(3)
        slopes = np.stack([(scans(theta + d) - scans(theta - d)) / 2e-5 for d in step], 1) / sigma[:, None]
        expected = 100 * np.sqrt(np.diag(np.linalg.inv(slopes.T @ slopes)))
        assert list(found[name].values()) == pytest.approx(expected, rel=1e-4)
    assert not blind_spots("sub-001", found)


def test_what_a_protocol_cannot_tell_is_named():
    usual = [T1W, T2W, Acquisition("flair", te=0.091, tr=9.0, ti=2.5)]
    assert not blind_spots("sub-001", knowable(usual))
    # a repeated scan adds nothing, and of a single number per voxel three are not found
    for blind in (usual[:2], [*usual[:2], usual[1]], usual[:1]):
        lines = blind_spots("sub-001", knowable(blind))
        assert len(lines) == 2 and all("cannot tell PD, T1, T2 of" in line for line in lines)
    # full rank, but hardly: two spin echoes of nearly the same TE
    near = [T1W, T2W, Acquisition("spin_echo", te=0.1001, tr=3.2)]
    bounds = knowable(near)
    assert bounds["wm"]["t2"] > 100 and math.isfinite(bounds["wm"]["t2"])
    assert any("T2" in line for line in blind_spots("sub-001", bounds))
