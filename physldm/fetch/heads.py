"""Public label maps of individual heads: downloaded once, or taken from a folder, and checked byte by byte."""

from __future__ import annotations

import shutil
from pathlib import Path

import pooch

from physldm.data.files import whole
from physldm.errors import InputError, writing
from physldm.progress import progress

# 16 heads with skull and scalp, from SynthSeg (Billot et al. 2023), Apache License 2.0.
HEADS_URL = "https://github.com/BBillot/SynthSeg/raw/master/data/training_label_maps/"
HEADS = {
    "training_seg_01.nii.gz": "edbf1229a0552f8ce37438d02f59e810583b71b0a1b4d31dc38e5e2b2517acb1",
    "training_seg_02.nii.gz": "65e64c6b9415f389dfda5182ec3a269836925b04166ea82f47b230e54980d0a4",
    "training_seg_03.nii.gz": "f746e2f90e4dccd7bbbdc18bdd6374e455ddb7fc044504a0a42edc8507cf1aa0",
    "training_seg_04.nii.gz": "fbcf9d5d3b946dc53cff2e9954abb8c8172960ac35b1bf80c3ca240b4feda140",
    "training_seg_05.nii.gz": "a53baa7b0faea832d45f8a5b9a234b2b6d4ca92bf5c98baeada4a935cc2f1183",
    "training_seg_06.nii.gz": "57d8c612469359da78b7c16647cc6979be461eb03b59805e7ebded51554f9ead",
    "training_seg_07.nii.gz": "feaa1e8f320e037709a51e30881fe8076a45fc06611a09bbd87e76f8f3f89826",
    "training_seg_08.nii.gz": "f4a9d39c5c64bc5457de84b10a4c4b47f3bb6257e9f396ffa61d290015f178d2",
    "training_seg_09.nii.gz": "6f41f2b755c97185167d887d95180ca4c754578f81cd30fe8119df1e20bb27d5",
    "training_seg_10.nii.gz": "4a0147bf1d52c6853176777554165d79a01656ddb8f8474da48b65d6218b664e",
    "training_seg_11.nii.gz": "02e468bbb652ff0da18eeb73932f09813150ef95155ba7669831849da8517196",
    "training_seg_12.nii.gz": "5d0a47dd3ff4d821cc758e388a49da5744bf86dee423ed93bf727472a8454d8d",
    "training_seg_13.nii.gz": "d11cf676fbd5b9316fe30acbca98c854cf88dbcee74a5fe22092ac91ccd8d3a1",
    "training_seg_14.nii.gz": "7b8d1783c1b5b71b454644169d848b28fa57a33ca4a9b49ff88ad897b8aea570",
    "training_seg_15.nii.gz": "a896e39351622c2e138195780ba267811d7d162df0da0091126550f5de3b74ff",
    "training_seg_16.nii.gz": "f48c442569883055440a930ad098b4e747d72deb6369f529e4486c36b0cbfe81",
}


def fetch_heads(out: Path, source: Path | None = None) -> None:
    """Puts the label maps of ``HEADS`` into ``out``; what is there already, and right, stays.

    Args:
        out: a folder; made if it is not there.
        source: a folder that has them, for a machine without a network.

    Raises:
        InputError: a file cannot be had, or is not the one that is meant.
    """
    with writing(out, "a folder to write to (--out)"):
        out.mkdir(parents=True, exist_ok=True)
    for name, digest in progress(HEADS.items(), desc="label maps", unit="head"):
        file = out / name
        if file.is_file() and pooch.file_hash(str(file)) == digest:
            continue
        with whole(file) as part:
            _get(name, source, part)
            if pooch.file_hash(str(part)) != digest:
                raise InputError(
                    f"{name}: checksum: found another file, expected the one this package was made with"
                )


def _get(name: str, source: Path | None, file: Path) -> None:
    """Downloads a label map to ``file``, or copies it there."""
    try:
        if source is None:
            pooch.HTTPDownloader()(HEADS_URL + name, str(file), None)
        else:
            shutil.copyfile(source / name, file)
    except OSError as error:  # of requests, too
        reason = str(error).split(":")[0]
        raise InputError(
            f"{source / name if source else HEADS_URL + name}: {reason}, expected to be able to read it "
            "(without a network: --from FOLDER)"
        ) from None
