"""Chapter 13: wrong answers; those whose slip the hint must name, with a word of it; other right ones."""

WRONG = {
    "read_labels": [
        {"a": "no fluid", "b": "no white matter", "c": "no grey matter", "d": "water"},
        {"a": "water", "b": "no grey matter", "c": "no white matter", "d": "no fluid"},
        {"a": "water", "b": "no white matter", "c": "no grey matter", "d": "no bone"},
        dict.fromkeys("abcd", "water"),
        dict.fromkeys("abcd", ...),
        {"a": "water"},
    ],
    "what_breaks": [
        dict(zip("abcde", ("nothing", "impossible", "sign", "nothing", "impossible"), strict=True)),
        dict(zip("abcde", ("background", "nothing", "sign", "nothing", "impossible"), strict=True)),
        dict(zip("abcde", ("background", "impossible", "nothing", "nothing", "impossible"), strict=True)),
        dict(zip("abcde", ("background", "impossible", "sign", "nothing", "nothing"), strict=True)),
        dict.fromkeys("abcde", "impossible"),
        dict.fromkeys("abcde", "noise"),
        {"a": "background"},
    ],
    "carried_error": [
        (..., ...),
        (-9.0, -9.0),
        (-17.0, -28.5),
        (-0.002, 0.013),
        (10.4, -0.6),
        (0.0, 0.0),
        10.4,
    ],
    "tissue_or_scanner": [
        {"a": "tissue", "b": "scanner", "c": "tissue", "d": "tissue"},
        {"a": "scanner", "b": "tissue", "c": "tissue", "d": "tissue"},
        {"a": "scanner", "b": "scanner", "c": "scanner", "d": "tissue"},
        {"a": "scanner", "b": "scanner", "c": "tissue", "d": "scanner"},
        dict.fromkeys("abcd", "gain"),
        {"a": "scanner"},
    ],
}
NAMED = {
    "carried_error": [
        ((0.7, 10.0), "signs"),
        ((0.5, 10.3), "signs"),
        ((-0.5, -10.3), "signs"),
        ((-9, -9), "PD alone"),
        ((8.5, 19.3), "T1 alone"),
        ((-17.5, -28.3), "6 % too short"),
        ((10.3, -0.5), "changed places"),
        ((5.5, 16.3), "T2"),
        ((-0.005, 0.103), "percent"),
    ],
    "read_labels": [({"a": "PD", "b": "water", "c": "water", "d": "water"}, "say one of")],
    "what_breaks": [
        (dict(zip("abcde", ("nothing", "impossible", "sign", "nothing", "impossible"), strict=True)), "a:")
    ],
    "tissue_or_scanner": [({"a": "scanner", "b": "scanner", "c": "tissue", "d": "scanner"}, "d:")],
}
RIGHT = {
    "carried_error": [(-0.5, 10.3), (-0.9, 9.6), (-0.88, 9.65), (-0.5, 10)],
    "read_labels": [{"a": "Water", "b": "no_white_matter", "c": "no grey matter", "d": "no fluid"}],
}
