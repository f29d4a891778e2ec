"""The ablation: its rows are the paper's, it goes on where it stopped, its table shows what was found."""

import itertools
import json
import math
import shlex

import numpy as np
import pytest

from physldm.ablation import COLUMNS, SWITCHES, ablate, command, effects, lenth, luck, rows, table
from physldm.config import load_preset
from physldm.runs import Run


def test_rows_are_those_of_the_papers_table_in_its_order():
    found = [row.switches for row in rows([0])]
    assert len(set(found)) == 16
    # Table 1, first, fourth, fifth and last row: G, modality dropout, prior, AdaGN
    assert found[0] == (True, True, True, True) and found[3] == (False, False, True, True)
    assert found[4] == (True, True, False, True) and found[15] == (False, False, False, False)
    base = load_preset("laptop")
    config = rows([7])[1].config(base)  # dropout, prior and AdaGN
    assert (config.vae.gain, config.vae.adagn, config.seed) == (False, True, 7)
    assert config.augment.subsets > 0 and config.loss.prior == base.loss.prior > 0
    assert config.vae_stage.steps == base.ablation_steps
    assert (
        rows([7])[15].config(base).loss.prior == 0 and [r.seed for r in rows([1, 2])] == [1] * 16 + [2] * 16
    )


def test_a_gain_of_each_scan_can_be_asked_for():
    one, other = (row.config(load_preset("laptop", ["vae.gain=scan"])) for row in rows([0])[:2])
    assert (one.vae.gain, other.vae.gain) == ("scan", False)


def test_the_command_of_a_row_asks_for_what_it_was_made_with():
    changes = ["data.heights=[76, 100, 8]", "vae.gain=scan", "precision=32-true", "vae_stage.lr=1e-4"]
    program, *words = shlex.split(command(load_preset("smoke", changes), 3))
    asked = dict(zip(words[1:7:2], words[2:7:2], strict=True))
    assert (program, words[0], asked) == (
        "physldm",
        "ablate",
        {"--out": "DIR", "--preset": "smoke", "--seed": "3"},
    )
    assert words[7::2] == ["--set"] * 3  # the heights are the preset's own
    assert load_preset("smoke", words[8::2]) == load_preset("smoke", changes)


@pytest.mark.slow
def test_a_stopped_ablation_goes_on(tmp_path):
    base = load_preset("smoke", ["precision=32-true", "data.train_subjects=2", "data.heldout_subjects=1"])
    first = list(itertools.islice(ablate(tmp_path, base, [0]), 1))
    weights = tmp_path / "GDPA-seed0" / "vae.safetensors"
    before = weights.stat().st_mtime_ns
    again = list(itertools.islice(ablate(tmp_path, base, [0]), 2))
    assert again[0] == first[0] and weights.stat().st_mtime_ns == before
    assert json.loads((tmp_path / "ablation.json").read_text()) == again
    assert [again[1][s] for s in SWITCHES] == [False, True, True, True]
    assert again[0]["steps"] == Run(weights.parent).log("vae")["loss"][0][-1] + 1 and again[0]["seed"] == 0
    gains = [Run(folder).config.vae.gain for folder in (weights.parent, tmp_path / "-DPA-seed0")]
    assert gains == [row["vae.gain"] for row in again] == ["session", False]
    assert {row["data.protocols"] for row in again} == {base.data.protocols}
    assert all(key in again[0] for _, key, _ in COLUMNS)


def test_the_table_takes_means_over_seeds_and_marks_the_best():
    switches = (dict.fromkeys(SWITCHES, False), dict.fromkeys(SWITCHES, True))
    found = [
        {**on, "seed": seed, **{key: value for _, key, _ in COLUMNS}}
        for on, values in zip(switches, ((1.0, 3.0), (4.0, 6.0)), strict=True)
        for seed, value in enumerate(values)
    ]
    header, _, off, on = (line.split(" | ") for line in table(found).splitlines())
    column = {name.strip("| "): i for i, name in enumerate(header)}
    assert off[column["MSE"]] == "**2**" and on[column["MSE"]] == "5"
    assert on[column["PSNR"]] == "**5.00**" and off[column["PSNR"]] == "2.00"
    assert on[column["AdaGN"]] == "✓"


def a_table(seeds=1):
    """All rows, and a score in which 5, −3 and 2 are hidden, with the luck of every training."""
    draw, found = np.random.default_rng(0), []
    for on in itertools.product((True, False), repeat=4):
        for seed in range(seeds):
            score = 30 + 5 * on[0] - 3 * on[2] + 4 * on[0] * on[3] + draw.normal(0, 0.1)
            found.append({**dict(zip(SWITCHES, on, strict=True)), "seed": seed, "score": score})
    return found


@pytest.mark.parametrize("seeds", [1, 3])
def test_effects_are_those_of_a_regression_on_all_products(seeds):
    found = a_table(seeds)
    every = effects(found, "score")
    signs = np.array([[1 if row[s] else -1 for s in SWITCHES] for row in found])
    design = np.stack([signs[:, [SWITCHES.index(s) for s in a]].prod(1) for a in every], 1)
    design = np.concatenate([np.ones((len(found), 1)), design], 1)
    slopes = np.linalg.lstsq(design, np.array([row["score"] for row in found]), rcond=None)[0]
    np.testing.assert_allclose(list(every.values()), 2 * slopes[1:], rtol=1e-10, atol=1e-12)
    assert len(every) == 15
    assert every[SWITCHES[0],] == pytest.approx(7, abs=0.2)  # 5, and 4 in the half where the last one is on
    assert every[SWITCHES[2],] == pytest.approx(-3, abs=0.2)
    assert every[SWITCHES[0], SWITCHES[3]] == pytest.approx(2, abs=0.2)


def test_luck_is_the_spread_that_was_put_in():
    draws = []
    for seed in range(400):
        noise = np.random.default_rng(seed).normal(0, 1, 16)
        found = [{**row, "score": row["score"] + e} for row, e in zip(a_table(), noise, strict=True)]
        draws.append(luck(effects(found, "score")) ** 2)
    # an effect is a difference of two means of eight: its variance is 1/8 + 1/8, and 0.1² of it from the table
    assert math.sqrt(np.mean(draws)) == pytest.approx(math.sqrt(0.25 * (1 + 0.1**2)), rel=0.07)


def standard_order(responses):
    """Rows of a published 2⁴ experiment: the first switch changes fastest, all are off in the first row."""
    ways = (way[::-1] for way in itertools.product((False, True), repeat=4))
    return [{**dict(zip(SWITCHES, way, strict=True)), "y": y} for way, y in zip(ways, responses, strict=True)]


# Rate of filtration (Montgomery, Design and Analysis of Experiments, example 6.2), with its fifteen effects.
FILTRATION = (45, 71, 48, 65, 68, 60, 80, 65, 43, 100, 45, 104, 75, 86, 70, 96)
FILTRATION_EFFECTS = {
    "A": 21.625, "B": 3.125, "C": 9.875, "D": 14.625, "AB": 0.125, "AC": -18.125, "AD": 16.625, "BC": 2.375,
    "BD": -0.375, "CD": -1.125, "ABC": 1.875, "ABD": 4.125, "ACD": -1.625, "BCD": -2.625, "ABCD": 1.375,
}  # fmt: skip
# Conversion in a chemical process (Box, Hunter and Hunter 2005, table 5.10a).
CONVERSION = (71, 61, 90, 82, 68, 61, 87, 80, 61, 50, 89, 83, 59, 51, 85, 78)


def test_published_experiments():
    found = effects(standard_order(FILTRATION), "y")
    letters = dict(zip(SWITCHES, "ABCD", strict=True))
    assert {
        "".join(letters[s] for s in chosen): value for chosen, value in found.items()
    } == FILTRATION_EFFECTS
    # Lenth's s₀ there is 3.9375, so that what is beyond 9.84 does not count; the margin of error is 6.75
    assert lenth(found) == pytest.approx(2.625)
    assert 2.571 * lenth(found) == pytest.approx(6.75, abs=0.005)
    conversion = effects(standard_order(CONVERSION), "y")
    assert [conversion[s,] for s in SWITCHES] == [-8, 24, -2.25, -5.5]
    assert luck(conversion) == pytest.approx(0.55, abs=0.005)


def test_lenth_finds_the_spread_that_was_put_in_where_a_threefold_effect_is_real():
    noise = np.random.default_rng(5)
    draws = []
    for _ in range(400):
        found = {chosen: noise.normal(0, 0.5) for chosen in effects(a_table(), "score")}
        found[SWITCHES[0],] += 20
        found[SWITCHES[:3]] += 20
        draws.append((lenth(found), luck(found)))
    median_lenth, median_luck = np.median(draws, 0)
    assert median_lenth == pytest.approx(0.5, rel=0.2) and median_luck > 8


def test_a_table_in_which_nothing_moves_has_no_luck():
    found = dict.fromkeys(effects(a_table(), "score"), 0.0)
    assert lenth(found) == luck(found) == 0.0


def test_effects_of_a_table_that_is_not_full_are_refused():
    with pytest.raises(ValueError, match="16 combinations"):
        effects(a_table()[:-1], "score")
    with pytest.raises(ValueError, match="16 combinations"):
        effects([], "score")
