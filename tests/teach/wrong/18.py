"""Chapter 18: wrong answers; those whose slip the hint must name, with a word of it; other right ones."""

from physldm.teach import check

WRONG = {
    "repaired_sidecar": [
        check.BROKEN,
        {"EchoTime": 0.00298, "RepetitionTime": 2.3},
        {"EchoTime": 0.00298, "RepetitionTime": 2.3, "InversionTime": 1.0},
        {"EchoTime": 0.00298, "RepetitionTime": 2.4, "InversionTime": 0.9},
        {"EchoTime": 0.003, "RepetitionTime": 2.3, "InversionTime": 0.9},
        3,
    ],
    "triage": [
        {"a": "taken", "b": "refused", "c": "taken", "d": "filled in"},
        {"a": "filled in", "b": "filled in", "c": "taken", "d": "filled in"},
        {"a": "filled in", "b": "refused", "c": "filled in", "d": "filled in"},
        {"a": "filled in", "b": "refused", "c": "taken", "d": "taken"},
        {"a": "maybe", "b": "refused", "c": "taken", "d": "taken"},
        3,
    ],
    "gain_factor": [0.5, 600, 1.0],
    "what_to_believe": [{"a", "b", "d"}, {"b"}, {"b", "c", "d"}, set(), 3],
}
NAMED = {
    "repaired_sidecar": [
        ({"RepetitionTime": 2.3, "InversionTime": 0.9}, "EchoTime is missing"),
        ({"EchoTime": 0.00298, "InversionTime": 0.9}, "RepetitionTime is missing"),
        ({"EchoTime": 0.00298, "RepetitionTime": 2.3}, "InversionTime is missing"),
        ({"EchoTime": 2.98, "RepetitionTime": 2.3, "InversionTime": 0.9}, "milliseconds"),
        ({"EchoTime": 0.00298, "RepetitionTime": 2.3, "InversionTime": 1.0}, "another TI"),
        ({"EchoTime": "2.98 ms", "RepetitionTime": 2.3, "InversionTime": 0.9}, "seconds for EchoTime"),
    ],
    "triage": [({"a": "taken", "b": "refused", "c": "taken", "d": "filled in"}, "a:")],
    "gain_factor": [(0.5, "other way round"), (600, "84 over 0.14")],
    "what_to_believe": [({"b"}, "misfits"), ({"a", "b", "d"}, "a:"), ("bcd", "c:")],
}
RIGHT = {
    "repaired_sidecar": [
        {
            "EchoTime": 0.00298,
            "RepetitionTimePreparation": 2.3,
            "RepetitionTime": 0.0071,
            "InversionTime": 0.9,
        }
    ],
    "triage": [{"a": "filled-in", "b": "Refused", "c": "taken", "d": "Filled in"}],
    "what_to_believe": ["bd"],
}
