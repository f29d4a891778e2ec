"""The registry: no equation without code, no code that names an equation the book lacks, and both agree."""

import functools
import math
import random
from pathlib import Path

import pytest
import torch

from physldm.physics import SEQUENCES
from physldm.physics.sequences import t1_star
from physldm.physics.tissue import from_output, log_normal
from physldm.teach.equations import equations_of_book, equations_of_package, labelled_equations, right_side

BOOK = Path(__file__).parents[2] / "book"
PAGES = labelled_equations(BOOK)
# The letter of each setting in right_side, and the sequence whose equation a label is.
LETTERS = {"te": "a", "tr": "b", "ti": "c", "ti2": "d", "effective_te": "l", "echo_spacing": "h",
           "train_length": "q", "centre_echo": "k", "t2_prime": "x"}  # fmt: skip
SIGNALS = {f"eq-{name.replace('_', '-')}": name for name in SEQUENCES if name not in ("mp2rage", "flair_tse")}
PERFECT = {"b1": 1.0, "inversion_efficiency": 1.0}


@functools.cache  # reading a page's LaTeX takes long
def expression_of(label):
    return right_side(PAGES[label][1])


def on_page(label, values):
    expression = expression_of(label)
    assert {str(s) for s in expression.free_symbols} <= {*values, "e"}, label
    return float(expression.subs({"e": math.e, **values}))


def draw_values(draw):
    """Tissue and settings, and what the steps on the page make of them."""
    v = {
        "p": draw.uniform(0.1, 2), "u": draw.uniform(0.2, 5), "v": draw.uniform(0.02, 2),
        "a": draw.uniform(0.001, 0.3), "b": draw.uniform(1.5, 10), "c": draw.uniform(0.3, 0.9),
        "d": draw.uniform(0.05, 0.5), "l": draw.uniform(0.01, 0.3), "h": draw.uniform(0.003, 0.02),
        "q": draw.randint(2, 30), "x": draw.uniform(0.02, 1), "alpha": draw.uniform(2, 80),
    }  # fmt: skip
    v["k"] = draw.randrange(v["q"])
    v["A"], v["C"] = math.sin(math.radians(v["alpha"])), math.cos(math.radians(v["alpha"]))
    v["o"] = 1 / (1 / v["v"] + 1 / v["x"])
    v["w"] = v["c"] - v["k"] * v["h"]
    v["r"] = v["b"] - v["w"] - v["q"] * v["h"]
    v["t"] = 1 / on_page("eq-t1-star", v)
    v["m"] = on_page("step-m-infinity", v)
    v["y"] = on_page("step-m-0", v)
    v["f"] = on_page("step-train-limit", v)
    v["j"] = -(1 - math.exp(-v["h"] / (2 * v["u"])))
    v["n"] = on_page("step-train", v)
    return v


def test_no_orphan_on_either_side():
    assert set(equations_of_book(BOOK)) == set(equations_of_package())


@pytest.mark.parametrize("label", SIGNALS)
def test_signal_equations_on_the_page_are_those_in_code(label):
    model, draw = SEQUENCES[SIGNALS[label]], random.Random(0)
    for _ in range(8):
        v = draw_values(draw)
        v_of = {"flip_angle": v["alpha"], **PERFECT, **{name: v[key] for name, key in LETTERS.items()}}
        settings = {name: v_of[name] for name in model.takes}
        tissue = (torch.tensor(v[k], dtype=torch.float64) for k in "puv")
        assert model.equation(*tissue, **settings).item() == pytest.approx(on_page(label, v), rel=1e-9), v


@pytest.mark.parametrize("label", ["eq-spin-echo-b1", "eq-flair-b1"])
def test_imperfect_pulses_on_the_page_are_those_in_code(label):
    name = {"eq-spin-echo-b1": "spin_echo_exact", "eq-flair-b1": "flair_exact"}[label]
    draw = random.Random(1)
    for _ in range(8):
        v, b1 = draw_values(draw), draw.uniform(0.5, 1.5)
        v["f"] = draw.uniform(0, 1)
        v["A"], v["C"] = math.sin(math.radians(90 * b1)), math.cos(math.radians(90 * b1))
        v["B"], v["D"] = math.sin(math.radians(90 * b1)) ** 2, math.cos(math.radians(180 * b1))
        known = {"te": v["a"], "tr": v["b"], "ti": v["c"], "b1": b1, "inversion_efficiency": v["f"]}
        settings = {key: known[key] for key in SEQUENCES[name].takes}
        tissue = (torch.tensor(v[k], dtype=torch.float64) for k in "puv")
        found = SEQUENCES[name].equation(*tissue, **settings).item()
        assert found == pytest.approx(on_page(label, v), rel=1e-9), v


def test_mp2rage_on_the_page_is_that_in_code():
    """Two read-outs of one pulse each after one inversion: their signals are those of two inversion recoveries."""
    t1, tr, ti, ti2, angle = 0.9, 5.0, 0.7, 2.5, 20.0
    mz, cos, sin = 1.0, math.cos(math.radians(angle)), math.sin(math.radians(angle))
    for _ in range(50):
        first = 1 - (1 + mz) * math.exp(-ti / t1)
        second = 1 - (1 - first * cos) * math.exp(-(ti2 - ti) / t1)
        mz = 1 - (1 - second * cos) * math.exp(-(tr - ti2) / t1)
    expected = on_page("eq-mp2rage", {"z": sin * first, "s": sin * second})
    one, t = torch.ones(1, dtype=torch.float64), torch.tensor([t1], dtype=torch.float64)
    train = {"echo_spacing": 0.005, "train_length": 1, "centre_echo": 0}
    found = SEQUENCES["mp2rage"].equation(
        one, t, t, tr=tr, ti=ti, ti2=ti2, flip_angle=angle, flip_angle2=angle, **train
    )
    assert found.item() == pytest.approx(expected, rel=1e-9)


def test_other_equations_that_can_be_read():
    t1 = torch.tensor(0.9, dtype=torch.float64)
    rate = on_page("eq-t1-star", {"u": 0.9, "h": 0.007, "C": math.cos(math.radians(8))})
    assert 1 / t1_star(t1, flip_angle=8.0, echo_spacing=0.007).item() == pytest.approx(rate)
    assert from_output(torch.tensor(0.3), 0.1).item() == pytest.approx(0.1 * math.exp(0.3))
    density = math.exp(-(math.log(1.5) ** 2) / (2 * 0.4**2)) / (1.5 * 0.4 * math.sqrt(2 * math.pi))
    assert log_normal(torch.tensor(1.5), 1.0, 0.4).item() == pytest.approx(density, rel=1e-5)


def test_a_wrong_page_is_noticed():
    swapped = right_side(r"s = \mathrm{PD} \left( 1 - e^{-\mathrm{TE} / T_1} \right) e^{-\mathrm{TR} / T_2}")
    values = {"e": math.e, "p": 1.0, "u": 0.9, "v": 0.08, "a": 0.1, "b": 3.0}
    one, t1, t2 = (torch.tensor(x, dtype=torch.float64) for x in (1.0, 0.9, 0.08))
    found = SEQUENCES["spin_echo"].equation(one, t1, t2, te=0.1, tr=3.0).item()
    assert abs(float(swapped.subs(values)) - found) > 0.1
