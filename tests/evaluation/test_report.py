"""The report on brains of two flat tissues, whose scores are known."""

import pytest
import torch

from physldm.data import CLASSES
from physldm.data.slices import add_session, close_store
from physldm.errors import InputError
from physldm.evaluation import evaluate
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
