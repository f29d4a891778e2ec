"""What a chapter says of the code that the paper's authors released, it says with file and commit."""

import json
import re
from pathlib import Path

import pytest

CHAPTERS = sorted((Path(__file__).parents[2] / "book").glob("*.ipynb"))
FILE, COMMIT = re.compile(r"`[\w/-]+\.(py|csv|json)`"), re.compile(r"\b(?=\w*\d)[0-9a-f]{7}\b")


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem[:2])
def test_claims_on_the_released_code_name_file_and_commit(chapter):
    cells = json.loads(chapter.read_text(encoding="utf-8"))["cells"]
    text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    if "released code" in text.lower():
        named = [p for p in text.split("\n\n") if FILE.search(p) and COMMIT.search(p)]
        assert named, f"{chapter.name}: released code, but no file with its commit"
