"""The registry: no equation without code, no code that names an equation the book lacks, and both agree."""

import math
import random
from pathlib import Path

import pytest
import torch

from physldm.physics import flair, mprage, spin_echo
from physldm.teach.equations import equations_of_book, equations_of_package, right_side

BOOK = Path(__file__).parents[2] / "book"
SIGNALS = {
    "eq-mprage": lambda p, u, v, a, b, c: mprage(p, u, v, tr=b, ti=c),
    "eq-spin-echo": lambda p, u, v, a, b, c: spin_echo(p, u, v, te=a, tr=b),
    "eq-flair": lambda p, u, v, a, b, c: flair(p, u, v, te=a, tr=b, ti=c),
}


def test_no_orphan_on_either_side():
    assert set(equations_of_book(BOOK)) == set(equations_of_package())


@pytest.mark.parametrize("label", SIGNALS)
def test_signal_equations_on_the_page_are_those_in_code(label):
    page = right_side(equations_of_book(BOOK)[label][1])
    draw = random.Random(0)
    for _ in range(20):
        values = {
            "p": draw.uniform(0.1, 2), "u": draw.uniform(0.2, 5), "v": draw.uniform(0.02, 2),
            "a": draw.uniform(0.005, 0.5), "b": draw.uniform(0.6, 10), "c": draw.uniform(0.05, 5),
        }  # fmt: skip
        assert {str(s) for s in page.free_symbols} <= {*values, "e"}
        on_page = float(page.subs({"e": math.e, **values}))
        p, u, v = (torch.tensor(values[k], dtype=torch.float64) for k in "puv")
        assert SIGNALS[label](p, u, v, values["a"], values["b"], values["c"]).item() == pytest.approx(on_page)
