"""The ablation: its rows are the paper's, it goes on where it stopped, its table shows what was found."""

import itertools
import json

from physldm.config import load_preset
from physldm.runs import Run
from physldm.training.ablation import COLUMNS, SWITCHES, ablate, rows, table


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


def test_a_stopped_ablation_goes_on(tmp_path):
    base = load_preset("smoke", ["precision=32-true", "data.train_subjects=2", "data.heldout_subjects=1"])
    first = list(itertools.islice(ablate(tmp_path, base, [0]), 1))
    weights = tmp_path / "GDPA-seed0" / "vae.safetensors"
    before = weights.stat().st_mtime_ns
    again = list(itertools.islice(ablate(tmp_path, base, [0]), 2))
    assert again[0] == first[0] and weights.stat().st_mtime_ns == before
    assert json.loads((tmp_path / "ablation.json").read_text()) == again
    assert [again[1][s] for s in SWITCHES] == [False, True, True, True]
    assert not Run(tmp_path / "-DPA-seed0").config.vae.gain and Run(weights.parent).config.vae.gain
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
