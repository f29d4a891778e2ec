"""Label maps of heads, as FreeSurfer writes them: which label is which tissue.

Labels are those of FreeSurfer's ``aseg``, ``aparc+aseg``, ``aparc.a2009s+aseg`` and ``wmparc``, which FastSurfer and
SynthSeg write, too; 502–530 are the classes outside the brain of the head model that SynthSeg's public label maps carry,
601–628 the parts of the cerebellum by FastSurfer's CerebNet.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from physldm.errors import InputError

from .files import read_image

SUFFIXES = (".nii.gz", ".nii", ".mgz", ".mgh")
LATERAL_VENTRICLES = (4, 5, 43, 44)
CSF_OUTSIDE = 24
SKIN, OTHER_SOFT_TISSUE = 511, 507
SPINAL_CORD_AND_OPTIC_NERVE = (512, 530)
# Labels of each class of tissue, and of what gives no signal. Vessels get muscle's values, for flowing blood is dark in
# a spin echo; the fluid of the eye those of CSF.
TISSUE_OF_LABEL: dict[str, tuple[int, ...]] = {
    "wm": (2, 7, 16, 41, 46, 85, 173, 174, 175, 178, 192, *range(250, 256), *SPINAL_CORD_AND_OPTIC_NERVE,
           *range(3000, 3036), *range(4000, 4036), 5001, 5002, *range(13100, 13176), *range(14100, 14176)),
    "gm": (3, 8, 17, 18, 19, 20, 27, 29, 42, 47, 53, 54, 55, 56, 59, 61, 81, 82, 96, 97, 172, *range(601, 629),
           *range(1000, 1036), *range(2000, 2036), *range(11100, 11176), *range(12100, 12176)),
    "csf": (*LATERAL_VENTRICLES, 14, 15, CSF_OUTSIDE, 72, 257, 259, 506),
    "lesion": (25, 57, 77, 78, 79),
    "deep_gm": (9, 10, 11, 12, 13, 26, 28, 48, 49, 50, 51, 52, 58, 60, 80),
    "choroid": (31, 63, 136, 137, 163, 164),
    "muscle": (30, 62, 258, 502, 508, 509, 514, SKIN),
    "marrow": (516,),
    "": (0, 1, 6, 40, 45, 165, 515, 517),
}  # fmt: skip


BRAIN_PARTS = {
    "white matter": (
        2,
        41,
        *range(3000, 3036),
        *range(4000, 4036),
        *range(13100, 13176),
        *range(14100, 14176),
    ),
    "grey matter": (
        3,
        42,
        *range(1000, 1036),
        *range(2000, 2036),
        *range(11100, 11176),
        *range(12100, 12176),
    ),
    "lateral ventricle": LATERAL_VENTRICLES,
}


def read_label_map(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """A label map as RAS+ integers ``[X, Y, Z]``, and its voxel size in mm.

    Raises:
        InputError: missing, damaged, not 3-D, not labels, with a label that no tissue is known for, or without white
            matter, grey matter or lateral ventricles.
    """
    values, image = read_image(file, dtype=None)
    if (values != np.round(values)).any():
        raise InputError(f"{file}: values: found other than whole numbers, expected labels")
    labels = values.astype(np.int32)
    known = {label for group in TISSUE_OF_LABEL.values() for label in group} | {OTHER_SOFT_TISSUE}
    unknown = sorted(set(np.unique(labels).tolist()) - known)
    if unknown:
        raise InputError(
            f"{file}: labels: found {unknown[:5]}, expected FreeSurfer's (aseg, aparc+aseg, wmparc) or 502–530"
        )
    for part, group in BRAIN_PARTS.items():
        if not np.isin(labels, group).any():
            raise InputError(f"{file}: labels: found no {part}, expected some of {group[:4]}")
    return labels, np.array(image.header.get_zooms()[:3], dtype=float)
