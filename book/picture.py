"""Makes the README's picture: one generated brain under six contrasts, from the trained run."""

from pathlib import Path

from physldm.physics import Acquisition, signal
from physldm.runs import open_run
from physldm.show import show_images

CONTRASTS = {
    "T1w MPRAGE": Acquisition("mprage", tr=2.4, ti=1.0),
    "T2w spin echo": Acquisition("spin_echo", te=0.1, tr=3.2),
    "FLAIR": Acquisition("flair", te=0.09, tr=9.0, ti=2.5),
    "T1w spin echo": Acquisition("spin_echo", te=0.01, tr=0.5),
    "white matter nulled": Acquisition("flair", te=0.02, tr=6.0, ti=0.59),
    "proton density": Acquisition("spin_echo", te=0.01, tr=12.0),
}
SEED, NUMBER = 0, 0  # the one that chapter 00 scans, too

if __name__ == "__main__":
    brain = open_run().sample(8, seed=SEED)[NUMBER]
    images = [
        signal(brain, acquisition).abs() for acquisition in CONTRASTS.values()
    ]
    figure = show_images(images, list(CONTRASTS), own_scale=True)
    figure.savefig(
        Path(__file__).parent / "assets" / "generated-brain.png", dpi=150
    )
