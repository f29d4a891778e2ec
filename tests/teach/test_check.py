"""Right answers pass, in other forms too; stubs and wrong answers do not, and slips are named; no check raises."""

import csv
import inspect
import itertools
import json
import math
import re
import runpy
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
import torch

from physldm.data import example_maps
from physldm.data.sidecars import acquisition_of
from physldm.errors import InputError
from physldm.physics import tissue_signal
from physldm.teach import Verdict, check, notice

BOOK = Path(__file__).parents[2] / "book"
SOLUTIONS = BOOK / "solutions"
# By chapter: WRONG are refused; NAMED are refused with a hint that has this word; RIGHT are right.
ANSWERS = {
    file.stem: runpy.run_path(str(file)) for file in sorted(Path(__file__).with_name("wrong").glob("*.py"))
}


def answers(kind):
    return {name: given for chapter in ANSWERS.values() for name, given in chapter[kind].items()}


WRONG, NAMED, RIGHT = answers("WRONG"), answers("NAMED"), answers("RIGHT")


def _solutions():
    found = {}
    for file in sorted(SOLUTIONS.glob("[0-9][0-9].py")):
        for name, thing in runpy.run_path(str(file)).items():
            if inspect.isfunction(thing) and thing.__module__ == "<run_path>" and not name.startswith("_"):
                found[name] = (file.stem, thing)
    return found


CHAPTER = {name: chapter for name, (chapter, _) in _solutions().items()}
SOLUTION = {name: thing for name, (_, thing) in _solutions().items()}
CHECKS = {
    name
    for name, thing in vars(check).items()
    if inspect.isfunction(thing) and thing.__annotations__.get("return") in (Verdict, "Verdict")
}
FUNCTIONS = sorted(name for name, thing in SOLUTION.items() if inspect.signature(thing).parameters)


def the_answer(name):
    """What the check of that name is given: the solution itself, or what it returns."""
    return SOLUTION[name] if name in FUNCTIONS else SOLUTION[name]()


def exercise(name):
    """The exercise of a check as a reader sees it: from its heading to the cell that calls the check."""
    (page,) = BOOK.glob(f"{CHAPTER[name]}-*.ipynb")
    cells = ["".join(cell["source"]) for cell in json.loads(page.read_text(encoding="utf-8"))["cells"]]
    (last,) = [i for i, source in enumerate(cells) if re.search(rf"^check\.{name}\(", source, re.M)]
    first = max(i for i in range(last + 1) if "{exercise}" in cells[i])
    return "\n".join(cells[first : last + 1]).rpartition("{exercise}")[2]


def test_every_check_has_a_solution_and_wrong_answers():
    assert set(SOLUTION) == CHECKS == set(WRONG)
    assert {*NAMED, *RIGHT} <= CHECKS
    for chapter, given in ANSWERS.items():
        assert {CHAPTER[name] for kind in ("WRONG", "NAMED", "RIGHT") for name in given[kind]} == {chapter}


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_every_check_is_asked_in_its_chapter_once(name):
    assert inspect.getmodule(getattr(check, name)).__name__.endswith(f"chapter_{CHAPTER[name]}")
    calls = [
        page.name[:2]
        for page in BOOK.glob("[0-9][0-9]-*.ipynb")
        for cell in json.loads(page.read_text(encoding="utf-8"))["cells"]
        if re.search(rf"^check\.{name}\(", "".join(cell["source"]), re.M)
    ]
    assert calls == [CHAPTER[name]]


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_solution_passes_and_nothing_else(name):
    ask = getattr(check, name)
    assert ask(the_answer(name))
    stub = (lambda *args: ...) if name in FUNCTIONS else ...
    for wrong in [
        None,
        ...,
        stub,
        *WRONG[name],
        object(),
        "text",
        {},
        [],
        math.nan,
        (1, 2, 3, 4, 5),
        torch.ones(2, 2),
    ]:
        verdict = ask(wrong)
        assert isinstance(verdict, Verdict) and not verdict and verdict.hint and "Not yet" in repr(verdict), (
            wrong
        )


@pytest.mark.parametrize("name", sorted(NAMED))
def test_a_slip_is_named(name):
    for wrong, word in NAMED[name]:
        verdict = getattr(check, name)(wrong)
        assert not verdict and word in verdict.hint, (wrong, word, verdict)


@pytest.mark.parametrize("name", sorted(RIGHT))
def test_other_right_answers_are_right(name):
    for answer in RIGHT[name]:
        assert getattr(check, name)(answer), answer


def rounded(value):
    """A value, and every number in it, to two significant digits."""
    if isinstance(value, torch.Tensor):
        each = [float(f"{x:.2g}") for x in value.detach().flatten().tolist()]
        return torch.tensor(each, dtype=value.dtype).reshape(value.shape)
    if isinstance(value, float):
        return float(f"{value:.2g}")
    if isinstance(value, (tuple, list)):
        return type(value)(rounded(x) for x in value)
    return value


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_two_digits_are_right_or_too_few_but_never_another_method(name):
    answer = the_answer(name)
    verdict = getattr(check, name)(
        (lambda *given: rounded(answer(*given))) if name in FUNCTIONS else rounded(answer)
    )
    assert verdict or "more digits" in verdict.hint, verdict


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_constant_is_no_function(name):
    first = []

    def memory(*given):
        first.append(given)
        return SOLUTION[name](*first[0])

    assert not getattr(check, name)(memory)


def words_of(answer):
    if isinstance(answer, str):
        return {answer}
    parts = [*answer.keys(), *answer.values()] if isinstance(answer, Mapping) else answer
    return (
        set().union(*map(words_of, parts))
        if isinstance(parts, Iterable) and not torch.is_tensor(parts)
        else set()
    )


@pytest.mark.parametrize("name", sorted(CHECKS - set(FUNCTIONS)))
def test_every_label_can_be_seen_in_the_exercise(name):
    text = exercise(name)
    for name_of_list, listed in vars(check).items():  # what an exercise prints can be seen, too
        if f"check.{name_of_list}" in text and not callable(listed):
            text += str(listed)
    if "SWITCHES" in text:  # printed at the top of that chapter
        from physldm.ablation import SWITCHES

        text += str(SWITCHES)
    for word in words_of(the_answer(name)):
        assert re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text), (word, text)


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_no_question_of_a_task_stays_open(name):
    """A task asks no more questions than its checks look at parts of an answer."""
    task = exercise(name).partition("\n:::::")[0]
    parts = 0
    for other in CHECKS:
        if CHAPTER[other] == CHAPTER[name] and exercise(other).partition("\n:::::")[0] == task:
            answer = the_answer(other)
            parts += len(answer) if isinstance(answer, (Mapping, tuple, list, set)) else 1
    assert task.partition("\n")[2].count("?") <= parts, task  # the title may ask, too


def test_answers_in_several_brackets_get_a_hint_too():
    assert "brackets" in check.null_range(0.48, 1.19).hint
    assert "brackets" in check.null_range(answer=(0.48, 1.19)).hint
    assert "Replace the dots" in check.null_range().hint
    assert "Replace the dots" in check.null_range((0.48, ...)).hint
    assert "without calling it" in check.null_time(0.5).hint


def test_a_verdict_is_printed_once_in_a_script_and_in_a_cell(capsys):
    from IPython.core.interactiveshell import InteractiveShell

    check.gain_factor(0.5), check.gain_factor(2.0)
    assert capsys.readouterr().out.splitlines() == [
        "… Not yet. The other way round: the second scan has the smaller gain.",
        "✓ Right. Gains of 600 and 300.",
    ]
    InteractiveShell.instance().run_cell(
        "from physldm.teach import check\ncheck.gain_factor(0.5)\ncheck.gain_factor(2.0)"
    )
    assert capsys.readouterr().out.count("Gains of 600 and 300") == 1


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_docstrings_say_what_an_answer_is(name):
    said = getattr(check, name).__doc__
    assert said.startswith(f"Chapter {CHAPTER[name]}: ") and "\n    Args:\n        answer: " in said


def test_known_slips_get_their_own_hint():
    hints = {check.spin_echo_by_hand(wrong).hint for wrong in WRONG["spin_echo_by_hand"]}
    assert len(hints) == len(WRONG["spin_echo_by_hand"])


def test_mystery_pictures_are_what_their_clues_say():
    maps, fractions = example_maps(2)
    white, grey, fluid = (fractions[i] > 0.95 for i in range(3))
    brightness = {
        name: [picture[place].median() for place in (white, grey, fluid)]
        for name, picture in zip("abc", check.mystery_scans(maps), strict=True)
    }
    w, g, c = brightness["a"]
    assert g > w > c
    w, g, c = brightness["b"]
    assert w > g > c
    w, g, c = brightness["c"]
    assert c > g > w


def test_ranges_of_the_papers_table_are_those_that_the_check_expects():
    with open(BOOK / "results" / "paper-table1.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    ranges = [math.sqrt(float(r["mse"])) * 10 ** (float(r["psnr"]) / 20) for r in rows]
    assert (round(min(ranges[:-1])), round(max(ranges[:-1]))) == check.OTHER_RANGES
    assert round(ranges[-1]) == 1305 and len(rows) == 16


def test_what_stands_out_of_the_papers_mae_is_what_the_check_expects():
    with open(BOOK / "results" / "paper-table1.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    columns = ("gain_regression", "modality_dropout", "prior", "adagn")
    signs = torch.tensor([[2.0 * int(r[c]) - 1 for c in columns] for r in rows], dtype=torch.float64)
    sets = [a for n in range(5) for a in itertools.combinations(range(4), n)]
    design = torch.stack([signs[:, a].prod(1) for a in sets], 1)
    scores = torch.tensor([float(r["mae"]) for r in rows], dtype=torch.float64)
    found = 2 * torch.linalg.solve(design, scores)  # a regression on all products of the switches
    luck = found[[len(a) > 2 for a in sets]].square().mean().sqrt()
    names = ("G regression", "modality dropout", "T1 & T2 prior", "AdaGN")
    assert {n for n, e in zip(names, found[1:5], strict=True) if e.abs() > 2.5 * luck} == check.BEYOND_LUCK


def test_the_visits_of_the_check_are_scans_of_what_it_says():
    for letter, ((protocol, *first), (other, *second)) in check.VISITS.items():
        known = [700 * tissue_signal(name, protocol) for name in ("wm", "gm")]
        assert first == pytest.approx(known, abs=0.06)
        expected = [700 * tissue_signal(name, other) for name in ("wm", "gm")]
        off = second[1] / second[0] / (expected[1] / expected[0])
        assert (abs(off - 1) < 0.01) == (check.CHANGED[letter] == "scanner")
        assert abs(off - 1) < 0.01 or abs(off - 1) > 0.2


@pytest.mark.parametrize("letter", check.TRIAGE)
def test_what_becomes_of_a_scan_of_the_task_is_what_the_reader_of_sidecars_makes_of_it(letter):
    said = re.search(rf"^- \*{letter}\*: (\w+), (.*)[;.]$", exercise("triage"), re.M)
    sidecar = {
        field: float(value)
        for word, field in (("TR", "RepetitionTime"), ("TE", "EchoTime"), ("TI", "InversionTime"))
        for value in re.findall(rf"\b{word} ([\d.]+)", said[2])
    }
    sidecar |= dict(re.findall(r"`(SequenceName)` `([^`]+)`", said[2]))
    assert len(sidecar) == 3 or "no `InversionTime`" in said[2]
    try:
        found, _ = acquisition_of(Path(f"{letter}.json"), sidecar, said[1], effective_te=0.1)
    except InputError:
        became = "refused"
    else:
        settings = {"EchoTime": found.te, "RepetitionTime": found.tr, "InversionTime": found.ti}
        if found.effective_te != found.te:
            settings["ContrastEquivalentEchoTime"] = found.effective_te
        read = {field: value for field, value in settings.items() if value}
        became = "taken" if read.items() <= sidecar.items() else "filled in"
    assert became == check.TRIAGE[letter]


def test_notice(capsys, monkeypatch):
    notice("Two is more than one.", 2 > 1)
    assert "✓ Two" in capsys.readouterr().out
    monkeypatch.setenv("PHYSLDM_PRESET", "laptop")
    with pytest.raises(AssertionError, match="no longer true"):
        notice("One is more than two.", 1 > 2, trained=True)
    monkeypatch.setenv("PHYSLDM_PRESET", "smoke")
    notice("One is more than two.", 1 > 2, trained=True)
    assert "✗" in capsys.readouterr().out
    with pytest.raises(AssertionError):
        notice("One is more than two.", 1 > 2)
