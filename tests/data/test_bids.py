import json

import nibabel as nib
import numpy as np
import pytest
import torch

from physldm.data import make_subject
from physldm.data.bids import (
    new_dataset,
    read_fractions,
    read_maps,
    read_volume,
    sidecar_of,
    start_dataset,
)
from physldm.data.population import write_subject
from physldm.data.sessions import find_sessions
from physldm.errors import InputError
from physldm.physics import Acquisition


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp("bids") / "phantom"
    subject = make_subject(0, 0, spacing=2, heights=(84, 88, 92))
    start_dataset(root, "test")
    start_dataset(root / "derivatives" / "truth", "test", derivative=True)
    write_subject(root, "sub-001", subject)
    return root, subject


def test_scans_read_back_with_nibabel(dataset):
    root, subject = dataset
    image = nib.load(root / "sub-001" / "anat" / "sub-001_FLAIR.nii.gz")
    assert nib.aff2axcodes(image.affine) == ("R", "A", "S")
    assert image.shape == (80, 112, 3) and np.allclose(image.header.get_zooms(), (2, 2, 4))
    # anterior is the top row of a slice and the last row of a RAS volume
    expected = subject.scans[1, 2].numpy()[::-1].T
    np.testing.assert_allclose(image.get_fdata()[:, :, 1], expected, rtol=1e-6)
    sidecar = json.loads((root / "sub-001" / "anat" / "sub-001_FLAIR.json").read_text())
    assert sidecar["InversionTime"] == subject.acquisitions[2].ti and sidecar["RepetitionTime"] == 9.0


def test_our_reader_gives_back_scan_protocol_and_truth(dataset):
    root, subject = dataset
    for n, suffix in enumerate(("T1w", "T2w", "FLAIR")):
        file = root / "sub-001" / "anat" / f"sub-001_{suffix}.nii.gz"
        stack, _ = read_volume(file)
        acquisition = Acquisition.from_bids(json.loads(sidecar_of(file).read_text(encoding="utf-8")), suffix)
        torch.testing.assert_close(stack, subject.scans[:, n])
        assert acquisition == subject.acquisitions[n]
    maps, affine = read_maps(root / "derivatives" / "truth")["sub-001"]
    torch.testing.assert_close(maps, subject.maps)
    np.testing.assert_allclose(affine, subject.affine)


def test_a_volume_stored_in_another_orientation_reads_as_ras(dataset, tmp_path):
    root, subject = dataset
    image = nib.load(root / "sub-001" / "anat" / "sub-001_T1w.nii.gz")
    turned = image.as_reoriented(nib.orientations.axcodes2ornt(("P", "S", "L")))
    nib.save(turned, tmp_path / "turned.nii.gz")
    torch.testing.assert_close(read_volume(tmp_path / "turned.nii.gz")[0], subject.scans[:, 0])


def test_damaged_files_are_named(dataset, tmp_path):
    root, _ = dataset
    whole = (root / "sub-001" / "anat" / "sub-001_T1w.nii.gz").read_bytes()
    for name, content in (("short.nii.gz", whole[: len(whole) // 2]), ("text.nii.gz", b"hello")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=name):
            read_volume(tmp_path / name)
    with pytest.raises(InputError, match=r"missing\.nii\.gz: missing"):
        read_volume(tmp_path / "missing.nii.gz")
    flat = nib.Nifti1Image(np.full((4, 4, 2), np.nan, np.float32), np.eye(4))
    nib.save(flat, tmp_path / "nan.nii.gz")
    with pytest.raises(InputError, match="NaN"):
        read_volume(tmp_path / "nan.nii.gz")


def test_a_dataset_is_there_whole_or_not_at_all(tmp_path):
    out = tmp_path / "new"
    with pytest.raises(KeyboardInterrupt), new_dataset(out, "test") as part:
        (part / "half").touch()
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "part-new").mkdir()  # left by a run that was killed
    (tmp_path / "part-new" / "old").touch()
    with new_dataset(out, "test") as part:
        assert not (part / "old").exists() and not out.exists()
    assert [p.name for p in out.iterdir()] == ["dataset_description.json"]
    (out / "file").touch()
    with pytest.raises(InputError, match="files in it"), new_dataset(out, "test"):
        pass
    (tmp_path / "plain").touch()
    with pytest.raises(InputError, match="--out"), new_dataset(tmp_path / "plain" / "below", "test"):
        pass


def test_fractions_and_clean_scans_stand_beside_the_maps(dataset):
    root, subject = dataset
    truth = root / "derivatives" / "truth" / "sub-001" / "anat"
    image = nib.load(truth / "sub-001_probseg.nii.gz")
    np.testing.assert_allclose(image.affine, subject.affine)
    white = subject.fractions[1, 0].numpy()[::-1].T
    np.testing.assert_allclose(image.get_fdata()[:, :, 1, 0], white, atol=0.5 / 255 + 1e-6)
    found, affine = read_fractions(truth / "sub-001_probseg.nii.gz")
    np.testing.assert_allclose(affine, subject.affine)
    torch.testing.assert_close(found, subject.fractions, atol=0.5 / 255 + 1e-6, rtol=0)
    clean = truth / "sub-001_desc-clean_T2w.nii.gz"
    torch.testing.assert_close(read_volume(clean)[0], subject.clean[:, 1])
    assert json.loads(sidecar_of(clean).read_text(encoding="utf-8")) == subject.acquisitions[1].to_bids()


def taken(root):
    (session,) = find_sessions(root)
    return [(scan.acquisition, scan.notes) for scan in session.scans.values()]


def test_a_dataset_is_read_as_it_was_scanned(dataset):
    root, subject = dataset
    assert taken(root) == [(scan, ()) for scan in subject.acquisitions]


def test_a_header_with_the_time_of_a_long_train(dataset, tmp_path):
    _, subject = dataset
    write_subject(tmp_path, "sub-9", subject, header_te=True)
    sidecar = json.loads((tmp_path / "sub-9" / "anat" / "sub-9_T2w.json").read_text())
    assert sidecar["EchoTime"] == 0.455 and "spc" in sidecar["SequenceName"]
    hidden = {"PulseSequenceType", "ContrastEquivalentEchoTime", "EchoTrainLength", "EchoSpacing"}
    assert not hidden & set(sidecar)
    t1w, (t2w, (note,)), flair = taken(tmp_path)
    # the phantom's own train, but for a guess
    assert subject.acquisitions[1].effective_te != 0.1
    assert t2w == Acquisition("tse", subject.acquisitions[1].settings, effective_te=0.1)
    assert "effective TE 0.1 s, 280 echoes" in note
    assert [t1w, flair] == [(scan, ()) for scan in subject.acquisitions[::2]]
