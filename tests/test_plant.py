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


@pytest.mark.slow
def test_the_command_tells_what_became_of_a_fault(house, monkeypatch, capsys):
    sign, size = fault("2 * x", "-2 * x", "sign"), fault("2 * x", "3 * x", "size")
    name = fault("def twice", "def thrice", "name")  # what cannot be imported is not caught by a test
    monkeypatch.setattr(plant, "read_faults", lambda: [sign, size, name])
    assert plant.main([]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "sign | kind | tests/test_house.py::test_sign" and lines[-1] == "1 of 3 faults caught"
    assert all("SURVIVES" in line for line in lines[1:3])
    assert plant.main(["sign"]) == 0
    assert "2 * x" in (house / "physldm" / "__init__.py").read_text()  # only a copy was touched


def test_a_fault_whose_text_is_gone_is_named(house, monkeypatch, capsys):
    monkeypatch.setattr(plant, "read_faults", lambda: [fault("4 * x", "3 * x")])
    assert plant.main([]) == 1 and "found 0 times, expected once: 4 * x" in capsys.readouterr().out


def test_tests_that_fail_anyhow_catch_nothing(house, monkeypatch, capsys):
    monkeypatch.setattr(plant, "read_faults", lambda: [fault("2 * x", "-2 * x")])
    (house / "tests" / "test_house.py").write_text("def test_never():\n    assert False\n")
    assert plant.main([]) == 1 and "without any fault the tests must pass" in capsys.readouterr().out
