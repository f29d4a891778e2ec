"""The list of faults does not rot, and the command that plants them tells caught from survived."""

import ast

import plant
import pytest
from plant import ROOT, Fault, read_faults

FAULTS = read_faults()


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_a_fault_stands_once_in_its_file_and_still_runs(fault):
    assert fault.found() == 1, f"{fault.file}: found {fault.found()} times, expected once: {fault.find}"
    assert fault.find != fault.replace
    text = (ROOT / fault.file).read_text(encoding="utf-8")
    ast.parse(text.replace(fault.find, fault.replace))
    for test in fault.tests:
        file, _, name = test.partition("::")
        assert f"def {name}" in (ROOT / file).read_text(encoding="utf-8"), f"{test}: no such test"


def test_names_of_faults_differ():
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A package of one function with a test that knows its sign, and not its size."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "physldm").mkdir()
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "physldm" / "__init__.py").write_text("def twice(x):\n    return 2 * x\n")
    test = "from physldm import twice\n\ndef test_sign():\n    assert twice(1) > 0\n"
    (tmp_path / "tests" / "test_house.py").write_text(test)
    monkeypatch.setattr(plant, "ROOT", tmp_path)
    return tmp_path


def fault(find, replace, name="a fault"):
    return Fault(name, "kind", "physldm/__init__.py", find, replace, ("tests/test_house.py",))


@pytest.mark.parametrize(
    ("planted", "code", "words"),
    [
        (fault("2 * x", "-2 * x"), 0, "a fault | kind | tests/test_house.py::test_sign"),
        (fault("2 * x", "3 * x"), 1, "SURVIVES"),
        (fault("def twice", "def thrice"), 1, "SURVIVES"),  # what cannot be imported was not caught by a test
        (fault("4 * x", "3 * x"), 1, "found 0 times, expected once"),
    ],
    ids=["caught", "survives", "broken", "lost"],
)
def test_the_command_tells_what_became_of_a_fault(house, monkeypatch, capsys, planted, code, words):
    monkeypatch.setattr(plant, "read_faults", lambda: [planted])
    assert plant.main([]) == code and words in capsys.readouterr().out
    assert "2 * x" in (house / "physldm" / "__init__.py").read_text()  # only a copy was touched


def test_tests_that_fail_anyhow_catch_nothing(house, monkeypatch, capsys):
    monkeypatch.setattr(plant, "read_faults", lambda: [fault("2 * x", "-2 * x")])
    (house / "tests" / "test_house.py").write_text("def test_never():\n    assert False\n")
    assert plant.main([]) == 1 and "without any fault the tests must pass" in capsys.readouterr().out
