"""Made-up subjects on disk: as a slice store to train on, and as a BIDS dataset with the truth."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from physldm.config import DataConfig
from physldm.errors import writing
from physldm.physics import CONTRASTS
from physldm.progress import progress

from .anatomy import anatomies, anatomy_fingerprint, check_anatomies
from .bids import new_dataset, start_dataset, write_fractions, write_maps, write_volume
from .json_files import write_json
from .phantom import Subject, make_subject
from .protocols import HEADER_TE, USUAL
from .sequence_names import MADE_HERE
from .slices import FORMAT, SliceStore, add_session, close_store, has_session

BRAIN = ("maps", "fractions")  # what a store keeps of a subject to train on, and of one that is held out
WHOLE = ("scans", "clean", *BRAIN)


def subject_name(number: int) -> str:
    """The name of a subject in every dataset and store that is made: ``sub-001`` is number 0."""
    return f"sub-{number + 1:03d}"


def _one_head_after_another(heads: Sequence[str]) -> Iterator[int]:
    """Numbers of the subjects in an order in which each anatomy is read once, with a bar."""
    order = sorted(range(len(heads)), key=lambda i: heads[i])
    yield from progress(order, desc="making subjects", unit="subject")


# --- a store -----------------------------------------------------------------------------------------------------


def phantom_fingerprint(config: DataConfig, seed: int) -> str:
    """What a phantom store's content depends on: the settings, the seed, the anatomies themselves, how they are scanned."""
    heads = [anatomy_fingerprint(name) for name in anatomies(config.anatomy)]
    scanned = [str(family) for family in USUAL]
    settings = config.model_dump(mode="json", exclude={"anatomy"})
    text = json.dumps([FORMAT, seed, settings, heads, scanned], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def cast(config: DataConfig) -> list[tuple[str, str]]:
    """Anatomy and split of every subject of a phantom store: no anatomy of several is in two splits."""
    heads = anatomies(config.anatomy)
    counts = {
        "train": config.train_subjects,
        "choose": config.choose_subjects,
        "heldout": config.heldout_subjects,
    }
    groups, left = dict.fromkeys(counts, heads), heads
    if len(heads) > 1:
        for split in ("heldout", "choose"):
            share = round(len(heads) * counts[split] / sum(counts.values()))
            apart = min(len(left) - 1, max(1, share)) if counts[split] else 0
            groups[split], left = left[len(left) - apart :] or left, left[: len(left) - apart]
        groups["train"] = left
    return [(groups[split][i % len(groups[split])], split) for split, n in counts.items() for i in range(n)]


def scanned_anew(config: DataConfig) -> bool:
    """Whether training scans its subjects anew in every step. One study scans everybody once; and where tissues mix as
    signals the maps do not tell the scans."""
    return config.protocols == "any" and config.partial_volume == "properties"


def phantom_store(config: DataConfig, seed: int, folder: Path) -> SliceStore:
    """The store of made-up subjects that ``config`` describes; made, or finished, if it is not there yet.

    Of those to train on it keeps the maps where every step scans them anew, else their scans. Then come ``choose_subjects`` that settings are chosen by, and ``heldout_subjects``
    that are scored and looked at for nothing else: splits are by subject, and by anatomy where there is more than one.
    """
    fingerprint = phantom_fingerprint(config, seed)
    if (folder / "index.json").exists():
        store = SliceStore(folder)
        if store.fingerprint == fingerprint:
            return store
    parts = cast(config)
    heads, heights = [anatomy for anatomy, _ in parts], tuple(range(*config.heights))
    for i in _one_head_after_another(heads):
        name = subject_name(i)
        if has_session(folder, name, fingerprint):
            continue
        brain = parts[i][1] == "train" and scanned_anew(config)
        subject = make_subject(
            seed,
            i,
            anatomy=heads[i],
            spacing=config.spacing,
            heights=heights,
            partial_volume=config.partial_volume,
            noise=config.noise,
            gain_sd=config.gain_sd,
            sequence_gain_sd=config.sequence_gain_sd,
        )
        add_session(
            folder,
            name,
            subject=name,
            source=fingerprint,
            acquisitions=None if brain else subject.acquisitions,
            arrays={array: getattr(subject, array).numpy() for array in (BRAIN if brain else WHOLE)},
            heights=heights,
        )
    split = {subject_name(i): part for i, (_, part) in enumerate(parts)}
    return close_store(
        folder, split, spacing=config.spacing, fingerprint=fingerprint, partial_volume=config.partial_volume
    )


# --- a BIDS dataset ----------------------------------------------------------------------------------------------


def phantom_dataset(
    out: Path,
    *,
    anatomy: str = "icbm152",
    subjects: int,
    seed: int,
    spacing: int = 1,
    partial_volume: str = "properties",
    header_te: bool = False,
) -> None:
    """Made-up subjects as a BIDS dataset with the true maps, there whole or not at all.

    Args:
        out: a new or empty folder.
        anatomy: see :func:`physldm.data.anatomies`; of several each is taken in turn.
        subjects: how many.
        seed: of the population.
        spacing: voxel size in mm, 1 or 2.
        partial_volume: see :func:`physldm.data.make_subject`.
        header_te: see :func:`write_subject`.

    Raises:
        InputError: no such anatomy, or a damaged one; ``out`` has files in it or cannot be written.
    """
    found = anatomies(anatomy)
    heads = [found[i % len(found)] for i in range(subjects)]
    check_anatomies(heads)
    with new_dataset(out, "physldm phantom") as root:
        truth = root / "derivatives" / "truth"
        start_dataset(truth, "physldm phantom: true maps", derivative=True, PartialVolume=partial_volume)
        write_participants(root, {subject_name(i): head for i, head in enumerate(heads)})
        for i in _one_head_after_another(heads):
            subject = make_subject(seed, i, anatomy=heads[i], spacing=spacing, partial_volume=partial_volume)
            write_subject(root, subject_name(i), subject, header_te=header_te)


def write_participants(folder: Path, anatomy_of: Mapping[str, str]) -> None:
    """``participants.tsv``: the subjects and the anatomy each was made from, by which splits are made."""
    rows = [f"{subject}\t{Path(anatomy).name}" for subject, anatomy in anatomy_of.items()]
    file, text = folder / "participants.tsv", "\n".join(["participant_id\tanatomy", *rows]) + "\n"
    with writing(file, "room to write a table"):
        file.write_text(text, encoding="utf-8")
    meaning = {"anatomy": {"Description": "The anatomy that the subject was made from"}}
    write_json(folder / "participants.json", meaning)


def write_subject(root: Path, name: str, subject: Subject, *, header_te: bool = False) -> None:
    """A phantom subject: scans under ``name/anat``; under ``derivatives/truth`` maps, tissue fractions
    (``_probseg``, 4-D, in the order of its sidecar's ``LabelMap``) and scans without noise (``_desc-clean``).

    Args:
        root: the dataset's folder.
        name: the subject's, with ``sub-``.
        subject: what to write.
        header_te: the sidecar of the T2w scan says what OASIS-3's headers say of such a long echo train, its name,
            TR and TE 0.455 s, and neither its echoes nor the effective TE that the scan was made with.
    """
    truth = root / "derivatives" / "truth" / name / "anat"
    for n, (contrast, acquisition) in enumerate(zip(CONTRASTS, subject.acquisitions, strict=True)):
        sidecar = {"Modality": "MR", "MagneticFieldStrength": 3.0, **MADE_HERE, **acquisition.to_bids()}
        if header_te and contrast == "T2w":
            for field in (
                "PulseSequenceType",
                "EchoSpacing",
                "EchoTrainLength",
                "ContrastEquivalentEchoTime",
            ):
                sidecar.pop(field, None)
            sidecar |= {"SequenceName": "*spc_314ns", "EchoTime": HEADER_TE}
        write_volume(
            root / name / "anat" / f"{name}_{contrast}.nii.gz", subject.scans[:, n], subject.affine, sidecar
        )
        file = truth / f"{name}_desc-clean_{contrast}.nii.gz"
        write_volume(file, subject.clean[:, n], subject.affine, acquisition.to_bids())
    write_maps(truth, name, subject.maps, subject.affine)
    write_fractions(truth / f"{name}_probseg.nii.gz", subject.fractions, subject.affine)
