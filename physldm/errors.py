"""The one exception that the command line turns into a single clear line and exit code 2."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


class InputError(ValueError):
    """Something the reader gave us is wrong: says where, what was found and what was expected."""


@contextmanager
def writing(path: Path, expected: str) -> Generator[None]:
    """What the system refuses while something is written, said in one line.

    Raises:
        InputError: naming ``path`` and what was ``expected``.
    """
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}, expected {expected}") from None
