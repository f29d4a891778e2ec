import torch

from physldm.models.discriminator import PatchDiscriminator


def test_discriminator_judges_patches_of_70_pixels():
    torch.manual_seed(0)
    network = PatchDiscriminator().eval()
    for layer in network.modules():  # GroupNorm looks at the whole image
        if isinstance(layer, torch.nn.GroupNorm):
            layer.forward = lambda x: x
    image = torch.randn(1, 1, 112, 112, requires_grad=True)
    verdict = network(image)
    assert verdict.shape == (1, 1, 12, 12)
    verdict[0, 0, 6, 6].backward()
    rows = image.grad[0, 0].abs().sum(1).nonzero()
    assert rows.max() - rows.min() + 1 == 70
