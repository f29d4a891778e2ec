"""The house as DESIGN has it: which rooms know which, what an import does, how large a room may be."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "physldm"
FILES = sorted(PACKAGE.rglob("*.py"))
MOST_LINES, MOST_LINES_OF_A_FUNCTION = 450, 50

# Floors, from the ground up. A room knows those on lower floors, and, where a floor holds one room, itself.
GROUND = {"errors", "progress", "box", "draws"}
FLOORS = [
    GROUND,
    {"diffusion", "physics"},
    {"config"},
    {"data"},
    {"fetch"},
    {"models"},
    {"weights"},
    {"runs"},
    {"training", "evaluation", "reconstruct"},
    {"ablation"},
    {"show", "teach"},
    {"cli"},
]
# Of data/: real scans do not know the made-up ones.
REAL = {"files", "json_files", "sidecars", "sequence_names", "sessions", "foreground", "alignment", "slices"}
REAL |= {"prepare", "report", "bids"}
MADE_UP = {"labels", "phantom", "population", "protocols", "scanning"}


def module(file: Path) -> str:
    """``physldm/data/bids.py`` → ``data.bids``; a package's face is the package."""
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(file: Path) -> set[str]:
    """The modules of the package that a file imports anywhere, inside functions too."""
    found, own = set(), ["physldm", *module(file).split(".")]
    here = own if file.name == "__init__.py" else own[:-1]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            found |= {f"{name}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    modules = {module(f) for f in FILES}
    inside = {name.removeprefix("physldm.") for name in found if name.startswith("physldm.")}
    return {m for name in inside for m in (name, name.rpartition(".")[0]) if m in modules and m}


def room(name: str) -> str:
    return name.split(".")[0]


def floor(name: str) -> int:
    return next(i for i, rooms in enumerate(FLOORS) if room(name) in rooms)


def arrows() -> set[tuple[str, str]]:
    return {(module(f), known) for f in FILES for known in imports(f) if module(f)}


def test_no_arrow_runs_back():
    back = {
        (a, b)
        for a, b in arrows()
        if room(a) != room(b) and (floor(a) <= floor(b)) and not {room(a), room(b)} <= GROUND
    }
    assert not back


def test_the_ground_and_the_equations_know_nobody():
    assert not {(a, b) for a, b in arrows() if room(a) in GROUND and room(b) != room(a)}
    above = {(a, b) for a, b in arrows() if room(a) in {"physics", "diffusion"}}
    assert {room(b) for _, b in above} <= {"physics", "diffusion"} | GROUND
    assert not {(a, b) for a, b in above if {room(a), room(b)} == {"physics", "diffusion"}}


def test_real_scans_do_not_know_made_up_ones():
    known = {(a, b) for a, b in arrows() if room(a) == room(b) == "data"}
    assert not {(a, b) for a, b in known if a[5:] in REAL and b[5:] in MADE_UP}
    assert {m[5:] for m, _ in known if "." in m} <= REAL | MADE_UP | {"anatomy"}


def test_rooms_have_no_circles():
    graph: dict[str, set[str]] = {}
    for a, b in arrows():
        if "." in a or "." in b:  # files; a package's face is met on the way to any of its files
            graph.setdefault(a, set()).add(b)

    def reached(start, seen):
        for after in graph.get(start, ()):
            if after not in seen:
                seen.add(after)
                reached(after, seen)
        return seen

    assert not [name for name in graph if "." in name and name in reached(name, set())]


@pytest.mark.parametrize("file", FILES, ids=module)
def test_files_and_functions_can_be_read_at_a_sitting(file):
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MOST_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno + 1 <= MOST_LINES_OF_A_FUNCTION, node.name


def test_the_command_line_starts_without_torch():
    code = "import sys, physldm.cli; print(sorted({'torch', 'matplotlib', 'nibabel', 'scipy'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.slow
def test_importing_does_no_work():
    """No warning filter, no environment, no figure style, no file, no download, no device."""
    names = [f"physldm.{module(f)}".rstrip(".") for f in FILES]
    code = f"""
import importlib, os, sys, warnings
import torch, matplotlib, sklearn.linear_model, tqdm.auto, lightning_fabric, torch.utils.tensorboard, nilearn, lpips, pooch
before = dict(os.environ), list(warnings.filters), dict(matplotlib.rcParams), torch.random.get_rng_state()
def stop(event, arguments):
    if event in ("socket.connect", "subprocess.Popen", "os.mkdir") or event == "open" and "w" in str(arguments[1]):
        raise AssertionError((event, arguments))
sys.dont_write_bytecode = True
sys.addaudithook(stop)
for name in {names!r}:
    importlib.import_module(name)
after = dict(os.environ), list(warnings.filters), dict(matplotlib.rcParams)
assert before[:3] == after, [set(map(str, a)) ^ set(map(str, b)) for a, b in zip(before, after)]
assert torch.equal(before[3], torch.random.get_rng_state()) and not torch.cuda.is_initialized()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_variable_of_the_environment_stands_in_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    read = {
        name
        for file in [*FILES, ROOT / "book" / "build.py"]
        for name in re.findall(
            r"environ(?:\.get\(|\[|\b.{0,30}?)\"([A-Z_]{6,})\"", file.read_text(encoding="utf-8")
        )
    }
    assert {"PHYSLDM_PRESET", "PHYSLDM_RUNS"} <= read
    ours = {name for name in read if name.startswith(("PHYSLDM_", "AUDIENCE", "TQDM_"))}
    assert not {name for name in ours if f"`{name}`" not in readme}


def top_level_imports(folder: str) -> set[str]:
    """What a folder's files, notebooks among them, import from outside the standard library."""
    found = set()
    for file in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                found.add(node.module.split(".")[0])
    for file in (ROOT / folder).glob("*.ipynb"):
        cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
        code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        found |= set(re.findall(r"^(?:from|import) ([a-z_0-9]+)", code, re.MULTILINE))
    return found - set(sys.stdlib_module_names)


@pytest.mark.parametrize("folder", ["physldm", "book", "tests", "benchmarks"])
def test_every_import_is_declared(folder):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *extras["book"]]
    asked += extras["dev"] if folder in ("tests", "benchmarks") else []
    declared = {re.split(r"[<>=\[]", line)[0].strip().lower().replace("_", "-") for line in asked}
    own = {"physldm", "benchmarks"} | {p.stem for p in (ROOT / folder).rglob("*.py")}
    distributions = packages_distributions()
    unknown = {
        name
        for name in top_level_imports(folder) - own
        if not {d.lower().replace("_", "-") for d in distributions.get(name, [])} & declared
    }
    assert not unknown
