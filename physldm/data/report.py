"""A page that says of every session what was taken, what was filled in, what was left out and why."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from physldm.errors import writing
from physldm.physics import CONTRASTS

from .sessions import Session
from .slices import SliceStore

PAGE, ROWS = "report.html", "report.json"
STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem; }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; padding-bottom: 1rem; }
th, td { border-top: 1px solid #8888; padding: 0.5rem; text-align: left; vertical-align: top; overflow-wrap: break-word; }
td { min-width: 9rem; }
td:nth-child(2) { min-width: 5rem; }
.wide { overflow-x: auto; }
ul { margin: 0; padding-left: 1.1rem; }
img { display: block; background: black; }
"""


def write_report(
    store: SliceStore, sessions: Sequence[Session], skipped: Mapping[str, Sequence[str]]
) -> None:
    """Writes ``report.html`` (one file, no network) and ``report.json`` into the store's folder.

    Args:
        store: whose sessions were taken.
        sessions: all that were found.
        skipped: for each that is not in the store, what was wrong with its scans.
    """
    number = {entry["name"]: i for i, entry in enumerate(store.index["sessions"])}
    rows = []
    for session in sessions:
        i = number.get(session.name)
        entry = {} if i is None else store.index["sessions"][i]
        protocol = {} if i is None else dict(zip(CONTRASTS, store.protocol(i), strict=True))
        rows.append(
            {
                "session": session.name,
                "split": entry.get("split"),
                "scans": {
                    c: {**scan, "acquisition": str(protocol[c])} for c, scan in entry.get("scans", {}).items()
                },
                "left_out": [*session.left_out, *skipped.get(session.name, entry.get("notes", ()))],
            }
        )
    pictures = {name: _picture(store, i) for name, i in number.items()}
    # a file name may hold bytes that are no UTF-8
    page = _page(rows, pictures, store.spacing).encode("utf-8", errors="backslashreplace")
    with writing(store.folder / PAGE, "room to write a report"):
        (store.folder / ROWS).write_text(json.dumps(rows, indent=1), encoding="utf-8")
        (store.folder / PAGE).write_bytes(page)


def summary(folder: Path) -> str:
    """What a store's report says, in three lines.

    Args:
        folder: of the store; it has a report.
    """
    rows = json.loads((folder / ROWS).read_text(encoding="utf-8"))
    splits = [row["split"] for row in rows]
    skipped = [row for row in rows if row["split"] is None]
    train, apart = splits.count("train"), splits.count("heldout")
    reasons = "; ".join(row["left_out"][0] for row in skipped[:3])
    return (
        f"taken: {train + apart} sessions, {train} to train on and {apart} held out\n"
        f"skipped: {len(skipped)} sessions{reasons and f'; first: {reasons}'}\n"
        f"report: {folder / PAGE}"
    )


def _picture(store: SliceStore, session: int) -> str:
    """The middle slice of every contrast that is there, at 2 mm, as a PNG in base64 (at most 36 kB)."""
    slices = store.of_session(session)
    step = 2 // store.spacing
    images = store.array("scans", [slices[len(slices) // 2]])[0, :, ::step, ::step].numpy()
    there = [image for image, a in zip(images, store.protocol(session), strict=True) if a]
    scaled = [255 * np.clip(image / max(np.percentile(image, 99.5), 1e-12), 0, 1) for image in there]
    png = io.BytesIO()
    Image.fromarray(np.hstack(scaled).astype(np.uint8)).save(png, "PNG", optimize=True)
    return base64.b64encode(png.getvalue()).decode()


def _page(rows: Sequence[dict], pictures: Mapping[str, str], spacing: int) -> str:
    taken = sum(row["split"] is not None for row in rows)
    caption = f"{taken} of {len(rows)} sessions taken, on a grid of {spacing} mm."
    head = "".join(
        f'<th scope="col">{h}</th>'
        for h in ("Session", "Split", "Scans", "Left out, and why", "Middle slice")
    )
    body = "\n".join(_row(row, pictures.get(row["session"])) for row in rows)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n<title>Prepared scans</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<h1>Prepared scans</h1>\n"
        '<div class="wide">\n<table>\n'
        f"<caption>{caption}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n</div>\n"
        "</body>\n</html>\n"
    )


def _row(row: dict, picture: str | None) -> str:
    scans = [
        f"{s['file']}: {s['acquisition']}" + "".join(f"; {note}" for note in s["filled_in"])
        for s in row["scans"].values()
    ]
    alt = escape(f"Axial slice of {row['session']}: {', '.join(row['scans'])}", quote=True)
    image = f'<img alt="{alt}" src="data:image/png;base64,{picture}">' if picture else ""
    return (
        f'<tr><th scope="row">{escape(row["session"])}</th><td>{row["split"] or "skipped"}</td>'
        f"<td>{_list(scans)}</td><td>{_list(row['left_out'])}</td><td>{image}</td></tr>"
    )


def _list(lines: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>" if lines else ""
