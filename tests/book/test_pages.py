"""What the site adds to Jupyter Book, on a book of three small chapters."""

import importlib.util
import io
import re
import struct
import sys
from base64 import b64decode
from html import unescape
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from sphinx.application import Sphinx

BOOK = Path(__file__).parents[2] / "book"
CHAPTERS = {
    "00-start": "# Start\n\nChapter 04 and chapters 02 to 04 say more, chapter 17 is to come, and chapter 00 is this one. "
    "`chapter 04` is code.\n\n```\nchapter 04\n```\n\n{doc}`04-end`, {cite}`ho2020`, {cite}`cao2014`, {cite}`hahn1950`, {cite}`luepke2024`\n",
    "02-middle": "# Middle (optional): what it is, and why\n\n## Chapter 04 in a heading\n",
    "04-end": "# End: the last\n\nSee chapter 02's figure.\n",
    "refs": "# References\n\n```{bibliography}\n:style: author_year\n```\n",
}


def built(source, target, warnings=None):
    settings = {
        "extensions": ["myst_parser", "sphinxcontrib.bibtex", "pages"],
        "bibtex_bibfiles": ["references.bib"],
        "bibtex_reference_style": "author_year",
        "html_theme": "basic",
    }
    sys.path.insert(0, str(BOOK))
    try:
        app = Sphinx(
            source, None, target / "html", target / "trees", "html", settings, status=None, warning=warnings
        )
        app.build()
    finally:
        sys.path.remove(str(BOOK))
    return {path.stem: path.read_text(encoding="utf-8") for path in (target / "html").glob("*.html")}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    source = folder / "book"
    source.mkdir()
    for name, text in CHAPTERS.items():
        (source / f"{name}.md").write_text(text, encoding="utf-8")
    toc = "\n".join(CHAPTERS)
    (source / "index.md").write_text(f"# Book\n\n```{{toctree}}\n{toc}\n```\n", encoding="utf-8")
    (source / "references.bib").write_text(
        (BOOK / "references.bib").read_text(encoding="utf-8"), encoding="utf-8"
    )
    warnings = io.StringIO()
    pages = built(source, folder, warnings)
    assert warnings.getvalue() == ""
    return pages


def body(html):
    return html.split('<div class="body" role="main">')[1].split('<div class="clearer">')[0]


def test_headings_and_links_carry_the_chapters_number_and_not_what_follows_a_colon(site):
    assert "<h1>02 · Middle (optional): what it is, and why" in site["02-middle"]
    assert "<h1>References" in site["refs"]
    entries = re.findall(r'toctree-l1"><a class="reference internal" href="[^"]*">([^<]*)', site["index"])
    assert entries == ["00 · Start", "02 · Middle", "04 · End", "References"]
    assert re.search(r'<span class="doc">04 · End</span>', site["00-start"])


def test_mentions_of_chapters_become_links_in_prose_only(site):
    links = re.findall(r'href="(0\d-\w+)\.html"><span[^>]*>([^<]*)</span>', body(site["00-start"]))
    named = ("04-end", "04 · End")  # by {doc}
    assert links == [("04-end", "Chapter 04"), ("02-middle", "02"), ("04-end", "04"), named]
    plain = unescape(re.sub(r"<[^>]*>", "", body(site["00-start"])))
    assert (
        "Chapter 04 and chapters 02 to 04 say more, chapter 17 is to come, and chapter 00 is this one."
        in plain
    )
    assert re.findall(r'href="(0\d-\w+)\.html"><span[^>]*>([^<]*)</span>', body(site["04-end"])) == [
        ("02-middle", "chapter 02")
    ]
    assert not re.search("<a[^>]*><span[^>]*>Chapter 04", site["02-middle"])


def test_the_list_of_references_has_the_labels_of_the_text_and_links(site):
    cited = {
        unescape(re.sub(r"<[^>]*>", "", c))
        for c in re.findall(r'class="bibtex-citation".*?</span>', site["00-start"])
    }
    cited = {c.split(">")[-1].strip("[]") for c in cited}
    labels = set(re.findall(r'<span class="fn-bracket">\[</span>(?:<a[^>]*>)?([^<]*)', site["refs"]))
    assert cited == labels == {"Ho et al., 2020", "Cao and Fleet, 2014", "Hahn, 1950", "Lüpke et al., 2024"}
    for address in ("https://arxiv.org/abs/2006.11239", "https://doi.org/10.1103/PhysRev.80.580"):
        assert address in site["refs"]
    assert 'role="doc-biblioentry"' not in site["refs"]


def test_a_figure_that_came_out_as_words_is_a_warning(tmp_path):
    (tmp_path / "references.bib").write_text("", encoding="utf-8")
    text = "# Book\n\n```\n<Figure size 640x340 with 1 Axes>\n```\n"
    (tmp_path / "index.md").write_text(text, encoding="utf-8")
    warnings = io.StringIO()
    built(tmp_path, tmp_path / "out", warnings)
    assert "a figure without its picture" in warnings.getvalue()


@pytest.mark.slow
def test_a_chapters_figures_are_twice_as_fine_as_shown_and_in_the_style_of_all(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("build", BOOK / "build.py")
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    for name, value in build.environment(BOOK.parent, tmp_path).items():
        monkeypatch.setenv(name, value)
    ours = (
        "import torch\nfrom physldm.show import show_curves\nx = torch.arange(3.0)\n"
        "show_curves(x, {'a': x}, xlabel='x', ylabel='y')"
    )
    own = (
        "import matplotlib.pyplot as plt\nfigure, axis = plt.subplots(figsize=(5, 3))\n"
        "print(axis.spines['top'].get_visible())"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in (ours, own)])
    NotebookClient(notebook, timeout=120).execute()
    (first,), (said, second) = (cell.outputs for cell in notebook.cells)
    assert said["text"].strip() == "False"
    for shown in (first, second):  # the second by the end of the cell alone
        width, height = struct.unpack(">II", b64decode(shown["data"]["image/png"])[16:24])
        told = shown["metadata"]["image/png"]
        assert width // 2 == told["width"] and height // 2 == told["height"] and width > 800
