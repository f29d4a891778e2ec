import pytest
import torch

from physldm.config import load_preset
from physldm.models.decoder import Decoder

from .cases import CODE, IMAGE


@pytest.mark.parametrize("preset", CODE)
def test_a_code_becomes_three_maps_of_the_size_of_a_scan(preset):
    with torch.device("meta"):
        o = Decoder(load_preset(preset).vae)(torch.empty(2, *CODE[preset]))
    assert o.shape == (2, 3, *IMAGE[preset])
