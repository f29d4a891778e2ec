"""Chapter 03: wrong answers; those whose slip the hint must name, with a word of it; other right ones."""

import math

WRONG = {
    "null_range": [(1.19, 0.4845), (0.4845, 0.4845), (0.699, 1.735), 0.5, (0.4845, 1.2, 1.3)],
    "common_t1": [1.15, 0.85, 0],
    "how_far": [math.log(19), 3.6, 19],
}
NAMED = {
    "null_range": [
        ((0.699 * math.log(2), 1.735 * math.log(2)), "T1·ln 2"),
        ((0.48, 1.2), "digits"),
        ((0.4845, 1.2), "digits"),
        ((1.193, 0.4845), "shorter one first"),
        ((484.5, 1193), "seconds"),
        (0.5, "two times"),
    ],
    "common_t1": [
        (1.1, "digits"),
        (1.15, "plain mean"),
        (2 / (1 / 0.85 + 1 / 1.45), "rates"),
        (math.log(1.11), "Take exp"),
    ],
    "how_far": [(2.9, "distance in ln T2"), (3.6, "logarithms"), (2 * math.log10(19), "base 10")],
}
RIGHT = {"null_range": [(0.48, 1.19), [0.485, 1.193]], "common_t1": [1.11], "how_far": [5.9, 5.89]}
