"""JSON beside the images: sidecars and the like, read whatever others wrote and written in one piece."""

from __future__ import annotations

import json
import reprlib
from pathlib import Path

from physldm.errors import InputError, writing

from .files import whole


class Twice(tuple):
    """The two different values of a key that stands twice in an object: who needs the key refuses it."""


def sidecar_of(file: Path) -> Path:
    """The sidecar beside an image."""
    return file.with_name(file.name.removesuffix(".gz").removesuffix(".nii") + ".json")


def read_sidecar(sidecar: Path) -> dict:
    """A sidecar's content; a key with two values has :class:`Twice` for a value.

    Raises:
        InputError: missing, not UTF-8, not JSON, or not an object.
    """
    try:
        content = json.loads(sidecar.read_bytes().decode("utf-8-sig"), object_pairs_hook=_with_doubts)
    except FileNotFoundError:
        raise InputError(f"{sidecar}: missing, expected the scan's sidecar") from None
    except OSError as error:
        raise InputError(f"{sidecar}: {error.strerror}, expected the scan's sidecar") from None
    except UnicodeDecodeError:
        raise InputError(f"{sidecar}: found bytes that are not UTF-8, expected JSON in UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{sidecar}: not JSON: {error}") from None
    if not isinstance(content, dict):
        raise InputError(
            f"{sidecar}: found {reprlib.repr(content)}, expected an object with EchoTime and so on"
        )
    return content


def _with_doubts(pairs: list[tuple]) -> dict:
    content: dict = {}
    for key, value in pairs:
        same = key not in content or content[key] == value
        content[key] = value if same else Twice((content[key], value))
    return content


def write_json(file: Path, content: dict) -> None:
    """Writes an object, whole or not at all.

    Raises:
        InputError: it cannot be written.
    """
    with writing(file, "room to write a sidecar"), whole(file) as part:
        part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
