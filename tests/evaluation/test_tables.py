"""What people read."""

from physldm.evaluation.tables import as_text


def test_who_is_compared_stands_in_one_line():
    scores = {
        "truth.t1_mdape.wm": 3.64, "class_median.t1_mdape.wm": 6.71, "own_median.t1_mdape.wm": 3.02,
        "truth.t1_correlation.wm": 0.787, "truth.pd_mdape.wm": 3.3, "truth.pd_smooth_mdape.wm": 2.5,
        "truth.t1_mdape": 4.0, "fixed.psnr": 28.8,
    }  # fmt: skip
    lines = as_text(scores).splitlines()
    assert lines[0].split() == ["fixed.psnr", "28.8"]
    rows = {line[:44].strip(): line[44:].split() for line in lines[2:]}
    assert next(iter(rows.values())) == ["found", "class", "median", "own", "median", "correlation"]
    assert rows["wm      T1"] == ["3.6", "6.7", "3.0", "0.79"]
    assert rows["brain   T1"] == ["4.0", "–", "–", "–"]
    assert rows["wm      PD, coil's field divided out"] == ["2.5", "–", "–", "–"]
    assert len(lines) == 7 and len({len(line) for line in lines[2:]}) == 1


def test_less_kind_scans_stand_below_each_other():
    keys = [f"{p}_mdape.{t}" for p in ("pd", "t1", "t2") for t in ("wm", "gm")]
    scores = {f"unkind.signals.{key}": i + 0.5 for i, key in enumerate(keys)} | {"unkind.signals.psnr": 22.6}
    scores |= {f"unkind.class_median.{key}": 4.0 for key in keys}
    heads, signals, median = as_text(scores).splitlines()
    assert heads.split()[-6:] == ["PD", "GM", "T1", "WM", "T1", "GM", "T2", "WM", "T2", "GM"][-6:]
    assert signals.split()[-7:] == ["22.6", "0.5", "1.5", "2.5", "3.5", "4.5", "5.5"]
    assert median.split() == ["class", "median", "–", *["4.0"] * 6]


def test_people_read_other_protocols_as_a_table():
    scores = {f"protocols.{p}_mdape.{t}.{of}": v for p in ("pd", "t1", "t2") for t in ("wm", "gm")
              for of, v in (("median", 3.14), ("worst", 27.2))}  # fmt: skip
    text = as_text({"fixed.psnr": 29.0, "share.wm": 30.0, **scores})
    lines = text.splitlines()
    assert lines[0].split() == ["fixed.psnr", "29"] and lines[1] == "" and lines[2].startswith("share.wm")
    assert [line.split()[-6:] for line in lines[-2:]] == [["3.1", "(27.2)"] * 3] * 2
    assert "wm" in lines[-2] and "gm" in lines[-1] and len(lines) == 7
    assert as_text({"fixed.psnr": 29.0}).splitlines() == [lines[0]]
