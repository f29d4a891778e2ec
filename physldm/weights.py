"""Weights on disk, and whose they are: safetensors, tied to a format and to the settings of their network."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from physldm.config import Config
from physldm.data.files import whole
from physldm.errors import InputError, writing

FORMAT = "physldm-2"
ADDED_LATER = (("heads", 4), ("told", "numbers"))  # a setting, and what it was while it could not be set


def architecture(config: Config, part: str) -> str:
    """The settings that the weights of a part, ``vae`` or ``ldm``, belong to, as text.

    One that was added later is left out where it is what it was before, so that older weights still fit.
    """
    sections = {"vae": [config.vae], "ldm": [config.vae, config.unet, config.diffusion]}[part]
    settings = (s.model_dump(mode="json", exclude={"sampler_steps", "sampler_last"}) for s in sections)
    named = [{k: v for k, v in values.items() if (k, v) not in ADDED_LATER} for values in settings]
    return json.dumps(named, sort_keys=True)


def save_tensors(file: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Writes a safetensors file whole or not at all.

    Args:
        file: to write.
        tensors: by name.
        metadata: ``format`` and ``architecture``, by which :func:`load_tensors` knows whose they are, and more.

    Raises:
        InputError: it cannot be written.
    """
    content = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with whole(file) as part, writing(file, "room to write weights"):
        try:
            save_file(content, part, metadata)
        except SafetensorError as error:  # of a full disk, too
            raise InputError(f"{file}: {error}, expected room to write weights") from None


def load_tensors(file: Path, expected_architecture: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a file that belongs to this architecture.

    Args:
        file: as :func:`save_tensors` writes it.
        expected_architecture: see :func:`architecture`.

    Raises:
        InputError: missing, damaged, of another format or of another architecture.
    """
    if not file.exists():
        raise InputError(
            f"{file}: missing, expected weights; train first with physldm train --run {file.parent}"
        )
    try:
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}
    except (SafetensorError, OSError) as error:
        raise InputError(f"{file}: damaged: {error}") from None
    if metadata.get("format") != FORMAT:
        raise InputError(f"{file}: format: found {metadata.get('format')!r}, expected {FORMAT!r}")
    if metadata.get("architecture") != expected_architecture:
        raise InputError(
            f"{file}: architecture: found {metadata.get('architecture')}, expected {expected_architecture}"
        )
    return tensors, metadata


def load_weights(file: Path, model: nn.Module, expected_architecture: str) -> None:
    """Puts the tensors of a file into a model.

    Args:
        file: as :func:`save_tensors` writes it.
        model: whose names and shapes they have.
        expected_architecture: see :func:`architecture`.

    Raises:
        InputError: see :func:`load_tensors`; or they are not the model's.
    """
    tensors, _ = load_tensors(file, expected_architecture)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise InputError(f"{file}: weights: {str(error).splitlines()[-1].strip()}") from None
