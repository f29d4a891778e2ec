"""Chapter 09: wrong answers; those whose slip the hint must name, with a word of it; other right ones."""

WRONG = {
    "relative_error": [
        lambda s, x, c: (s - x).abs() / (x + c),
        lambda s, x, c: ((s - x) / (x + c)).mean(),
        lambda s, x, c: ((s - x).abs() / x).mean(),
        lambda s, x, c: ((s - x).abs() / (s + c)).mean(),
        lambda s, x, c: (s - x).abs().sum() / (x + c).sum(),
        lambda s, x, c: ((s - x).abs() / (x + c)).sum(),
        lambda s, x, c: ((s - x) ** 2).mean(),
        lambda s, x, c: 0.0,
    ],
    "which_equation": [
        {"a": "eq-adagn", "b": "eq-flair", "c": "eq-tissue-maps", "d": "eq-poe"},
        {"a": "eq-poe", "b": "eq-tissue-maps", "c": "eq-flair", "d": "eq-adagn"},
        dict.fromkeys("abcd", "eq-poe"),
        {"a": "eq-poe"},
    ],
    "colouring_in": [
        {"a": "tissue", "b": "lost", "c": "colouring"},
        {"a": "colouring", "b": "tissue", "c": "lost"},
        dict.fromkeys("abc", "colouring"),
        dict.fromkeys("abc", "fine"),
        {"a": "colouring"},
    ],
}
NAMED = {
    "which_equation": [
        ({"a": "53", "b": "6", "c": "71", "d": "52"}, "Names, please"),
        ({"a": 53, "b": "(6)", "c": "FLAIR", "d": "AdaGN"}, "Names, please"),
        ({"a": "AdaGN", "b": "FLAIR", "c": "tissue maps", "d": "product of experts"}, "a:"),
        ({"a": "Eq. 3", "b": "FLAIR", "c": "tissue maps", "d": "AdaGN"}, "say one of"),
    ],
    "relative_error": [
        (lambda s, x, c: (s - x).abs().mean(), "plain error"),
        (lambda s, x, c: (((s - x) / (x + c)) ** 2).mean(), "not squares"),
    ],
    "colouring_in": [({"a": "colouring", "b": "tissue", "c": "lost"}, "b:")],
}
RIGHT = {
    "which_equation": [
        {"a": "eq-poe", "b": "eq-flair", "c": "eq-tissue-maps", "d": "eq-adagn"},
        {"a": "Product of Experts", "b": "flair", "c": "tissue-maps", "d": "adagn"},
    ]
}
