"""Solutions of chapter 10, one function an exercise."""

import torch
from physldm.teach import check
from scipy.ndimage import gaussian_filter


def best_edge():
    # squares: the mean, that is the chance of being bright; absolute: bright where that is above one half
    return {"squares": [0, 0.4, 0.75, 1], "absolute": [0, 0, 1, 1]}


def opposite_order():
    picture = check.sharp_slice()
    blurred = torch.from_numpy(gaussian_filter(picture.numpy(), 1.0))
    shifted = picture.roll(1, -1)
    return blurred, shifted


def adversarial_losses(real, made):
    critic = 0.5 * ((real - 1) ** 2).mean() + 0.5 * (made**2).mean()
    network = ((made - 1) ** 2).mean()
    return critic, network


def receptive_field(layers):
    field = 1
    for kernel, stride in reversed(layers):
        field = (field - 1) * stride + kernel
    return field


def layers_to_keep():
    layers = 0
    while receptive_field([(4, 2)] * (layers + 1) + [(4, 1)] * 2) <= 40:
        layers += 1
    return layers
