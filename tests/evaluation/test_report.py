"""The report on brains of two flat tissues, whose scores are known."""

import math

import pytest
import torch

from physldm.data import CLASSES
from physldm.data.slices import add_session, close_store
from physldm.errors import InputError
from physldm.evaluation import evaluate
from physldm.evaluation.contrasts import gain_field, with_gain
from physldm.evaluation.report import _truth, _without_field
from physldm.physics import Acquisition, AcquisitionBatch, signal
from physldm.runs import Run

PROTOCOL = [
    Acquisition("mprage", tr=2.4, ti=1.0),
    Acquisition("spin_echo", te=0.1, tr=3.2),
    Acquisition("flair", te=0.091, tr=9.0, ti=2.5),
]


@pytest.fixture(params=["scans", "brains", "mixed"])
def store(request, tmp_path):
    """White matter left, grey matter right; those that settings are chosen by have longer T1 than those to train on,
    those held out also shorter T2. Of those to train on there are scans, or maps only, or the one and the other."""
    fractions = torch.zeros(1, 4, 112, 80)
    fractions[:, CLASSES.index("wm"), :, :40] = fractions[:, CLASSES.index("gm"), :, 40:] = 1.0
    split = {}
    people = (("train", 1.0, 1.0), ("train", 1.0, 1.0), ("choose", 1.25, 1.0), ("heldout", 1.25, 0.8))
    for number, (part, t1, t2) in enumerate(people):
        brain = part == "train" and (request.param == "brains" or (request.param, number) == ("mixed", 1))
        wm, gm = ([pd, t1 * a, t2 * b] for pd, a, b in ((0.7, 0.8, 0.07), (0.8, 1.4, 0.09)))
        maps = torch.where(
            fractions[:, :1] > 0, torch.tensor(wm)[:, None, None], torch.tensor(gm)[:, None, None]
        )
        # an edge more: a flat picture has no structure to compare
        maps[:, 0, 30:60] *= 1.1
        clean = 1000 * signal(maps, AcquisitionBatch.repeat(PROTOCOL, 1))
        arrays = {"scans": clean.abs(), "clean": clean, "maps": maps, "fractions": fractions}
        kept = ("maps", "fractions") if brain else arrays
        name = f"sub-{number}"
        add_session(tmp_path, name, subject=name, source="", acquisitions=None if brain else PROTOCOL, heights=[80],
                    arrays={key: arrays[key].numpy() for key in kept})  # fmt: skip
        split[name] = part
    return close_store(tmp_path, split, spacing=2, fingerprint="")


def test_the_class_median_predictor_knows_the_people_it_was_trained_on(untrained_run, store):
    found = evaluate(Run(untrained_run), store)
    for tissue in ("wm", "gm"):
        assert found[f"class_median.t1_mdape.{tissue}"] == pytest.approx(100 * (1 - 1 / 1.25), rel=1e-3)
        assert found[f"class_median.t2_mdape.{tissue}"] == pytest.approx(100 * (1 / 0.8 - 1), rel=1e-3)
        assert found[f"share.{tissue}"] == pytest.approx(50)
    assert found["sessions"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("store", ["brains"], indirect=True)
def test_those_that_settings_are_chosen_by_are_scored_when_asked_for(untrained_run, store):
    found = evaluate(Run(untrained_run), store, "choose")
    assert found["class_median.t1_mdape.wm"] == pytest.approx(100 * (1 - 1 / 1.25), rel=1e-3)
    assert found["class_median.t2_mdape.wm"] == pytest.approx(0, abs=1e-3) and found["sessions"] == 1
    for entry in store.index["sessions"]:
        entry["split"] = entry["split"].replace("choose", "heldout")
    assert evaluate(Run(untrained_run), store)["sessions"] == 2
    with pytest.raises(InputError, match="split: found no session of choose, expected at least one"):
        evaluate(Run(untrained_run), store, "choose")


@pytest.mark.parametrize("store", ["brains"], indirect=True)
@pytest.mark.parametrize("mixture, scored", [("properties", 36), ("signals", 0)])
def test_other_protocols_are_scored_where_one_tissue_a_voxel_is_the_truth(
    untrained_run, store, mixture, scored
):
    store.index["partial_volume"] = mixture
    found = evaluate(Run(untrained_run), store)
    other = {key: value for key, value in found.items() if key.startswith("protocols")}
    assert len(other) == scored and all(value > 0 for value in other.values())
    for key in other:
        assert found[key.replace("worst", "median")] <= found[key.replace("median", "worst")]
    assert list(found) == sorted(found)


@pytest.mark.parametrize("store", ["brains"], indirect=True)
def test_the_own_median_is_right_where_a_person_s_tissues_are_flat(untrained_run, store):
    """But for PD, which has an edge; and a map is correlated with no flat truth."""
    found = evaluate(Run(untrained_run), store)
    for tissue in ("wm", "gm"):
        for p in ("t1", "t2"):
            assert found[f"own_median.{p}_mdape.{tissue}"] == pytest.approx(0, abs=1e-3)
        assert f"truth.t1_correlation.{tissue}" not in found
        assert -1 <= found[f"truth.pd_correlation.{tissue}"] <= 1
    assert not [key for key in found if key.startswith("unkind")]


@pytest.mark.slow
@pytest.mark.parametrize("store", ["brains"], indirect=True)
def test_people_are_scanned_less_kindly_when_asked_for(untrained_run, store):
    found = evaluate(Run(untrained_run), store, unkind=True)
    assert found["unkind.class_median.t1_mdape.wm"] == pytest.approx(100 * (1 - 1 / 1.25), rel=1e-3)
    assert found["unkind.usual.t1_mdape.wm"] == pytest.approx(found["truth.t1_mdape.wm"], rel=0.05)
    assert found["unkind.usual.psnr"] == pytest.approx(found["fixed.psnr"], abs=0.5)


@pytest.mark.parametrize("store", ["scans"], indirect=True)
def test_pd_has_the_coil_s_field_divided_out(store):
    """Whoever finds PD times the field exactly is right but for the field, which is then known."""
    slices = store.of_session(3)
    clean, truth, fractions = (store.array(a, slices) for a in ("clean", "maps", "fractions"))
    field = 900 * torch.exp(0.1 * torch.linspace(-1, 1, 80)).expand(1, 112, 80)
    taken = AcquisitionBatch.repeat(PROTOCOL, 1)
    scanned = with_gain(truth, gain_field(field[:, None] * clean, truth, taken))
    found = _without_field(with_gain(truth, 3 * field), scanned, fractions)
    assert set(found) >= {
        "truth.pd_smooth_mdape",
        "truth.pd_smooth_mdape.wm",
        "truth.pd_smooth_correlation.gm",
    }
    assert max(v for key, v in found.items() if "mdape" in key) < 1e-3
    assert found["truth.pd_smooth_correlation.gm"] == pytest.approx(1, abs=1e-4)
    # left in, it is an error: of white matter on one side its median, exp(0.05) off the middle
    plain = _truth(with_gain(truth, field), truth, fractions, None, "properties")
    assert plain["truth.pd_mdape.wm"] == pytest.approx(100 * (1 - math.exp(-0.05)), rel=0.05)
