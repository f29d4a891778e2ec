"""Solutions of chapter 00, one function an exercise."""

import math


def synthetic_scan():
    t1, tr = 1.45, 3.0
    # 1 − 2 exp(−TI/T1) + exp(−TR/T1) = 0
    return -t1 * math.log((1 + math.exp(-tr / t1)) / 2)
