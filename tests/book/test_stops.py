"""Which stop two judges choose who do not agree."""

import importlib.util
import sys
from pathlib import Path

import pytest

BOOK = Path(__file__).parents[2] / "book"


@pytest.fixture
def chosen(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(BOOK), *sys.path])
    spec = importlib.util.spec_from_file_location("stops", BOOK / "stops.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.chosen


def rows(**said):
    """Of each stop its distance and its AUC, in two sets about these."""
    return {
        int(stop[1:]): {"distance": [far - 1, far + 1], "auc": [told - 0.01, told + 0.01]}
        for stop, (far, told) in said.items()
    }


def test_the_stop_is_chosen_whose_worse_judge_is_the_kindest(chosen):
    # 1.28 and 1.01 times as bad as the best, 1.11 and 1, 1 and 1.14, 1.07 and 1.20
    found = chosen(rows(t0=(34, 0.915), t60=(29.6, 0.909), t120=(26.6, 0.96), t180=(28.4, 0.98)), 0.5)
    assert found == 60
    # by the distance alone the third, by the classifier alone the first
    assert chosen(rows(t0=(34, 0.90), t60=(30, 0.91), t120=(25, 0.99)), 0.5) == 60


def test_what_chance_gives_is_no_fault_of_a_stop(chosen):
    """Beyond 0.5 an AUC of 0.61 is a fourth worse than one of 0.59; beyond chance, 0.58, it is three times as bad."""
    said = rows(t0=(25, 0.61), t60=(33, 0.59))
    assert chosen(said, 0.5) == 0 and chosen(said, 0.58) == 60
