"""Solutions of chapter 13, one function an exercise."""

import torch
from physldm.physics import Acquisition, tissue_signal
from physldm.physics.identifiability import jacobian, tissue_values
from physldm.teach import check


def read_labels():
    shown = {}
    for letter, a in check.LABELS.items():
        s = {n: tissue_signal(n, a) for n in ("wm", "gm", "csf")}
        faintest = min(s, key=lambda n: abs(s[n]))
        nulled = abs(s[faintest]) < 0.05 * max(map(abs, s.values()))
        names = {"wm": "white matter", "gm": "grey matter", "csf": "fluid"}
        shown[letter] = f"no {names[faintest]}" if nulled else "water"
    return shown


def what_breaks():
    return {
        "a": "background",
        "b": "impossible",
        "c": "sign",
        "d": "nothing",
        "e": "impossible",
    }


def carried_error():
    wrong = torch.tensor([0.91, 0.94, 1.06], dtype=torch.float64).log()
    found = []
    for ti in (1.0, 0.7):
        a = Acquisition("mprage", tr=2.4, ti=ti)
        j = jacobian(tissue_values("wm"), [a])[0, 0]
        found.append(100 * (j @ wrong).item() / tissue_signal("wm", a))
    return tuple(found)


def tissue_or_scanner():
    said = {}
    for letter, (_, (protocol, white, grey)) in check.VISITS.items():
        expected = tissue_signal("gm", protocol) / tissue_signal("wm", protocol)
        same = abs(grey / white / expected - 1) < 0.02
        said[letter] = "scanner" if same else "tissue"
    return said
