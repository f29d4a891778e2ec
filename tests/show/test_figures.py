import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from physldm.config import load_preset
from physldm.data import example_maps
from physldm.models import PhysicsVAE
from physldm.physics import Acquisition
from physldm.show import (
    bounds_explorer,
    show_bounds,
    show_curves,
    show_errors,
    show_images,
    show_maps,
    show_overview,
    show_ranges,
    show_surface,
)


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


def test_frames_go_round_the_images_they_are_meant_for():
    one = torch.ones(4, 4)
    figure = show_images([[one, one], [one, one]], rows=["", ""], framed=[0, 3])
    assert [len(axis.patches) for axis in figure.axes if axis.images] == [1, 0, 0, 1]


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


def test_bounds_beyond_the_scale_end_at_its_edge():
    bounds = {"one": torch.tensor([[0.5, 0.1, float("inf")], [0.2, 0.1, 0.3]])}
    figure = show_bounds(bounds, ("wm", "gm"))
    assert [axis.get_title() for axis in figure.axes] == ["PD", "T1", "T2"]
    assert max(line.get_xdata()[0] for line in figure.axes[2].lines[:2]) == 1e4


def test_errors_keep_their_sign_and_are_in_percent():
    figure = show_errors({"one": torch.tensor([[0.5, -0.1, 0.0], [-0.2, 0.1, 0.3]])}, ("wm", "gm"))
    widths = [[bar.get_width() for bar in axis.patches] for axis in figure.axes]
    assert np.allclose(widths, [[50, -20], [-10, 10], [0, 30]])
    assert {axis.get_xlabel() for axis in figure.axes} == {"error (%)"}


def test_steps_of_a_surface_and_ranges_have_units():
    x, y = torch.linspace(0, 1, 5), torch.linspace(1, 2, 4)
    figure = show_surface(x, y, {"wm": x[None] * y[:, None]}, xlabel="TE (s)", ylabel="TR (s)", label="error (%)",
                          levels=[0, 0.5, 1])  # fmt: skip
    assert figure.axes[0].get_xlabel() == "TE (s)" and figure.axes[-1].get_ylabel() == "error (%)"
    ranges = show_ranges([("wm", "one", 0.8, 0.7, 0.9), ("gm", "two", None, 1.0, 2.0)], xlabel="T1 (s)")
    assert [t.get_text() for t in ranges.axes[0].get_yticklabels()] == [
        "one · white matter",
        "two · grey matter",
    ]


def test_pd_is_shown_as_it_is_where_it_has_a_unit(maps):
    pd = shown(show_maps({"brain": 0.5 * maps}, scale_pd=False))[0]
    assert pd.get_clim() == (0.0, 1.2)
    np.testing.assert_allclose(pd.get_array(), 0.5 * maps[0].numpy())


def test_explorer_is_live_in_a_notebook_and_still_on_a_page(monkeypatch, capsys):
    protocol = [Acquisition.usual("mprage"), Acquisition.usual("flair"), Acquisition.usual("spin_echo")]
    monkeypatch.setenv("PHYSLDM_STATIC", "1")
    assert type(bounds_explorer(protocol)).__name__ == "Figure"
    monkeypatch.delenv("PHYSLDM_STATIC")
    columns, _ = bounds_explorer(protocol).children
    assert [k.description for k in columns.children[0].children[1:]] == ["TR (s)", "TI (s)"]
    capsys.readouterr()
    columns.children[0].children[2].value = 5.0
    assert "ti" in capsys.readouterr().out


@pytest.mark.parametrize(
    "change, said", [("vae.fusion=mixture", "mixture of"), ("vae.adagn=true", "product of")]
)
def test_the_overview_shows_the_shapes_and_sizes_of_the_model(change, said):
    vae = PhysicsVAE(load_preset("smoke", [change]).vae)
    text = "\n".join(t.get_text() for t in show_overview(vae).axes[0].texts)
    assert "4 × 14 × 10" in text and "3 × 112 × 80" in text and said in text
    for part in (vae.encoder, vae.decoder):
        assert f"{sum(p.numel() for p in part.parameters()) / 1e6:.2f} million" in text
