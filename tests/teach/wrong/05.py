"""Chapter 05: wrong answers; those whose slip the hint must name, with a word of it; other right ones."""

import math

from physldm.teach import check


def _flair(tissue, te, tr, ti):
    pd, t1, t2 = tissue
    return pd * (1 - 2 * math.exp(-ti / t1) + math.exp(-tr / t1)) * math.exp(-te / t2)


WRONG = {
    "mixed_flair": [
        lambda f, gm, csf, te, tr, ti: 0.2,
        lambda f, gm, csf, te, tr, ti: f * _flair(gm, te, tr, ti) + (1 - f) * _flair(csf, te, tr, ti),
        lambda f, gm, csf, te, tr, ti: _flair(gm, te, tr, ti) + _flair(csf, te, tr, ti),
        lambda f, gm, csf, te, tr, ti: _flair(
            (
                (1 - f) * gm[0] + f * csf[0],
                *(a ** (1 - f) * b**f for a, b in zip(gm[1:], csf[1:], strict=True)),
            ),
            te,
            tr,
            ti,
        ),
    ],
    "noise_of_air": [8.15, 4.26, 65.0, 0.01],
    "fair_split": [
        set(),
        {"sub-A_ses-1", "sub-B_ses-1", "sub-C_ses-1", "sub-D_ses-1"},
        set(check.SESSIONS),
        {"sub-Z_ses-1"},
        3,
    ],
    "what_it_proves": [{"a"}, {"d"}, {"a", "b", "d"}, {"a", "c", "d"}, set(), 3],
}
NAMED = {
    "mixed_flair": [
        (
            lambda f, gm, csf, *times: _flair(
                [(1 - f) * a + f * b for a, b in zip(gm, csf, strict=True)], *times
            ),
            "averages",
        ),
        (
            lambda f, gm, csf, *times: (1 - f) * abs(_flair(gm, *times)) + f * abs(_flair(csf, *times)),
            "signs",
        ),
    ],
    "noise_of_air": [(8.1, "mean of the air"), (4.3, "standard deviation"), (9.2, "√2")],
    "fair_split": [
        ("sub-A_ses-1", "You hold out"),
        ({"sub-A", "sub-B"}, "no session"),
        ({"sub-A_ses-1", "sub-C_ses-1", "sub-E_ses-1", "sub-J_ses-1"}, "both parts"),
        (set(check.SESSIONS[:9]), "You hold out 50%"),
    ],
    "what_it_proves": [({"a"}, "missing"), ({"a", "b", "d"}, "b:"), ("acd", "c:"), ({"e"}, "letters are")],
}
RIGHT = {"noise_of_air": [6.5, 6.4], "what_it_proves": [["a", "d"], "ad", {"A", "D"}]}
