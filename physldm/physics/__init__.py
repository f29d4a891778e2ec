"""The MR physics: how a scan was taken, and the signal it gives."""

from .acquisition import CONTRASTS, Acquisition, AcquisitionBatch, AcquisitionError
from .sequences import FIELDS, SEQUENCES, SequenceModel, flair, mprage, spin_echo
from .signal import signal, tissue_signal
from .tissue import TISSUES, Tissue

__all__ = [
    "CONTRASTS",
    "FIELDS",
    "SEQUENCES",
    "TISSUES",
    "Acquisition",
    "AcquisitionBatch",
    "AcquisitionError",
    "SequenceModel",
    "Tissue",
    "flair",
    "mprage",
    "signal",
    "spin_echo",
    "tissue_signal",
]
