"""Solutions of chapter 03, one function an exercise."""

import math


def null_range():
    def null(t1, tr=9.0):
        return -t1 * math.log((1 + math.exp(-tr / t1)) / 2)

    return null(0.699), null(1.735)


def common_t1():
    return math.exp((math.log(0.85) + math.log(1.45)) / 2)


def how_far():
    return (math.log(1.9) - math.log(0.1)) / 0.5
