"""Weights on disk: they come back as they were, and only to whom they belong."""

import os

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from physldm.errors import InputError
from physldm.weights import FORMAT, load_tensors, load_weights, save_tensors

TENSORS = {"weight": torch.arange(6.0).view(2, 3), "bias": torch.tensor([1.0, -1.0])}
OURS = {"format": FORMAT, "architecture": "a"}


def test_what_was_saved_is_loaded(tmp_path):
    file, layer = tmp_path / "x.safetensors", nn.Linear(3, 2)
    save_tensors(file, {**TENSORS, "weight": TENSORS["weight"].T.contiguous().T}, OURS | {"step": "7"})
    assert list(tmp_path.iterdir()) == [file]
    found, metadata = load_tensors(file, "a")
    assert metadata["step"] == "7" and all(torch.equal(found[k], v) for k, v in TENSORS.items())
    load_weights(file, layer, "a")
    assert torch.equal(layer.weight, TENSORS["weight"])


@pytest.mark.parametrize("mask, mode", [(0o022, 0o644), (0o007, 0o660)])
def test_whom_the_umask_lets_read_can_read_them(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        save_tensors(tmp_path / "x.safetensors", TENSORS, OURS)
    finally:
        os.umask(before)
    assert (tmp_path / "x.safetensors").stat().st_mode & 0o777 == mode


def test_whose_they_are_not_is_named(tmp_path):
    file = tmp_path / "x.safetensors"
    with pytest.raises(InputError, match=r"x\.safetensors: missing"):
        load_tensors(file, "a")
    save_tensors(file, TENSORS, OURS)
    with pytest.raises(InputError, match="architecture: found a, expected b"):
        load_tensors(file, "b")
    with pytest.raises(InputError, match="weights: size mismatch"):
        load_weights(file, nn.Linear(4, 2), "a")
    save_file(TENSORS, file, {"format": "physldm-1", "architecture": "a"})
    with pytest.raises(InputError, match="format: found 'physldm-1'"):
        load_tensors(file, "a")
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(InputError, match="damaged"):
        load_tensors(file, "a")


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    with pytest.raises(InputError, match="expected room to write weights") as raised:
        save_tensors(tmp_path / "none" / "x.safetensors", TENSORS, OURS)
    assert "\n" not in str(raised.value)
