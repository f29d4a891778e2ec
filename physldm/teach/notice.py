"""Sentences that are true of the numbers above them, or stop the build."""

from __future__ import annotations

from physldm.config import preset_name


def notice(sentence: str, condition: bool, *, trained: bool = False) -> None:
    """Prints ``sentence`` where ``condition`` holds.

    Args:
        trained: the sentence is about a trained run; a run of the ``smoke`` preset has learned too little for
            it, and there the page says that it does not hold.

    Raises:
        AssertionError: the condition does not hold.
    """
    if condition:
        print(f"✓ {sentence}")
    elif trained and preset_name() == "smoke":
        print(f"✗ Not on this small test run: {sentence}")
    else:
        raise AssertionError(f"no longer true: {sentence}")
