"""The MR physics: how a scan was taken, and the signal it gives."""

from .acquisition import Acquisition, AcquisitionBatch, AcquisitionError
from .signal import SEQUENCES, flair, mprage, signal, spin_echo, tissue_signal
from .tissue import TISSUES, Tissue

__all__ = [
    "SEQUENCES",
    "TISSUES",
    "Acquisition",
    "AcquisitionBatch",
    "AcquisitionError",
    "Tissue",
    "flair",
    "mprage",
    "signal",
    "spin_echo",
    "tissue_signal",
]
