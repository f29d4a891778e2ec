"""People scanned less kindly: by stand-ins whose answers are known, on brains of two flat tissues and on a made-up one."""

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from physldm.config import load_preset
from physldm.data import make_subject
from physldm.data.population import phantom_store
from physldm.draws import keyed_draw
from physldm.evaluation.tables import as_text
from physldm.evaluation.unkind import WAYS, Anybody, unkind_scores

from .cases import GM, PROTOCOL, WM, two_people

ERRORS = {f"{p}_mdape.{t}" for p in ("pd", "t1", "t2") for t in ("wm", "gm")}
# a coil that hears one side better; PD that is found has it, and no scan is without
FIELD = torch.linspace(800, 1200, 40)


@pytest.fixture
def store(tmp_path):
    return two_people(tmp_path, 4, [FIELD, FIELD])


class StandIn:
    """Finds the true maps under the coil's field, T1 off by a share for each way; keeps the scans it was shown, whose
    brightness the scans it gives do not follow."""

    def __init__(self, store, ways, wrong=()):
        self.store, self.ways, self.wrong, self.shown = store, list(ways), dict(wrong), []

    def __call__(self, batch):
        person, way = divmod(len(self.shown), len(self.ways))
        self.shown.append(batch)
        slices = self.store.of_session(person)[::2]
        maps = self.store.array("maps", slices)
        maps[:, 0] *= 0.37 * FIELD
        maps[:, 1] *= 1 + self.wrong.get(self.ways[way], 0.0)
        return maps, 0.9 * self.store.array("clean", slices)


KIND = [name for name, way in WAYS.items() if way.mixture == "properties"]


def test_each_way_has_the_errors_of_those_who_are_scanned_so(store):
    wrong = {"usual": 0.02, "gains_5": 0.05, "gains_10": 0.1, "noise_3": 0.03}
    found = unkind_scores(StandIn(store, KIND, wrong), store, load_preset("smoke"), [0, 1])
    assert KIND == list(wrong)  # of people that nobody can make again signals are not mixed
    assert set(found) == {f"unkind.{way}.{key}" for way in KIND for key in (*ERRORS, "psnr")}
    for way, off in wrong.items():
        for tissue in ("wm", "gm"):
            assert found[f"unkind.{way}.t1_mdape.{tissue}"] == pytest.approx(100 * off, rel=1e-3)
    assert max(v for key, v in found.items() if "pd_" in key or "t2_" in key) < 1e-2
    assert "noise 3 %" in as_text(found) and "signals" not in as_text(found)


def test_the_class_median_is_scored_beside_them(store):
    medians = torch.tensor([WM, GM, (1, 4, 2), (0.8, 1.4, 0.1)])
    found = unkind_scores(StandIn(store, KIND), store, load_preset("smoke"), [0, 1], medians)
    for tissue in ("wm", "gm"):
        off = found[f"unkind.class_median.t1_mdape.{tissue}"]  # right for the first, 1/1.1 for the second
        assert off == pytest.approx(50 * (1 - 1 / 1.1), rel=1e-3)
    assert found["unkind.class_median.pd_mdape.wm"] < 1e-3  # it is not asked for the coil's field


def test_psnr_is_against_the_scan_without_noise_at_the_gain_that_it_has(store):
    found = unkind_scores(StandIn(store, KIND), store, load_preset("smoke"), [0])
    each = []
    for clean in store.array("clean", store.of_session(0)[::2]).unbind(1):
        x = clean.double().numpy().ravel()
        each.append(peak_signal_noise_ratio(x, 0.9 * x, data_range=np.quantile(x, 0.995)))
    assert found["unkind.usual.psnr"] == pytest.approx(np.mean(each), abs=0.02)
    assert found["unkind.noise_3.psnr"] == pytest.approx(np.mean(each), abs=0.02)
    assert abs(found["unkind.gains_10.psnr"] - np.mean(each)) > 0.1


def test_gains_are_each_scan_s_and_noise_is_a_share_of_its_maximum(store):
    clean, truth, fractions = (store.array(a, [0, 1]) for a in ("clean", "maps", "fractions"))
    person = Anybody({"properties": clean}, PROTOCOL, truth, fractions)
    gains = {}
    for name in KIND:
        rows = []
        for number in range(150):
            target, batch = person.scanned(WAYS[name], keyed_draw(7, number))
            ratio = (target / clean).nan_to_num(1.0)
            assert torch.allclose(ratio.amin((0, 2, 3)), ratio.amax((0, 2, 3)), rtol=1e-4)
            rows.append(ratio[0, :, 0, 0].log().numpy())
        gains[name] = np.stack(rows)
        most = target.amax((0, 2, 3), keepdim=True)
        share = ((batch.images - target) / most)[target > 0.5 * most].std()
        assert share.item() == pytest.approx(0.03 if name == "noise_3" else 0.01, rel=0.06)
        assert batch.images.min() >= 0
    for name, sd in (("gains_5", 0.05), ("gains_10", 0.1)):
        assert gains[name].std() == pytest.approx(sd, rel=0.12)
        assert abs(np.corrcoef(gains[name].T)[0, 1]) < 0.25
    assert np.abs(gains["usual"]).max() < 1e-6 and np.abs(gains["noise_3"]).max() < 1e-6
    # the same draw, so that two lines differ by what they say and not by luck
    np.testing.assert_allclose(gains["gains_10"], 2 * gains["gains_5"], atol=1e-4)


@pytest.mark.slow
def test_people_are_made_again_with_tissues_mixed_as_signals(tmp_path):
    config = load_preset(
        "smoke", ["data.train_subjects=1", "data.heldout_subjects=1", "data.heights=[84,100,8]"]
    )
    store = phantom_store(config.data, config.seed, tmp_path / "slices")
    shown = []

    def rebuild(batch):
        shown.append(batch)
        return store.array("maps", store.of_session(1)[::2]), batch.images

    found = unkind_scores(rebuild, store, config, [1])
    assert {key.split(".")[1] for key in found} == set(WAYS)
    again = make_subject(0, 1, spacing=2, heights=(84,), partial_volume="signals")
    slices = store.of_session(1)[::2]
    clean, fractions = store.array("clean", slices), store.array("fractions", slices)
    pure = (fractions[:, :3] > 0.9999).any(1)[:, None].expand_as(clean)
    border = ((fractions[:, 1] > 0.3) & (fractions[:, 2] > 0.3))[:, None].expand_as(clean)
    images = {name: batch.images for name, batch in zip(WAYS, shown, strict=True)}
    noise = 0.01 * clean.abs().amax((0, 2, 3), keepdim=True)
    bright = pure & (clean > 10 * noise)  # a weak magnitude is no longer off by the noise alone
    for name, target in (("usual", clean), ("signals", again.clean)):
        off = (images[name] - target) / (0.01 * target.abs().amax((0, 2, 3), keepdim=True))
        assert off[bright].std().item() == pytest.approx(1, rel=0.1)  # what was scanned, but for the noise
        assert off[border].abs().max() < 6
    # one person: where a voxel holds one tissue the scans agree, at the border of cortex and fluid they do not
    apart = (images["signals"] - images["usual"]) / noise
    assert apart[bright].abs().median() < 0.1 and apart[border].abs().median() > 3
