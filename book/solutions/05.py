"""Solutions of chapter 05, one function an exercise."""

import math

from physldm.teach import check


def mixed_flair(f, gm, csf, te, tr, ti):
    def flair(pd, t1, t2):
        mz = 1 - 2 * math.exp(-ti / t1) + math.exp(-tr / t1)
        return pd * mz * math.exp(-te / t2)

    return (1 - f) * flair(*gm) + f * flair(*csf)


def noise_of_air():
    return check.unknown_scan()[:16].mean().item() / math.sqrt(math.pi / 2)


def fair_split():
    people = sorted({session.split("_")[0] for session in check.SESSIONS})
    heldout = people[:3]
    return {s for s in check.SESSIONS if s.split("_")[0] in heldout}


def what_it_proves():
    return {"a", "d"}
