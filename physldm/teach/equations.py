r"""The equation registry: every labelled equation of the book and the function that computes it.

A page labels an equation ``eq-name`` (``$$ … $$ (eq-name)``); the docstring of its function says
``Equation: eq-name``. Steps of a derivation are ``step-name`` and have no function.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
LABELLED = re.compile(r"\$\$(?P<latex>[^$]+)\$\$\s*\((?P<label>(?:eq|step)-[a-z0-9-]+)\)")
NAMED = re.compile(r"\beq-[a-z][a-z0-9-]*")
# How the notation page writes a symbol → the single letter that SymPy's LaTeX parser gets; longer ones first.
SYMBOLS = {
    r"\sin\alpha": "A",
    r"\cos\alpha": "C",
    r"\sin^2(\beta/2)": "B",
    r"\cos\beta": "D",
    r"\mathrm{TE}_{\mathrm{eff}}": "l",
    r"\mathrm{TI}_2": "d",
    r"\mathrm{PD}": "p",
    r"\mathrm{TE}": "a",
    r"\mathrm{TR}": "b",
    r"\mathrm{TI}": "c",
    r"\mathrm{ES}": "h",
    "T_1^*": "t",
    "T_2^*": "o",
    "T_2'": "x",
    "T_1": "u",
    "T_2": "v",
    r"M_\infty'": "f",
    r"M_\infty": "m",
    "M_0": "y",
    "M_1": "j",
    "M_N": "n",
    "N": "q",
    "S_1": "z",
    "S_2": "s",
}


def page_text(page: Path) -> str:
    """The prose of a page: a Markdown file, or the Markdown cells of a notebook."""
    text = page.read_text(encoding="utf-8")
    if page.suffix != ".ipynb":
        return text
    cells = json.loads(text)["cells"]
    return "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


def labelled_equations(book: Path) -> dict[str, tuple[Path, str]]:
    """``{label: (page, LaTeX)}`` of every labelled equation and every step of a derivation.

    Raises:
        ValueError: a label is used twice.
    """
    found: dict[str, tuple[Path, str]] = {}
    for page in sorted([*book.glob("*.ipynb"), *book.glob("*.md")]):
        for match in LABELLED.finditer(page_text(page)):
            label = match["label"]
            if label in found:
                raise ValueError(f"{page}: {label} is already on {found[label][0]}")
            found[label] = (page, match["latex"].strip())
    return found


def equations_of_book(book: Path) -> dict[str, tuple[Path, str]]:
    """``{label: (page, LaTeX)}`` of every labelled equation that a function must compute."""
    return {k: v for k, v in labelled_equations(book).items() if k.startswith("eq-")}


def _docstrings(file: Path) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name, ast.get_docstring(node) or ""


def equations_of_package() -> dict[str, str]:
    """``{label: "module.function"}`` of every docstring line that begins with ``Equation:``."""
    found = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts)
        for name, doc in _docstrings(file):
            for line in re.findall(r"^\s*Equation: (.*)$", doc, re.MULTILINE):
                found |= {label: f"{module}.{name}" for label in NAMED.findall(line)}
    return found


def right_side(latex: str):
    """The right-hand side of ``… = …`` as a SymPy expression in the letters of ``SYMBOLS``, e, k, w and r."""
    from sympy.parsing.latex import parse_latex

    text = latex.rstrip("., ").split("=", 1)[1]
    text = re.sub(r"E_1\(([^()]*)\)", r"e^{-(\1)/T_1}", text)  # the pages' short form
    text = re.sub(r"\\end\{aligned\}|\\\\|&|\{\}", " ", text)  # an equation on two lines
    for symbol, letter in SYMBOLS.items():
        text = text.replace(symbol, f" {letter} ")
    text = re.sub(r"\\left|\\right|\\,|\\;", " ", text).replace(r"\ln", r"\ln ")
    text = re.sub(r"\\ln +([A-Z])", r"\\ln(\1)", text)
    tokens = re.findall(r"\\[a-z]+|[A-Za-z]|[0-9.]+|\S", text)
    written = tokens[:1]
    for before, token in zip(tokens, tokens[1:], strict=False):
        # what stands side by side is multiplied; said aloud, or p (…) would be a function called p
        if re.fullmatch(r"[A-Za-z]|[0-9.]+|[)}]", before) and re.fullmatch(r"[A-Za-z(]|\\frac", token):
            written.append(r"\cdot")
        written.append(token)
    text = " ".join(written)
    return parse_latex(text.strip(), backend="lark")
