"""A scan on the box's grid, and whether it lies where MNI's brain is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from nibabel.affines import voxel_sizes
from nilearn.image import resample_img
from nilearn.image.resampling import BoundingBoxError
from torch import Tensor

from physldm.box import SHAPE_MM, box_affine, stack_shape, to_slices
from physldm.errors import InputError
from physldm.physics import CONTRASTS, Acquisition

from .anatomy import template
from .files import open_image, percent, read_image, without_nan
from .foreground import BRIGHT, slices_with_tissue, tissue_of
from .sessions import COVERED, Scan, Session

LEAST_REACHED = 0.05  # share of MNI's brain that a scan must reach
LITTLE = 0.5  # the same below which it is said; a brain without its skull and the fluid around it reaches 0.6
NEARLY = 0.8  # of several scans the first that reaches as large a share of what the best one reaches is taken
ALIGNED = "aligned to MNI (UniRes does that)"
BINS = 32
# How many mm a scan may lie off the others of its session, and off the template. Heads of another shape than the template's
# fit it best up to 12 mm from their place, but hardly better: what a scan has to do with the template grows by up to 1.32
# times there, and by at least 1.6 times where the average brain is 10 mm off.
OFF_EACH_OTHER, OFF_TEMPLATE, BETTER = 4.0, 8.0, 1.35
DOUBTFUL, CLEARLY = 6.0, 1.1  # the same from which on it is said
# Values as far from 0 as this, in shares of bright tissue, are no noise and no interpolation's ripples; if more than SIGNED
# of them are negative, the scan is no magnitude.
FAR_BELOW, SIGNED = 0.1, 0.05
WRAPPED = 0.5  # share of the largest value that negative ones must reach to be unsigned ones read as signed


# --- the grid ----------------------------------------------------------------------------------------------------


class OnGrid(NamedTuple):
    """A scan as axial slices of the box, anterior up; what is to be said of its values; and the share of those that are
    not near 0 that is negative."""

    stack: Float[Tensor, "S H W"]
    notes: list[str]
    signed: float


def read_on_grid(file: Path, spacing: int) -> OnGrid:
    """A scan on the box's grid; 0 outside the scan and where it is negative or NaN.

    Where the scan's voxels are those of the box it is cropped and padded, exactly; otherwise it is interpolated by
    cubic splines. Voxels much finer than the box's are averaged, never picked from.

    Args:
        file: NIfTI.
        spacing: voxel size of the grid, mm.

    Raises:
        InputError: damaged, not 3-D, infinite, the same everywhere, or without a place in the world.
    """
    data, image = read_image(file)
    data, said = without_nan(file, data)
    if data.min() == data.max():
        raise InputError(f"{file}: values: found {data.min():g} everywhere, expected a picture")
    size = np.abs(data)
    far = size > FAR_BELOW * np.percentile(size[size > 0], BRIGHT)
    notes = [note for note in (said, _of_negative(file, data)) if note]
    return OnGrid(
        _on_grid(nib.Nifti1Image(data, image.affine), spacing), notes, float((data[far] < 0).mean())
    )


def _of_negative(file: Path, data: np.ndarray) -> str | None:
    """What is to be said of a scan's negative values, which are taken as 0."""
    share = (data < 0).mean()
    found = f"{file}: {percent(share)} of its voxels are negative"
    if -data.min() > WRAPPED * data.max():
        return f"{found}, as far below 0 as others are above it (unsigned values read as signed?): taken as 0"
    return f"{found}: taken as 0" if share > 0.01 else None


def _on_grid(image: nib.Nifti1Image, spacing: int) -> Float[Tensor, "S H W"]:
    # how many voxels of the scan one of the box's is long; more than four are skipped over
    finer = np.clip(np.round(spacing / voxel_sizes(image.affine)), 1, 4).astype(int)
    shape = np.array(SHAPE_MM) // spacing * finer
    affine = box_affine(spacing) @ np.diag([*(1 / finer), 1.0])
    affine[:3, 3] -= spacing * (1 - 1 / finer) / 2
    step = np.linalg.inv(image.affine) @ affine
    whole_voxels = np.allclose(step[:3, :3], np.eye(3), atol=1e-4) and np.allclose(
        step[:3, 3], np.round(step[:3, 3]), rtol=0, atol=1e-3
    )
    interpolation = "nearest" if whole_voxels else "continuous"
    try:
        moved = resample_img(image, affine, tuple(shape.tolist()), interpolation)
    except BoundingBoxError:  # no voxel of the scan is in the box
        return torch.zeros(stack_shape(spacing))
    volume = torch.from_numpy(moved.get_fdata(dtype=np.float32)).clamp_min(0)
    return to_slices(F.avg_pool3d(volume[None], tuple(finer.tolist()))[0]).contiguous()


# --- is it where it should be ------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _reference() -> tuple[np.ndarray, np.ndarray]:
    """The T1w template at 2 mm and where its brain is, ``[S, H, W]`` each."""
    head = _on_grid(nib.Nifti1Image(*template("t1")), 2).numpy()
    return head, head > 0


class _Places:
    """Where a picture lies by another: the shift by which it tells most of it.

    What one picture tells of another is their mutual information, Σ p(a, b) log(p(a, b) / p(a) p(b)), here over the
    template's brain at 2 mm: it asks for no likeness in contrast. The search goes along the axes, by 8, 4, 2 mm.
    """

    FAR, ROOM = 12, 24  # voxels: of the first look around, and at most

    def __init__(self, moving: np.ndarray, fixed: np.ndarray):
        brain = _reference()[1]
        padded = np.pad(_grey_steps(moving, brain), self.ROOM)
        self.moving, self.fixed = padded.ravel(), _grey_steps(fixed, brain)[brain]
        self.strides = np.array(padded.strides) // padded.itemsize
        self.brain = (np.argwhere(brain) + self.ROOM) @ self.strides
        self.known: dict[tuple[int, ...], float] = {}

    def told(self, shift: tuple[int, ...]) -> float:
        """The mutual information with the picture moved by so many voxels."""
        if max(map(abs, shift)) > self.ROOM:
            return -np.inf
        if shift not in self.known:
            seen = self.moving[self.brain + np.dot(shift, self.strides)]
            self.known[shift] = _mutual_information(seen, self.fixed)
        return self.known[shift]

    def best(self) -> tuple[float, float]:
        """How many mm off the picture lies, and how much more it tells in its best place."""
        place = max([(0, 0, 0), *self._around((0, 0, 0), self.FAR)], key=self.told)
        for step in (4, 2, 1):
            while self.told(nearby := max(self._around(place, step), key=self.told)) > self.told(place):
                place = nearby
        return 2 * float(np.linalg.norm(place)), self.told(place) / max(self.told((0, 0, 0)), 1e-9)

    @staticmethod
    def _around(place: tuple[int, ...], step: int) -> list[tuple[int, ...]]:
        axes = np.eye(3, dtype=int) * step
        return [tuple((np.array(place) + sign * axis).tolist()) for axis in axes for sign in (-1, 1)]


def _grey_steps(volume: np.ndarray, where: np.ndarray) -> np.ndarray:
    top = max(np.percentile(volume[where], BRIGHT), np.finfo(np.float32).tiny)
    return np.minimum(volume / top * BINS, BINS - 1).astype(np.int64)


def _mutual_information(a: np.ndarray, b: np.ndarray) -> float:
    joint = np.bincount(a * BINS + b, minlength=BINS**2).reshape(BINS, BINS) / a.size
    apart = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    seen = joint > 0
    return float((joint[seen] * np.log(joint[seen] / apart[seen])).sum())


class Reading(NamedTuple):
    """What of a session could be read and lies well: its scans, their stacks ``[S, H, W]``, and what is to be said."""

    scans: dict[str, Scan]
    stacks: dict[str, Tensor]
    notes: list[str]

    @property
    def acquisitions(self) -> list[Acquisition | None]:
        """How T1w, T2w and FLAIR were taken; None where there is no such scan."""
        return [self.scans[c].acquisition if c in self.scans else None for c in CONTRASTS]


@dataclass
class _Placed:
    """A scan on the grid: its stack, the same at 2 mm, the share of MNI's brain that it reaches, what is to be said."""

    scan: Scan
    stack: Tensor
    coarse: np.ndarray
    reached: float
    notes: list[str]

    @cached_property
    def off(self) -> float:
        """How many mm it lies off the template, 0 where it lies well."""
        mm, better = self._by_template
        return mm if mm >= OFF_TEMPLATE and better > BETTER else 0.0

    @cached_property
    def _by_template(self) -> tuple[float, float]:
        return _Places(self.coarse, _reference()[0]).best()

    def off_from(self, other: _Placed) -> float:
        """How many mm it lies off another scan of its session: pictures of one brain tell far more of each other."""
        mm, _ = _Places(self.coarse, other.coarse).best()
        return mm if mm >= OFF_EACH_OTHER else 0.0

    def doubt(self) -> list[str]:
        """What is to be said of a place that is just bearable."""
        mm, better = self._by_template
        if self.off or mm < DOUBTFUL or better < CLEARLY:
            return []
        return [
            f"{self.scan.file}: position: about {mm:.0f} mm from MNI's template, or of another shape: taken"
        ]


def read_session(session: Session, spacing: int) -> Reading:
    """The scans of a session on the grid; where one cannot be used, the best of its repeats that can."""
    notes: list[str] = []
    waiting = {suffix: [chosen, *session.spare[suffix]] for suffix, chosen in session.scans.items()}
    placed = {suffix: _next(scans, spacing, notes) for suffix, scans in waiting.items()}
    while lines := _misplaced({suffix: p for suffix, p in placed.items() if p}):
        notes += lines.values()
        placed |= {suffix: _next(waiting[suffix], spacing, notes) for suffix in lines}
    found = {suffix: p for suffix, p in placed.items() if p}
    notes += next(iter(found.values())).doubt() if found else []
    for suffix, p in found.items():
        if p.scan is not session.scans[suffix]:
            notes.append(f"{p.scan.file}: taken in its place")
        notes += p.notes
        if p.reached < LITTLE:
            notes.append(f"{p.scan.file}: reaches {p.reached:.0%} of MNI's brain")
    return Reading({c: p.scan for c, p in found.items()}, {c: p.stack for c, p in found.items()}, notes)


def _next(waiting: list[Scan], spacing: int, notes: list[str]) -> _Placed | None:
    """The first of the scans that can be read and reaches nearly as much of the brain as any; takes it, and those that
    cannot be read, from the list."""
    readable: list[_Placed] = []
    for scan in list(waiting):
        try:
            readable.append(_place(scan, spacing))
        except InputError as error:
            notes.append(str(error))
            waiting.remove(scan)
            continue
        if readable[-1].reached >= COVERED:
            break
    most = max((p.reached for p in readable), default=0.0)
    best = next((p for p in readable if p.reached >= NEARLY * most), None)
    if best:
        waiting.remove(best.scan)
    return best


def _place(scan: Scan, spacing: int) -> _Placed:
    stack, notes, signed = read_on_grid(scan.file, spacing)
    if signed > SIGNED:
        raise InputError(
            f"{scan.file}: values: found {percent(signed)} negative, expected a magnitude (this is signed, as a "
            "phase-sensitive inversion recovery is, or was shifted below 0)"
        )
    stack = stack * slices_with_tissue(tissue_of(stack))[:, None, None]
    coarse = F.avg_pool3d(stack[None], 2 // spacing)[0]
    reached = float(tissue_of(coarse).numpy()[_reference()[1]].mean())
    if reached < LEAST_REACHED:
        found = f"{reached:.0%} of MNI's brain in it" if reached else "nothing where MNI's brain is"
        raise InputError(f"{scan.file}: position: found {found}, expected {ALIGNED}{_nowhere(scan.file)}")
    return _Placed(scan, stack, coarse.numpy(), reached, notes)


def _nowhere(file: Path) -> str:
    """What to add where a file does not say where it lies."""
    header = open_image(file).header
    unsaid = isinstance(header, nib.Nifti1Header) and not (header["sform_code"] or header["qform_code"])
    return " (its sform_code and qform_code are 0: it does not say where it lies)" if unsaid else ""


def _misplaced(placed: dict[str, _Placed]) -> dict[str, str]:
    """One line for each scan that lies elsewhere than most of its session, or with them off the template.

    Of a session's scans the first that most others agree with stands for its place; where none agree, the one that lies
    best.
    """
    if not placed:
        return {}
    apart = {(a, b): p.off_from(q) for a, p in placed.items() for b, q in placed.items() if a < b}
    apart |= {(b, a): mm for (a, b), mm in apart.items()}
    agree = {a: [b for b in placed if b != a and not apart[a, b]] for a in placed}
    first = min(placed, key=lambda a: (-len(agree[a]), not agree[a] and placed[a].off))
    together, anchor = [first, *agree[first]], placed[first]
    wrong = {a: (apart[a, first], anchor.scan.file.name) for a in placed if a not in together}
    if anchor.off:
        wrong |= {a: (anchor.off, "MNI's template") for a in together}
    return {
        a: f"{placed[a].scan.file}: position: found about {mm:.0f} mm from {place}, expected {ALIGNED}"
        + _nowhere(placed[a].scan.file)
        for a, (mm, place) in sorted(wrong.items(), key=lambda pair: [*placed].index(pair[0]))
    }
