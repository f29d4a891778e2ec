"""Chapter 00: wrong answers; those whose slip the hint must name, with a word of it; other right ones."""

import math

WRONG = {
    "synthetic_scan": [1.45, 0.59, 1.005, "half"],
}
NAMED = {
    "synthetic_scan": [
        (1.45 * math.log(2), "T1·ln 2"),
        (0.59, "upside down"),
        (833, "seconds"),
        (-0.83, "between 0 and TR"),
        ([0.8, 0.9], "one time"),
        (math.nan, "NaN"),
    ]
}
RIGHT = {"synthetic_scan": [0.83, "0.83", 0.82]}
