import re

import pytest

from physldm.show import table

COLUMNS = {"change": "", "steps": ",d", ("white matter", "T1 (%)"): ".1f", ("white matter", "T2 (%)"): ".1f"}


def test_a_table_has_heads_units_and_a_dash_for_what_is_not_known():
    html = table([["a < b", 5200, 3.26, None]], COLUMNS)._repr_html_()
    assert re.findall(r'<th scope="col"[^>]*>(.*?)</th>', html) == ["change", "steps", "T1 (%)", "T2 (%)"]
    assert '<th scope="colgroup" colspan="2">white matter</th>' in html
    assert re.findall(r"<td style[^>]*>(.*?)</td>", html) == ["5,200", "3.3", "–"]
    assert re.search(r'<th scope="row"[^>]*>a &lt; b</th>', html)


def test_a_table_without_groups_has_one_line_of_heads_and_none_is_empty():
    html = table([["one", 1.0]], {"name": "", "T1 (s)": ".2f"})._repr_html_()
    assert html.count("<tr>") == 2 and "<th></th>" not in html


def test_a_terminal_gets_aligned_columns():
    lines = repr(table([["one", 5200, 3.26, 10.0], ["another", 60, 11.0, 9.5]], COLUMNS)).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[0].split("  ")[0] == "change" and "white matter T1 (%)" in lines[0]


def test_a_row_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="row 1: found 3 values, expected 4"):
        table([["a", 1, 2.0, 3.0], ["b", 1, 2.0]], COLUMNS)
