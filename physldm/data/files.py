"""What can be wrong with an image file."""

import zlib

import nibabel as nib

# What nibabel raises, reading a file that is cut short, no image at all, or one with an impossible header.
DAMAGED = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    OverflowError,
    zlib.error,
    nib.filebasedimages.ImageFileError,
    nib.spatialimages.HeaderDataError,
    nib.orientations.OrientationError,
)
