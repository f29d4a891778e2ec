"""The pages: run in smoke, stored without outputs, every figure described, every number in its place."""

import json
import re
from pathlib import Path

import nbformat
import pytest
import yaml
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "book"
CHAPTERS = sorted(BOOK.glob("[0-9][0-9]-*.ipynb"))


@pytest.mark.slow
@pytest.mark.parametrize("page", CHAPTERS, ids=lambda p: p.stem)
def test_chapter_runs(page, smoke_run, monkeypatch):
    monkeypatch.setenv("PHYSLDM_STATIC", "1")
    monkeypatch.setenv("PHYSLDM_RUNS", str(smoke_run.parent))
    monkeypatch.setenv("PHYSLDM_PRESET", "smoke")
    monkeypatch.setenv("TQDM_DISABLE", "1")
    notebook = nbformat.read(page, as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": BOOK}}).execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            drawn = any("image/png" in o.get("data", {}) for o in cell.outputs)
            alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
            assert not drawn or len(alt) > 40, f"a figure without a description:\n{cell.source}"
            assert drawn or not alt, f"a description without a figure:\n{cell.source}"
        assert not any(o.get("name") == "stderr" for o in cell.get("outputs", [])), cell.source


@pytest.mark.parametrize("page", CHAPTERS, ids=lambda p: p.stem)
def test_chapter_is_stored_clean(page):
    notebook = nbformat.read(page, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs and cell.execution_count is None
            assert len([line for line in cell.source.splitlines() if line]) <= 17, cell.source
    text = "\n".join(c.source for c in notebook.cells)
    card = notebook.cells[0].source
    assert "You will be able to" in card and "You need" in card and "Time" in card
    for name in re.findall(r"literalinclude\} (\S+)", text):
        assert (BOOK / name).exists()
    exercises = re.findall(r"\{exercise\}", text)
    assert len(exercises) == text.count("{dropdown} Solution") >= 1


def test_contents_list_every_chapter():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    listed = {Path(c["file"]).name for part in toc["parts"] for c in part["chapters"]}
    assert {p.stem for p in CHAPTERS} <= listed
    for name in listed:
        assert any((BOOK / f"{name}{suffix}").exists() for suffix in (".md", ".ipynb"))


def test_a_course_build_holds_no_solution(tmp_path, monkeypatch):
    import importlib.util

    spec = importlib.util.spec_from_file_location("build", BOOK / "build.py")
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    course = build.without_solutions(ROOT, tmp_path / "course")
    assert not (course / "book" / "solutions").exists()
    for page in (course / "book").glob("*.ipynb"):
        text = "\n".join("".join(c["source"]) for c in json.loads(page.read_text(encoding="utf-8"))["cells"])
        assert "Solution" not in text and "solutions/" not in text and "{exercise}" in text
