import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.text import Text

from physldm.config import load_preset
from physldm.data import example_maps
from physldm.models import PhysicsVAE
from physldm.physics import Acquisition
from physldm.show import (
    TISSUE_COLOURS,
    bounds_explorer,
    show_bounds,
    show_curves,
    show_effects,
    show_errors,
    show_images,
    show_lines,
    show_log,
    show_maps,
    show_overview,
    show_ranges,
    show_surface,
)

PAGE = 7.5  # inches: what fits the text column of the site without being shrunk


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
    each = show_images([one, two], own_scale=True)
    assert all(np.allclose(image.get_array(), 1.0) for image in shown(each))


@pytest.mark.parametrize("titles", [["one"], ["one", "two", "three"]])
def test_titles_that_do_not_fit_the_images_are_refused(titles):
    with pytest.raises(ValueError, match=f"titles: found {len(titles)}, expected 2"):
        show_images([torch.ones(4, 4)] * 2, titles)


@pytest.mark.parametrize("count", range(1, 8))
def test_every_line_is_drawn_and_no_two_look_alike(count):
    x = torch.linspace(1, 2, 9)
    lines = {f"line {i}": x + i for i in range(count)}
    curves = show_curves(x, lines, xlabel="x", ylabel="y").axes[0]
    plane = show_lines({"": {n: (x, y) for n, y in lines.items()}}, xlabel="x", ylabel="y", points=True)
    for axis in (curves, plane.axes[0]):
        assert len([line for line in axis.lines if len(line.get_xdata()) == 9]) == count
        assert len({line.get_color() for line in axis.lines}) == count
    assert [t.get_text() for t in plane.legends[0].get_texts()] == list(lines)
    assert len({line.get_marker() for line in plane.axes[0].lines}) == count


def test_more_lines_than_looks_are_refused():
    x = torch.linspace(1, 2, 9)
    lines = {f"line {i}": x + i for i in range(8)}
    with pytest.raises(ValueError, match="found 8, expected at most 7"):
        show_curves(x, lines, xlabel="x", ylabel="y")
    with pytest.raises(ValueError, match="found 8, expected at most 7"):
        show_lines({"": {n: (x, y) for n, y in lines.items()}}, xlabel="x", ylabel="y")
    with pytest.raises(ValueError, match="found 8"):
        show_curves(x, {"csf": x, **dict(list(lines.items())[:7])}, xlabel="x", ylabel="y")
    assert plt.get_fignums() == []


def test_a_line_beside_tissues_never_takes_the_look_of_one():
    x = torch.linspace(1, 2, 9)
    axis = show_curves(x, {"mean": x, "wm": x, "gm": x + 1}, xlabel="x", ylabel="y").axes[0]
    colour = {line.get_label(): line.get_color() for line in axis.lines}
    assert colour["white matter"] == TISSUE_COLOURS["wm"] and colour["grey matter"] == TISSUE_COLOURS["gm"]
    assert colour["mean"] not in (TISSUE_COLOURS["wm"], TISSUE_COLOURS["gm"])


def test_a_line_looks_the_same_in_every_panel_and_the_legend_has_all():
    x = torch.linspace(1, 2, 9)
    figure = show_lines({"left": {"a": (x, x), "b": (x, x)}, "right": {"b": (x, x), "c": (x, x)}},
                        level={"floor": 1.5}, xlabel="x", ylabel="y")  # fmt: skip
    left, right = figure.axes
    assert left.lines[1].get_color() == right.lines[0].get_color() != right.lines[1].get_color()
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["a", "b", "c", "floor"]
    for axis in (left, right):
        (level,) = (line for line in axis.lines if set(line.get_ydata()) == {1.5})
        assert level.get_linestyle() != "-"


def test_no_figure_is_wider_than_the_page(maps):
    x, image = torch.linspace(1, 2, 9), maps[0]
    steps = {name: (range(40), list(range(1, 41))) for name in "abcd"}
    effects = {f"change {i}": ({"one": 1.0}, 0.1) for i in range(5)}
    vae = PhysicsVAE(load_preset("smoke").vae)
    many = {str(i): {"a": (x, x)} for i in range(4)}
    for figure in (
        show_images([image] * 10, ["a title of some length"] * 10),
        show_maps({"one": maps}),
        show_log(steps, list(steps)),
        show_effects(effects),
        show_lines(many, xlabel="x", ylabel="y"),
        show_overview(vae),
        show_bounds({"one": torch.ones(3, 3)}, ("wm", "gm", "csf")),
    ):
        assert figure.get_figwidth() < PAGE
        figure.draw_without_rendering()
        assert figure.get_tightbbox().width < PAGE
        small = [t.get_fontsize() for t in figure.findobj(Text) if t.get_text().strip()]
        assert min(small) >= 7  # mathtext's indices; words have 8 points or more


@pytest.mark.parametrize("top", [2.0, 60.0, 3e3])
def test_logarithmic_ticks_are_written_as_plain_numbers(top):
    figure = show_log({"loss": (range(40), np.geomspace(1.0, top, 40))}, {"loss": "the loss"})
    figure.draw_without_rendering()
    axis = figure.axes[0]
    low, high = axis.get_ylim()
    texts = [t.get_text() for t in axis.get_yticklabels() if low <= t.get_position()[1] <= high]
    assert len(texts) >= 2 and all(float(text) > 0 for text in texts)
    assert axis.get_ylabel() == "the loss"


def test_figures_have_one_ground_and_no_box():
    for style in ("default", "dark_background"):
        with plt.style.context(style):
            figure = show_curves(torch.arange(3.0), {"wm": torch.arange(3.0)}, xlabel="x (s)", ylabel="y")
        assert figure.get_facecolor() == (1, 1, 1, 1)
        assert not figure.axes[0].spines["top"].get_visible()
        assert figure.axes[0].xaxis.label.get_color() == "black"


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
