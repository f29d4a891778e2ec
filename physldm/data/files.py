"""Files: images that may be damaged, and what is written whole or not at all."""

from __future__ import annotations

import math
import os
import shutil
import zlib
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError, SpatialImage

from physldm.errors import InputError, writing

MOST_VOXELS = 2**28  # a whole head with voxels of 0.4 mm
ROUNDED = 1e-5  # by how much the square of a stored quaternion's length may miss 1
# Of units other than mm: how many mm one is, and whether a voxel's size can be in it. Some headers name one that they do
# not mean.
PLAUSIBLE = {"meter": (1e3, lambda size: size < 0.05), "micron": (1e-3, lambda size: size > 50)}
# What nibabel raises, reading a file that is cut short, no image at all, or one with an impossible header.
DAMAGED = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    OverflowError,
    zlib.error,
    ImageFileError,
    HeaderDataError,
    nib.orientations.OrientationError,
)


@contextmanager
def _reading(file: Path) -> Generator[None]:
    """What nibabel says of a bad file, in one line; nothing but nibabel's own calls belongs inside."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{file}: {_missing(file)}, expected an image") from None
    except DAMAGED as error:
        said = " ".join(str(error).split())
        if said.startswith("w2 should be positive"):
            raise InputError(f"{file}: qform: found a quaternion longer than 1, expected at most 1") from None
        raise InputError(f"{file}: damaged or cut short: {said}") from None


def _missing(file: Path) -> str:
    return "a link to a file that is not here (datalad get)" if file.is_symlink() else "missing"


class _RoundedHeader(nib.Nifti1Header):
    quaternion_threshold = np.float64(ROUNDED)


class _RoundedImage(nib.Nifti1Image):
    """A NIfTI whose quaternion was rounded to be longer than 1 by more than nibabel takes for single precision."""

    header_class = _RoundedHeader


def _unit(image: nib.Nifti1Image) -> str:
    """In which unit its header says that places are; a code that NIfTI does not have says nothing."""
    try:
        return image.header.get_xyzt_units()[0]
    except KeyError:
        return "unknown"


def _load(file: Path) -> SpatialImage:
    """An image with its place in mm, also where its header says that it is in metres or µm."""
    try:
        image = nib.load(file)
    except ValueError as error:
        if not str(error).startswith("w2 should be positive"):
            raise
        image = _RoundedImage.from_filename(file)
    if not isinstance(image, SpatialImage):
        raise TypeError(f"found {type(image).__name__}, expected a volume")
    if isinstance(image, nib.Nifti1Image) and _unit(image) in PLAUSIBLE:
        factor, plausible = PLAUSIBLE[_unit(image)]
        if plausible(voxel_sizes(image.affine).max()):
            return nib.Nifti1Image(image.dataobj, np.diag([factor, factor, factor, 1]) @ image.affine)
    return image


def open_image(file: Path, dimensions: int = 3) -> SpatialImage:
    """An image whose header is sound; its voxels are not read yet.

    Args:
        file: NIfTI, or FreeSurfer's MGH.
        dimensions: 3 or 4. Further ones of length 1 do not count.

    Raises:
        InputError: missing, damaged, of other dimensions, not of real numbers, or voxels without a size.
    """
    with _reading(file):
        image = _load(file)
        shape, dtype, affine = image.shape, image.get_data_dtype(), image.affine
    if len(shape) < dimensions or min(shape) < 1 or set(shape[dimensions:]) - {1}:
        raise InputError(
            f"{file}: shape: found {shape}, expected {'three' if dimensions == 3 else 'four'} dimensions"
        )
    if math.prod(shape) > MOST_VOXELS:
        raise InputError(f"{file}: shape: found {shape}, expected at most {MOST_VOXELS} voxels")
    if dtype.kind not in "iuf":
        raise InputError(f"{file}: values: found {dtype}, expected real numbers")
    sizes, volume = voxel_sizes(affine), abs(np.linalg.det(affine[:3, :3]))
    # a voxel far flatter than its edges are long: two of its directions are nearly the same
    if not (np.isfinite(affine).all() and volume > 0.1 * np.prod(sizes) > 0):
        raise InputError(
            f"{file}: voxel size: found {sizes.tolist()} mm, expected more than 0 along three directions"
        )
    return image


def read_image(
    file: Path, dimensions: int = 3, dtype: type | None = np.float32
) -> tuple[np.ndarray, SpatialImage]:
    """An image's voxels, turned to RAS+, and the image turned so (its affine, its header). NaN is kept: it often fills
    what lies outside the head.

    Args:
        file: see :func:`open_image`.
        dimensions: of the array.
        dtype: of the array; as stored where it is None.

    Raises:
        InputError: see :func:`open_image`; or a value that is infinite.
    """
    image = open_image(file, dimensions)
    with _reading(file):
        image = nib.as_closest_canonical(image)
        data = np.ascontiguousarray(image.dataobj, dtype=dtype)
    if np.isinf(data).any():
        raise InputError(f"{file}: values: found infinity, expected finite numbers")
    return data.reshape(data.shape[:dimensions]), image


def without_nan(file: Path, data: np.ndarray) -> tuple[np.ndarray, str | None]:
    """The values with 0 for NaN, and the line that says so; None where there is none.

    Args:
        file: that the line names.
        data: of any shape.

    Raises:
        InputError: there is nothing else.
    """
    missing = np.isnan(data)
    if missing.all():
        raise InputError(f"{file}: values: found NaN everywhere, expected numbers")
    if not missing.any():
        return data, None
    return np.where(
        missing, data.dtype.type(0), data
    ), f"{file}: {percent(missing.mean())} of its voxels are NaN: taken as 0"


def percent(share: float) -> str:
    """A share in %, in two digits."""
    return f"{100 * share:.2g} %"


@contextmanager
def whole(path: Path) -> Generator[Path]:
    """A file or a folder that is there whole or not at all: write what belongs there to the path that is handed out.

    An empty folder may stand in its place. The path handed out has the same ending, by which some libraries go. A file may
    be read by those whom the umask lets read, whatever the library that wrote it thinks.

    Raises:
        InputError: the system refuses to put it in its place.
    """
    part = path.with_name(f"part-{path.name}")
    _remove(part)  # of a run that was killed
    try:
        yield part
        with writing(path, "to be allowed to put it there"):
            if path.is_dir():
                path.rmdir()
            if part.is_file():
                part.chmod(0o666 & ~_umask())
            part.replace(path)
    finally:
        _remove(part)


def _umask() -> int:
    mask = os.umask(0)  # it cannot be read without being set
    os.umask(mask)
    return mask


def _remove(path: Path) -> None:
    """Removes what is there, if it can be: where it cannot, writing there fails and says so."""
    with suppress(OSError):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
