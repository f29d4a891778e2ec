"""What the site adds to Jupyter Book, as a Sphinx extension: numbers of chapters, links from "chapter 04", references
with the labels that the text cites them by, and a few repairs of the pages' HTML."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from docutils import nodes
from pybtex.database import Entry
from pybtex.plugin import register_plugin
from pybtex.style.formatting.plain import Style as PlainStyle
from pybtex.style.labels import BaseLabelStyle
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util.logging import getLogger

logger = getLogger(__name__)

MENTION = re.compile(r"\b[Cc]hapters? \d\d(?:(?:, | and | to |–)\d\d)*")
NUMBER = re.compile(r"(?:\b[Cc]hapter )?\d\d")
# Text in these is a name, code or a link already.
NO_PROSE = (
    nodes.reference,
    nodes.literal,
    nodes.literal_block,
    nodes.title,
    nodes.math,
    nodes.raw,
    addnodes.pending_xref,
)
# What the extensions write, and what a reader's browser or screen reader needs.
REPAIRS = (
    (
        'role="doc-biblioentry"',
        'role="listitem"',
    ),  # the former was withdrawn from DPUB-ARIA
    (
        '<section id="exercise-content">',
        "<section>",
    ),  # an id that every exercise of a page had
)


def number_of(document: str) -> str:
    """``"04"`` of ``"book/04-three-pictures"``; empty where there is none."""
    name = PurePosixPath(document).name
    return name[:2] if re.match(r"\d\d-", name) else ""


class NumberedTitle(SphinxTransform):
    """The chapter's number before its title: ``04 · Three pictures, three maps?``."""

    default_priority = 300

    def apply(self) -> None:
        number, title = (
            number_of(self.env.docname),
            next(self.document.findall(nodes.title), None),
        )
        if number and title is not None:
            title.insert(0, nodes.Text(f"{number} · "))


class ChapterLinks(SphinxTransform):
    """Every "chapter 04" in the prose becomes a link, where the book has that chapter and it is another one."""

    default_priority = 500

    def apply(self) -> None:
        chapters = {
            number_of(name): name
            for name in self.env.found_docs
            if number_of(name)
        }
        chapters.pop(number_of(self.env.docname), None)
        for text in list(self.document.findall(nodes.Text)):
            if MENTION.search(text) and not _inside(text, NO_PROSE):
                text.parent.replace(
                    text, list(_linked(str(text), chapters, self.env.docname))
                )


class LostFigures(SphinxTransform):
    """A figure that came out as words only is a warning, and so stops the build of the book."""

    default_priority = 500

    def apply(self) -> None:
        for block in self.document.findall(nodes.literal_block):
            if block.astext().startswith("<Figure size"):
                logger.warning("a figure without its picture", location=block)


def _inside(node: nodes.Node, kinds: tuple[type[nodes.Node], ...]) -> bool:
    while node := node.parent:
        if isinstance(node, kinds):
            return True
    return False


def _linked(
    text: str, chapters: dict[str, str], here: str
) -> Iterator[nodes.Node]:
    end = 0
    for mention in MENTION.finditer(text):
        for found in NUMBER.finditer(text, mention.start(), mention.end()):
            if target := chapters.get(found[0][-2:]):
                yield nodes.Text(text[end : found.start()])
                link = addnodes.pending_xref(
                    "", nodes.inline("", found[0]), refdomain="std", reftype="doc", reftarget=f"/{target}",
                    refdoc=here, refexplicit=True, refwarn=True,
                )  # fmt: skip
                yield link
                end = found.end()
    yield nodes.Text(text[end:])


def short_titles(app: Sphinx, document: nodes.document) -> None:
    """Sidebar, links and the next button say what stands before a chapter's colon; the chapter's heading says all."""
    name = app.env.docname
    if number_of(name):
        title = app.env.titles[name].astext().split(":")[0].split(" (")[0]
        app.env.titles[name] = nodes.title("", title)
        entry = next(app.env.tocs[name].findall(nodes.reference))
        entry.children = [nodes.Text(title)]


class AuthorYear(BaseLabelStyle):
    """Labels as the text cites: "Hahn, 1950", "Cao and Fleet, 2014", "Ho et al., 2020"."""

    def format_labels(self, sorted_entries: list[Entry]) -> Iterator[str]:
        for entry in sorted_entries:
            names = [
                " ".join(map(str, p.rich_prelast_names + p.rich_last_names))
                for p in entry.persons["author"]
            ]
            who = names[0] + " et al." if len(names) > 2 else " and ".join(names)
            yield f"{who}, {entry.fields['year']}"


class AuthorYearList(PlainStyle):
    default_label_style = AuthorYear


def repair(
    app: Sphinx,
    pagename: str,
    templatename: str,
    context: dict,
    doctree: nodes.document | None,
) -> None:
    """Settles in the finished page what the extensions leave wrong."""
    for old, new in REPAIRS:
        context["body"] = context.get("body", "").replace(old, new)


def setup(app: Sphinx) -> dict[str, object]:
    register_plugin("pybtex.style.formatting", "author_year", AuthorYearList)
    app.add_transform(NumberedTitle)
    app.add_transform(ChapterLinks)
    app.add_transform(LostFigures)
    app.connect(
        "doctree-read", short_titles, priority=900
    )  # after Sphinx has collected the titles
    app.connect("html-page-context", repair)
    # pages are read anew when this file changes
    version = zlib.crc32(Path(__file__).read_bytes())
    return {
        "env_version": version,
        "parallel_read_safe": True,
        "parallel_write_safe": True,
    }
