"""Random tissues and random, possible protocols of every sequence, for tests against Bloch and in float32."""

import random

import torch

from physldm.physics import SEQUENCES, Acquisition, AcquisitionError

# Trains of refocusing pulses: their closed forms are exact at a b1 of 1 only.
TRAINS = ("tse", "ir_tse", "flair_tse")


def tissues(count=200, seed=0):
    """PD, T1, T2 as ``[count]`` each: T1 0.2–5 s, T2 10 ms–2.5 s and at most T1, both log-uniform."""
    draw = torch.Generator().manual_seed(seed)
    u = torch.rand(3, count, generator=draw, dtype=torch.float64)
    t1 = 0.2 * 25 ** u[1]
    t2 = torch.minimum(0.01 * 250 ** u[2], t1)
    return 0.2 + u[0], t1, t2


def protocols(name, count=12, seed=0):
    """``count`` possible acquisitions of a sequence, its settings drawn around their usual values."""
    draw, found = random.Random(f"{name}{seed}"), []
    usual = Acquisition.usual(name).settings
    while len(found) < count:
        settings = {k: v * 3 ** draw.uniform(-1, 1) for k, v in usual.items() if v not in (0, float("inf"))}
        for k in ("te", "effective_te"):
            settings.pop(k, None) if k not in SEQUENCES[name].start else None
        for k in ("flip_angle", "flip_angle2"):
            if k in settings:
                settings[k] = draw.uniform(3, 90)
        if "train_length" in settings:
            settings["train_length"] = draw.randint(1, 40)
            settings.pop("centre_echo", None)
        if "centre_echo" in usual:
            settings["centre_echo"] = draw.randrange(settings["train_length"])
            settings["te"] = settings["echo_spacing"] * draw.uniform(0, 0.9)
        if "b1" in settings:
            settings["b1"] = 1.0 if name in TRAINS else draw.uniform(0.6, 1.4)
        if "inversion_efficiency" in settings:
            settings["inversion_efficiency"] = draw.uniform(0, 1)
        if name in TRAINS:
            settings["effective_te"] = settings["te"] = settings["echo_spacing"] * draw.randint(
                1, settings["train_length"]
            )
        if name == "bssfp":
            settings["te"] = settings["tr"] * draw.uniform(0.1, 0.9)
        try:
            found.append(Acquisition(name, **settings))
        except AcquisitionError:
            continue
    return found
