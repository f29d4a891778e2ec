"""`signal` against the bare exponentials that it needs, eager and compiled: 16 subjects, the usual three scans."""

from __future__ import annotations

import torch

from physldm.physics import Acquisition, AcquisitionBatch, signal

from .bar import Bar, seconds

# E1(TI) and E1(TR) of MPRAGE; E1(TR) and E2(TE) of the spin echo; E1(TI), E1(TR) and E2(TE) of FLAIR
EXPONENTIALS = 2 + 2 + 3


@torch.inference_mode()
def bars() -> list[Bar]:
    maps = torch.rand(16, 3, 224, 160, generator=torch.Generator().manual_seed(0)) + 0.1
    protocol = [Acquisition.usual(name) for name in ("mprage", "spin_echo", "flair")]
    batch = AcquisitionBatch.repeat(protocol, len(maps))
    planes = [torch.rand_like(maps[:, 0]) for _ in range(EXPONENTIALS)]
    compiled = torch.compile(lambda m: signal(m, batch))
    took = seconds(
        {
            "bare": lambda: [torch.exp(plane) for plane in planes],
            "eager": lambda: signal(maps, batch),
            "compiled": lambda: compiled(maps),
        }
    )
    print(f"signal of 16 × 3 × 224 × 160: {', '.join(f'{k} {1000 * v:.2f} ms' for k, v in took.items())}")
    return [
        Bar("signal, eager / bare torch.exp", took["eager"] / took["bare"], 3.0),
        Bar("signal, compiled / bare torch.exp", took["compiled"] / took["bare"], 1.0),
    ]
