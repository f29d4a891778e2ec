import pytest
import torch

from physldm.config import load_preset
from physldm.models import latent_shape, make_denoiser

from .cases import CODE


@pytest.mark.parametrize("preset", CODE)
def test_what_the_denoiser_of_a_preset_says_has_the_shape_of_a_code(preset):
    config = load_preset(preset)
    with torch.device("meta"):
        v = make_denoiser(config)(torch.empty(2, *CODE[preset]), torch.zeros(2, dtype=torch.long))
    assert v.shape == (2, *CODE[preset]) and latent_shape(config) == CODE[preset]
