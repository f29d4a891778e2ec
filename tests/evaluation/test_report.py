"""The report on brains of two flat tissues, whose scores are known."""

import pytest
import torch

from physldm.data import CLASSES
from physldm.data.slices import add_session, close_store
from physldm.evaluation import evaluate
from physldm.physics import Acquisition, AcquisitionBatch, signal
from physldm.runs import Run

PROTOCOL = [
    Acquisition("mprage", tr=2.4, ti=1.0),
    Acquisition("spin_echo", te=0.1, tr=3.2),
    Acquisition("flair", te=0.091, tr=9.0, ti=2.5),
]


@pytest.fixture
def store(tmp_path):
    """White matter left, grey matter right; those held out have longer T1 and shorter T2 than those to train on."""
    fractions = torch.zeros(1, 4, 112, 80)
    fractions[:, CLASSES.index("wm"), :, :40] = fractions[:, CLASSES.index("gm"), :, 40:] = 1.0
    split = {}
    for number, (part, t1, t2) in enumerate(
        (("train", 1.0, 1.0), ("train", 1.0, 1.0), ("heldout", 1.25, 0.8))
    ):
        wm, gm = ([pd, t1 * a, t2 * b] for pd, a, b in ((0.7, 0.8, 0.07), (0.8, 1.4, 0.09)))
        maps = torch.where(
            fractions[:, :1] > 0, torch.tensor(wm)[:, None, None], torch.tensor(gm)[:, None, None]
        )
        # an edge more: a flat picture has no structure to compare
        maps[:, 0, 30:60] *= 1.1
        clean = 1000 * signal(maps, AcquisitionBatch.repeat(PROTOCOL, 1))
        arrays = {"scans": clean.abs(), "clean": clean, "maps": maps, "fractions": fractions}
        name = f"sub-{number}"
        add_session(tmp_path, name, subject=name, source="", acquisitions=PROTOCOL, heights=[80],
                    arrays={key: value.numpy() for key, value in arrays.items()})  # fmt: skip
        split[name] = part
    return close_store(tmp_path, split, spacing=2, fingerprint="")


def test_the_class_median_predictor_knows_the_people_it_was_trained_on(untrained_run, store):
    found = evaluate(Run(untrained_run), store)
    for tissue in ("wm", "gm"):
        assert found[f"class_median.t1_mdape.{tissue}"] == pytest.approx(100 * (1 - 1 / 1.25), rel=1e-3)
        assert found[f"class_median.t2_mdape.{tissue}"] == pytest.approx(100 * (1 / 0.8 - 1), rel=1e-3)
        assert found[f"share.{tissue}"] == pytest.approx(50)
    assert found["sessions"] == 1
