import runpy
from pathlib import Path

import pytest

from physldm.teach import Verdict, check

SOLUTION = Path(__file__).parents[2] / "book" / "solutions" / "02.py"
WRONG = [
    (22.3, 2.6, -14.2),  # TR 2.4 s, TI 1.0 s
    (-24.5, -10.1, 23.6),  # white matter
    (0.76, 0.1, -0.62),  # TI 0.9 s scanned, 1.0 s believed
    (86.3, 8.0, 33.8),
    (0.863, 0.08, -0.338),
    (-46.3, -7.4, 51.0),  # truth over found
    (86.3, -33.8, 8.0),
    (0, 0, 0),
    86.3,
    (86.3, 8.0),
]


def test_solution_passes_and_nothing_else():
    solution = runpy.run_path(str(SOLUTION))["error_budget"]()
    assert check.error_budget(solution)
    assert check.error_budget([float(f"{x:.2g}") for x in solution])
    for wrong in [None, ..., *WRONG, object(), "text"]:
        verdict = check.error_budget(wrong)
        assert isinstance(verdict, Verdict) and not verdict and "Not yet" in repr(verdict)


@pytest.mark.parametrize("n", range(6))
def test_known_slips_get_their_own_hint(n):
    hints = [check.error_budget(wrong).hint for wrong in WRONG[:6]]
    assert hints.count(hints[n]) == 1 and "first" not in hints[n]
