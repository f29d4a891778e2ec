"""Executes the chapters and builds the site into ``_build/html``; any failure or warning stops it.

Outputs are kept below ``_build`` under a hash of the package and the run, so a change of either runs the chapters
again and a second build only reads. ``AUDIENCE=course`` builds without solutions, in ``_build/course/_build/html``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml
from ipykernel.kernelspec import write_kernel_spec
from physldm.runs import open_run
from physldm.show.style import STYLE

ROOT = Path(__file__).parents[1]
# A solution in a page: four or more colons, so that it may hold three-colon blocks.
SOLUTION = re.compile(
    r"^(:{4,})\{dropdown\} Solution.*?^\1$\n?", re.MULTILINE | re.DOTALL
)
CARD_TIME = re.compile(r"\*\*Time\*\* (\d+) minutes")
# Figures twice as fine as the page shows them, those that a chapter draws by itself in the style of all.
KERNEL_CONFIG = f"""c = get_config()
c.InlineBackend.figure_formats = {{"retina"}}
c.InlineBackend.rc = {STYLE!r}
"""


def outputs_key() -> str:
    """A hash of all that a chapter's outputs depend on beside its cells: package, lock, stored results, run."""
    run = open_run().folder
    package = sorted(
        p
        for p in (ROOT / "physldm").rglob("*")
        if p.suffix in {".py", ".toml", ".js", ".css"}
    )
    trained = [
        run / name
        for name in ("config.toml", "vae.safetensors", "ldm.safetensors")
    ]
    stored = sorted((ROOT / "book" / "results").iterdir())
    digest = hashlib.sha256(KERNEL_CONFIG.encode())
    for file in [*package, *stored, ROOT / "requirements.txt", *trained]:
        digest.update(file.name.encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


def without_solutions(source: Path, target: Path) -> Path:
    """A copy of the book's sources in which no solution is left, for a course."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(
        source / "book",
        target / "book",
        ignore=shutil.ignore_patterns(
            "solutions", "_build", ".ipynb_checkpoints"
        ),
    )
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(source / name, target / name)
    for page in (target / "book").glob("*.ipynb"):
        notebook = json.loads(page.read_text(encoding="utf-8"))
        for cell in notebook["cells"]:
            if cell["cell_type"] == "markdown":
                cell["source"] = SOLUTION.sub("", "".join(cell["source"]))
        page.write_text(
            json.dumps(notebook, indent=1, ensure_ascii=False), encoding="utf-8"
        )
    return target


def minutes_to_read(source: Path) -> int:
    """What the cards at the chapters' tops say, all together."""
    texts = (
        page.read_text(encoding="utf-8")
        for page in (source / "book").glob("*.ipynb")
    )
    return sum(
        int(found[1]) for text in texts if (found := CARD_TIME.search(text))
    )


def write_settings(
    source: Path, build: Path, chapter: str | None
) -> tuple[Path, Path]:
    """The configuration with the place of the cache filled in, and the contents (one chapter's if asked)."""
    cache = build / f"outputs-{outputs_key()}"
    for old in build.glob("outputs-*"):
        if old != cache:
            shutil.rmtree(old)
            # pages already read hold the old outputs
            shutil.rmtree(build / ".doctrees", ignore_errors=True)
    config = yaml.safe_load((source / "_config.yml").read_text(encoding="utf-8"))
    config["execute"]["cache"] = str(cache)
    config["parse"]["myst_substitutions"] = {
        "hours": round(minutes_to_read(source) / 60)
    }
    toc = yaml.safe_load((source / "_toc.yml").read_text(encoding="utf-8"))
    if chapter:
        keep = ("notation", "bibliography", f"{chapter}-")
        for part in toc["parts"]:
            part["chapters"] = [
                c
                for c in part["chapters"]
                if Path(c["file"]).name.startswith(keep)
            ]
        toc["parts"] = [part for part in toc["parts"] if part["chapters"]]
        if not any(
            Path(c["file"]).name.startswith(f"{chapter}-")
            for p in toc["parts"]
            for c in p["chapters"]
        ):
            sys.exit(
                f"make chapter: CH: found {chapter!r}, expected the number of a chapter, such as 01"
            )
    files = build / "settings" / "_config.yml", build / "settings" / "_toc.yml"
    files[0].parent.mkdir(parents=True, exist_ok=True)
    for file, content in zip(files, (config, toc), strict=True):
        file.write_text(
            yaml.safe_dump(content, sort_keys=False, allow_unicode=True),
            encoding="utf-8",
        )
    return files


def own_kernel(folder: Path) -> Path:
    """A folder for ``JUPYTER_PATH`` whose kernel ``python3`` is this Python, whatever other one is installed under that name."""
    shutil.rmtree(folder, ignore_errors=True)
    write_kernel_spec(folder / "kernels" / "python3")
    return folder


def environment(source: Path, build: Path) -> dict[str, str]:
    """What Jupyter Book and the chapters' kernels run under."""
    profile = build / "ipython" / "profile_default"
    profile.mkdir(parents=True, exist_ok=True)
    (profile / "ipython_kernel_config.py").write_text(
        KERNEL_CONFIG, encoding="utf-8"
    )
    kernels = str(own_kernel(build / "settings" / "jupyter"))
    modules = str(source / "book")  # for pages.py
    # widgets and progress bars are for people: a page gets a still, and no bar
    return os.environ | {
        "IPYTHONDIR": str(profile.parent),
        "JUPYTER_PATH": before("JUPYTER_PATH", kernels),
        "PYTHONPATH": before("PYTHONPATH", modules),
        "PHYSLDM_STATIC": "1",
        "TQDM_DISABLE": "1",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }


def before(variable: str, folder: str) -> str:
    """The folders of a variable of the environment, with one more to be searched first."""
    return os.pathsep.join(filter(None, [folder, os.environ.get(variable)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--chapter", help="number of the only chapter to build, such as 01"
    )
    chapter = parser.parse_args().chapter
    course = os.environ.get("AUDIENCE") == "course"
    source = (
        without_solutions(ROOT, ROOT / "_build" / "course") if course else ROOT
    )
    build = source / "_build"
    config, toc = write_settings(source, build, chapter)
    command = [
        Path(sys.executable).with_name("jupyter-book"),
        "build",
        source,
        "--path-output",
        source,
    ]
    command += ["--config", config, "--toc", toc]
    if not chapter:  # one chapter alone refers to pages that are not there
        command += ["-W", "--keep-going"]
    code = subprocess.run(command, env=environment(source, build)).returncode
    if code:
        sys.exit(code)
    print(f"\nOpen {build / 'html' / 'index.html'} in a browser.")


if __name__ == "__main__":
    main()
