"""LPIPS, against the package that its authors publish."""

import lpips
import pytest
import torch
from safetensors.torch import save_file

from physldm.errors import InputError
from physldm.fetch import alexnet
from physldm.models.perceptual import Lpips

fetched = pytest.mark.skipif(
    not alexnet.backbone_file().exists(), reason="physldm lpips has not been run here"
)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(alexnet, "backbone_file", lambda: tmp_path / "alexnet.safetensors")
    return tmp_path / "alexnet.safetensors"


def test_without_its_backbone_or_with_another_it_says_what_to_do(cache):
    with pytest.raises(InputError, match=r"missing.*physldm lpips"):
        Lpips()
    state = {f"features.{n}.{k}": torch.zeros(3) for n in alexnet.LAYERS for k in ("weight", "bias")}
    save_file(state, cache)
    with pytest.raises(InputError, match="checksum"):
        Lpips()
    cache.write_bytes(b"no safetensors")
    with pytest.raises(InputError, match="damaged"):
        Lpips()


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
