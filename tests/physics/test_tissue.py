import re
from pathlib import Path

import pytest
import torch

from physldm.physics.tissue import (
    MEASURED,
    PRIOR_T1,
    PRIOR_T2,
    TISSUES,
    from_output,
    log_normal,
    water_content,
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "property"),
    [("wm", "T1"), ("gm", "T1"), ("csf", "T1"), ("muscle", "T1"), ("wm", "T2"), ("muscle", "T2")],
)
def test_defaults_lie_within_what_was_measured(name, property):
    ranges = [
        m.spread if m.value is None else (m.value - m.spread, m.value + m.spread)
        for m in MEASURED
        if (m.tissue, m.field, m.property) == (name, 3.0, property)
    ]
    found = getattr(TISSUES[name], property.lower())
    assert min(low for low, _ in ranges) <= found <= max(high for _, high in ranges)


def test_t1_grows_with_the_field_where_one_source_measured_both():
    t1 = {(m.tissue, m.field): m.value for m in MEASURED if m.source == "wright2008"}
    assert all(t1[name, 1.5] < 0.8 * t1[name, 3.0] for name in ("wm", "gm"))


def test_every_source_is_in_the_references():
    references = (Path(__file__).parents[2] / "book" / "references.bib").read_text(encoding="utf-8")
    keys = set(re.findall(r"@\w+\{(\w+),", references))
    assert {m.source for m in MEASURED} <= keys


def test_log_normal_is_a_density_with_this_median():
    t = torch.linspace(1e-4, 20, 2_000_001, dtype=torch.float64)
    p = log_normal(t, PRIOR_T1, 0.5)
    area = torch.cumulative_trapezoid(p, t)
    assert area[-1].item() == pytest.approx(1, abs=1e-4)
    assert t[int((area < 0.5).sum())].item() == pytest.approx(PRIOR_T1, abs=1e-3)
    other = (
        torch.distributions.LogNormal(torch.tensor(PRIOR_T2).log(), 0.4).log_prob(torch.tensor(0.13)).exp()
    )
    assert log_normal(torch.tensor(0.13), PRIOR_T2, 0.4).item() == pytest.approx(other.item(), rel=1e-5)


def test_output_zero_is_the_median_and_nothing_is_negative():
    assert from_output(torch.zeros(1), PRIOR_T2).item() == pytest.approx(0.1)
    assert (from_output(torch.linspace(-20, 20, 9), PRIOR_T1) > 0).all()


def test_water_is_what_was_measured_at_these_t1():
    # Oros-Peusquens et al. 2019, 21 volunteers at 3 T, by another method: 69.1 (SD 1.7) % and 83.7 (1.2) %;
    # T1 of Wright et al. 2008
    assert water_content(torch.tensor(0.838)).item() == pytest.approx(0.691, abs=0.017)
    assert water_content(torch.tensor(1.607)).item() == pytest.approx(0.837, abs=0.012)
    # pure water, whose T1 is that of CSF or a little longer
    assert water_content(torch.tensor(4.16)).item() == pytest.approx(1, abs=0.03)
