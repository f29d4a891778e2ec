"""Solutions of chapter 18, one function an exercise."""


def repaired_sidecar():
    return {"EchoTime": 0.00298, "RepetitionTime": 2.3, "InversionTime": 0.9}


def triage():
    return {"a": "filled in", "b": "refused", "c": "taken", "d": "filled in"}


def gain_factor():
    first, second = 84 / 0.14, 84 / 0.28
    return first / second


def what_to_believe():
    return {"b", "d"}
