import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from physldm.data import example_maps
from physldm.physics import Acquisition
from physldm.show import scanner, show_curves, show_images, show_maps
from physldm.show.widgets import RANGE, START, scanner_screen


@pytest.fixture(scope="module")
def maps():
    return example_maps(2)[0]


def shown(figure):
    return [axis.images[0] for axis in figure.axes if axis.images]


def test_images_of_a_row_share_one_scale_and_their_bar_has_a_unit():
    one, two = torch.full((4, 4), 0.5), torch.full((4, 4), 2.0)
    figure = show_images([one, two])
    assert {image.get_clim() for image in shown(figure)} == {(0.0, 2.0)}
    assert any(axis.get_ylabel() for axis in figure.axes)
    each = show_images([one, two], each=True)
    assert all(np.allclose(image.get_array(), 1.0) for image in shown(each))


def test_maps_are_shown_as_they_are_and_only_inside(maps):
    figure = show_maps({"brain": maps})
    pd, t1, _ = shown(figure)
    inside = ~np.ma.getmaskarray(np.ma.masked_invalid(t1.get_array()))
    assert 0.2 < inside.mean() < 0.8 and pd.get_clim() == (0.0, 1.0)
    np.testing.assert_allclose(t1.get_array()[inside], maps[1].numpy()[inside])


def test_a_figure_is_shown_once():
    figure = show_curves(torch.arange(3.0), {"wm": torch.arange(3.0)}, xlabel="x (s)", ylabel="y")
    assert not plt.fignum_exists(figure.number) if hasattr(figure, "number") else True
    assert plt.get_fignums() == []


def test_scanner_is_live_in_a_notebook_and_still_on_a_page(maps, monkeypatch):
    monkeypatch.delenv("PHYSLDM_STATIC", raising=False)
    box = scanner(maps)
    knobs = {k.description: k for k in box.children[1:-1]}
    box.children[0].value = "spin_echo"
    assert knobs["TI (s)"].disabled and knobs["TE (s)"].value == START["spin_echo"]["te"]
    monkeypatch.setenv("PHYSLDM_STATIC", "1")
    assert type(scanner(maps)).__name__ == "Figure"


def test_scanner_starts_within_its_knobs():
    for times in START.values():
        for name, value in times.items():
            assert RANGE[name][0] <= value <= RANGE[name][1]


def test_screen_says_what_it_shows(maps):
    figure = scanner_screen(maps, Acquisition("flair", te=0.09, tr=9.0, ti=2.5))
    assert "flair" in figure.axes[0].get_title() and "signal" in figure.axes[1].get_xlabel()
