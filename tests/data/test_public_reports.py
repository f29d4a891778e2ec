"""File layouts, sidecars and values that people have reported of tools like these, each with what is right."""

import gzip
import json
import shutil
import sys

import nibabel as nib
import numpy as np
import pytest
import torch

from physldm import cli
from physldm.data import load_anatomy, make_subject
from physldm.data.alignment import read_on_grid, read_session
from physldm.data.bids import read_maps, write_maps
from physldm.data.population import write_subject
from physldm.data.prepare import prepare
from physldm.data.sequence_names import MADE_HERE
from physldm.data.sessions import find_sessions
from physldm.errors import InputError
from physldm.physics import Acquisition

pytestmark = pytest.mark.slow

CONTRASTS = ("T1w", "T2w", "FLAIR")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """One made-up subject whose sidecars name no sequence, as no scanner's do by our words, and no train."""
    root = tmp_path_factory.mktemp("base") / "bids"
    write_subject(root, "sub-001", make_subject(0, 0, spacing=2))
    shutil.rmtree(root / "derivatives")
    for sidecar in root.rglob("*.json"):
        say(sidecar, PulseSequenceType=None, ConversionSoftware=None)
    train = dict.fromkeys(("EchoSpacing", "EchoTrainLength", "ContrastEquivalentEchoTime"))
    say(anat(root) / "sub-001_T2w.json", EchoTime=0.1, **train)
    return root


@pytest.fixture
def bids(base, tmp_path):
    shutil.copytree(base, tmp_path / "bids")
    return tmp_path / "bids"


@pytest.fixture(scope="module")
def expected(base):
    return read_the_session(base).stacks


def say(sidecar, **fields):
    """Sets fields of a sidecar; None removes one."""
    content = {**json.loads(sidecar.read_text()), **fields}
    sidecar.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))


def anat(root):
    return root / "sub-001" / "anat"


def scan(root, contrast):
    return anat(root) / f"sub-001_{contrast}.nii.gz"


def read_the_session(root):
    (session,) = find_sessions(root)
    return read_session(session, 2)


def change(file, values):
    """Writes an image again with other values."""
    image = nib.load(file)
    nib.save(nib.Nifti1Image(values(image.get_fdata(dtype=np.float32)), image.affine), file)


def change_header(file, **fields):
    """Sets fields of a header as it is stored, where the library that writes it would not."""
    header = nib.load(file).header.structarr.copy()
    for field, value in fields.items():
        header[field] = value
    content = gzip.decompress(file.read_bytes())
    file.write_bytes(gzip.compress(header.tobytes() + content[header.nbytes :]))


# --- names, folders, links ---------------------------------------------------------------------------------------


def as_datalad(root):
    """Each scan is a link into a folder of its own."""
    for number, file in enumerate(sorted(anat(root).glob("*.nii.gz"))):
        kept = root / ".git" / "annex" / "objects" / f"a{number}" / f"k{number}" / f"k{number}.nii.gz"
        kept.parent.mkdir(parents=True)
        file.rename(kept)
        file.symlink_to(kept)
    return root


def as_linked_folder(root):
    shutil.move(root / "sub-001", root.parent / "elsewhere")
    (root / "sub-001").symlink_to(root.parent / "elsewhere")
    (root.parent / "elsewhere" / "back").symlink_to(root)  # round in circles
    return root


def as_archive(root):
    """OASIS-3 as the archive's zip unpacks."""
    to = root / "OAS39001_MR_d0757" / "scans"
    for n, c in enumerate(CONTRASTS, 1):
        for kind, ending in (("NIFTI", ".nii.gz"), ("BIDS", ".json")):
            folder = to / f"anat{n}-{c}" / "resources" / kind / "files"
            folder.mkdir(parents=True)
            shutil.move(anat(root) / f"sub-001_{c}{ending}", folder / f"sub-OAS39001_ses-d0757_{c}{ending}")
    return root


def as_oasis_below_sub_projects(root):
    to = root / "sub-projects" / "OAS39001_MR_d0757"
    for n, c in enumerate(CONTRASTS, 1):
        (to / f"anat{n}").mkdir(parents=True)
        for ending in (".nii.gz", ".json"):
            shutil.move(anat(root) / f"sub-001_{c}{ending}", to / f"anat{n}" / f"sub-OAS39001_{c}{ending}")
    return root


def with_twins_of_macos(root):
    for file in list(anat(root).iterdir()):
        file.with_name("._" + file.name).write_bytes(b"\x00\x05\x16\x07" + bytes(4092))
    return root


def with_labels_of_unires(root):
    for c in CONTRASTS:
        shutil.copy(scan(root, c), anat(root) / f"u_label_sub-001_{c}.nii.gz")
    return root


def renamed(entities):
    def rename(root):
        for file in list(anat(root).iterdir()):
            file.rename(file.with_name(file.name.replace("sub-001_", f"sub-001_{entities}_")))
        return root

    return rename


def with_phase(root):
    for file in list(anat(root).iterdir()):
        shutil.copy(file, file.with_name(file.name.replace("sub-001_", "sub-001_part-phase_")))
        file.rename(file.with_name(file.name.replace("sub-001_", "sub-001_part-mag_")))
    return root


@pytest.mark.parametrize(
    "layout",
    [
        as_datalad,
        as_linked_folder,
        as_archive,
        as_oasis_below_sub_projects,
        with_twins_of_macos,
        with_labels_of_unires,
        with_phase,
        renamed("space-MNI152NLin6Asym_res-2_desc-preproc"),
    ],
)
def test_all_three_scans_are_taken_whatever_the_layout(bids, expected, layout):
    found = read_the_session(layout(bids))
    assert list(found.stacks) == list(CONTRASTS)
    for c, stack in found.stacks.items():
        assert torch.equal(stack, expected[c])


def test_twins_of_macos_in_two_datasets_cost_nothing(bids, tmp_path):
    for name, subject in (("A", "sub-001"), ("B", "sub-002")):
        folder = tmp_path / "two" / name / subject / "anat"
        folder.mkdir(parents=True)
        for file in anat(bids).iterdir():
            shutil.copy(file, folder / file.name.replace("sub-001", subject))
            (folder / f"._{file.name}").write_bytes(b"\x00\x05\x16\x07" + bytes(4092))
    assert [(s.name, len(s.scans)) for s in find_sessions(tmp_path / "two")] == [
        ("sub-001", 3),
        ("sub-002", 3),
    ]


def test_a_stray_copy_of_one_subject_costs_that_subject_only(bids):
    shutil.copytree(bids / "sub-001", bids / "sub-002")
    for file in list((bids / "sub-002").rglob("sub-001*")):
        file.rename(file.with_name(file.name.replace("sub-001", "sub-002")))
    shutil.copytree(bids / "sub-001", bids / "old" / "sub-001")
    one, two = find_sessions(bids)
    assert not one.scans and "found sub-001 in both" in one.left_out[0] and len(two.scans) == 3


def test_a_link_that_leads_nowhere_is_named_as_one(bids):
    as_datalad(bids)
    shutil.rmtree(bids / ".git" / "annex" / "objects" / "a0")
    (session,) = find_sessions(bids)
    assert len(session.scans) == 2 and "a link to a file that is not here" in session.left_out[0]


# --- repeats and slabs -------------------------------------------------------------------------------------------


def slab(bids, mm, name, finer=True, filled=False):
    """The T2w's middle ``mm`` along y, finer in x, beside the whole one; on the whole field, 0 elsewhere, if ``filled``."""
    image = nib.load(scan(bids, "T2w"))
    data, n = image.get_fdata(dtype=np.float32), mm // 2
    first = (data.shape[1] - n) // 2
    affine = image.affine.copy()
    if filled:
        part = np.zeros_like(data)
        part[:, first : first + n] = data[:, first : first + n]
    else:
        part = data[:, first : first + n]
        affine[:3, 3] += affine[:3, 1] * first
        if finer:
            part = np.repeat(part, 2, axis=0)
            affine[:3, 3] -= affine[:3, 0] / 4
            affine[:3, 0] /= 2
    to = anat(bids) / f"sub-001_{name}T2w.nii.gz"
    nib.save(nib.Nifti1Image(part, affine), to)
    if name:
        shutil.copy(anat(bids) / "sub-001_T2w.json", anat(bids) / f"sub-001_{name}T2w.json")


def test_a_whole_scan_is_taken_before_a_finer_slab(bids):
    slab(bids, 60, "acq-hippo_")
    (session,) = find_sessions(bids)
    assert session.scans["T2w"].file.name == "sub-001_T2w.nii.gz"


def test_a_slab_that_was_put_on_the_whole_field_is_not_taken_for_a_whole_scan(bids):
    slab(bids, 60, "acq-a_", filled=True)  # the same voxels, and first by name
    found = read_the_session(bids)
    assert found.scans["T2w"].file.name == "sub-001_T2w.nii.gz"


# --- what sidecars say -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "field, value",
    [
        ("ImageType", ["DERIVED", "PRIMARY", "M", "ND", "UNI"]),
        ("ImageType", ["ORIGINAL", "PRIMARY", "P", "ND"]),
        ("ImageType", ["ORIGINAL", "PRIMARY", "PHASE MAP", "P", "FFE"]),
        ("ImageType", ["DERIVED", "PRIMARY", "DIFFUSION", "ADC"]),
        ("ImageType", "DERIVED\\PRIMARY\\T1 MAP"),
        ("ComplexImageComponent", "PHASE"),
        ("SequenceName", "*fl3d1_ns_mp2rage"),
    ],
)
def test_pictures_of_another_equation_are_left_out_and_said(bids, field, value):
    say(anat(bids) / "sub-001_T1w.json", **{field: value})
    (session,) = find_sessions(bids)
    assert set(session.scans) == {"T2w", "FLAIR"} and f"{field}: found" in session.left_out[0]


@pytest.mark.parametrize(
    "kind, noted",
    [
        (["ORIGINAL", "PRIMARY", "M", "ND", "NORM"], False),
        (["ORIGINAL", "PRIMARY", "M_FFE", "M", "FFE"], False),
        (["DERIVED", "PRIMARY", "MPR", "NORM"], True),
    ],
)
def test_magnitudes_are_taken_and_computed_ones_said(bids, kind, noted):
    say(anat(bids) / "sub-001_T1w.json", ImageType=kind, SequenceName="*tfl3d1_16ns")
    (session,) = find_sessions(bids)
    assert any("DERIVED" in note for note in session.scans["T1w"].notes) == noted


IR_TSE = {"RepetitionTime": 2.0, "EchoTime": 0.02, "InversionTime": 0.8}
LONG_FLAIR = {"RepetitionTime": 5.0, "EchoTime": 0.392, "InversionTime": 1.8}


@pytest.mark.parametrize(
    "named, row",
    [
        ({"ScanningSequence": "IR\\SE", "SequenceName": "tir"}, "ir_tse"),
        ({"SequenceName": "TSE"}, "ir_tse"),
        ({"PulseSequenceType": "Inversion recovery turbo spin echo"}, "ir_tse"),
        ({"SeriesDescription": "T1W_IR_TSE_tra"}, "ir_tse"),
        ({"ProtocolName": "t1_tirm_tra_dark-fluid"}, "ir_tse"),
        ({"PulseSequenceType": ["IR", "TSE"]}, "ir_tse"),
        # nobody says that there is a train
        ({"ScanningSequence": "IR"}, "flair"),
        ({}, "flair"),
    ],
)
def test_however_an_inverted_train_is_named_it_is_one_protocol_and_noted(bids, named, row):
    (anat(bids) / "sub-001_T1w.json").write_text(json.dumps({**IR_TSE, **named}))
    (session,) = find_sessions(bids)
    scan = session.scans["T1w"]
    assert scan.acquisition == Acquisition(row, te=0.02, tr=2.0, ti=0.8)
    assert any(f"taken as {row}" in note for note in scan.notes)
    assert any("3 echoes 0.01 s apart" in note for note in scan.notes) == (row == "ir_tse")


@pytest.mark.parametrize(
    "named",
    [
        {"SequenceName": "spc"},
        {"SequenceName": "TSE"},
        {"SequenceName": "3D_TSE"},
        {"SequenceName": "*tse2d1_9", "MRAcquisitionType": "3D"},
        {"PulseSequenceType": "flair"},
        {"SequenceName": "*spcir_278ns", "PulseSequenceType": "flair"},
        {"SeriesDescription": "3D FLAIR TSE"},
        {},
    ],
)
def test_a_long_train_has_an_effective_te_and_a_note_whatever_its_name(bids, named):
    (anat(bids) / "sub-001_FLAIR.json").write_text(json.dumps({**LONG_FLAIR, **named}))
    (session,) = find_sessions(bids)
    # 280 echoes, 0.392 s in their middle
    train = Acquisition(
        "flair_tse", te=0.392, tr=5.0, ti=1.8, effective_te=0.1, echo_spacing=0.0028, train_length=280
    )
    assert session.scans["FLAIR"].acquisition.sequence == "flair_tse"
    assert session.scans["FLAIR"].acquisition.settings == pytest.approx(train.settings)
    assert any("long echo train" in note for note in session.scans["FLAIR"].notes)


@pytest.mark.parametrize(
    "value, te, taken",
    [
        ("tse", 0.1, "spin_echo"),
        ("spin_echo", 0.455, "tse"),
        (["TSE"], 0.1, "spin_echo"),
        ("SPACE", 0.455, "tse"),
    ],
)
def test_pulse_sequence_type_is_a_field_of_bids_and_anybodys(bids, value, te, taken):
    say(anat(bids) / "sub-001_T2w.json", PulseSequenceType=value, EchoTime=te)
    (session,) = find_sessions(bids)
    t2w = session.scans["T2w"]
    assert t2w.acquisition.sequence == taken and t2w.notes
    assert (t2w.acquisition.effective_te or t2w.acquisition.te) == 0.1


def test_a_foreign_type_does_not_win_over_the_scanners_name(bids):
    say(
        anat(bids) / "sub-001_T2w.json",
        PulseSequenceType="spin_echo",
        SequenceName="*spc_314ns",
        EchoTime=0.455,
    )
    (session,) = find_sessions(bids)
    assert session.scans["T2w"].acquisition.effective_te == 0.1
    assert "long echo train" in session.scans["T2w"].notes[0]


def test_our_own_sidecars_are_read_as_they_were_written(tmp_path):
    subject = make_subject(0, 0, spacing=2, heights=(92,))
    write_subject(tmp_path, "sub-001", subject)
    (session,) = find_sessions(tmp_path)
    assert [s.acquisition for s in session.scans.values()] == list(subject.acquisitions)
    assert not any(s.notes for s in session.scans.values())
    late = Acquisition("spin_echo", te=0.3, tr=3.2)  # a late echo that this package scanned itself
    (anat(tmp_path) / "sub-001_T2w.json").write_text(json.dumps({**MADE_HERE, **late.to_bids()}))
    (session,) = find_sessions(tmp_path)
    assert session.scans["T2w"].acquisition == late and not session.scans["T2w"].notes


@pytest.mark.parametrize("name", ["SE", "se2d1", "t1_se_tra"])
def test_a_plain_spin_echo_t1w_has_its_equation(bids, name):
    (anat(bids) / "sub-001_T1w.json").write_text(
        json.dumps({"RepetitionTime": 0.5, "EchoTime": 0.012, "SequenceName": name})
    )
    (session,) = find_sessions(bids)
    assert session.scans["T1w"].acquisition == Acquisition("spin_echo", te=0.012, tr=0.5)


@pytest.mark.parametrize("contrast, name", [("T2w", "GR"), ("T2w", "*tfisp2d"), ("FLAIR", "*fl2d1")])
def test_gradient_echoes_are_no_spin_echoes(bids, contrast, name):
    say(anat(bids) / f"sub-001_{contrast}.json", SequenceName=name)
    (session,) = find_sessions(bids)
    assert contrast not in session.scans and f"SequenceName: found {name.lower()}" in session.left_out[0]


def test_no_inversion_time_is_no_inversion_and_what_does_not_matter_may_stand_twice(bids):
    sidecar = anat(bids) / "sub-001_T2w.json"
    say(sidecar, InversionTime=0)
    text = sidecar.read_text()
    sidecar.write_text(text[:-1] + ', "Manufacturer": "A", "Manufacturer": "B"}')
    (session,) = find_sessions(bids)
    assert session.scans["T2w"].acquisition.sequence == "spin_echo"
    sidecar.write_text(text[:-1] + ', "EchoTime": 0.2}')
    (session,) = find_sessions(bids)
    assert "'EchoTime': found twice" in session.left_out[0]


# --- values and headers --------------------------------------------------------------------------------------------


def test_nan_outside_the_head_is_0_and_said(bids, expected):
    air = nib.load(scan(bids, "T2w")).get_fdata() < 30
    change(scan(bids, "T2w"), lambda x: np.where(air, np.nan, x))
    found = read_the_session(bids)
    inside = expected["T2w"] >= 30
    assert torch.equal(found.stacks["T2w"][inside], expected["T2w"][inside])
    assert any("NaN: taken as 0" in note for note in found.notes)


@pytest.mark.parametrize("too_long", [3.8e-7, 0.1])
def test_a_quaternion_that_was_rounded_is_read_and_a_wrong_one_named(bids, too_long):
    c = np.sqrt(too_long)
    change_header(scan(bids, "T2w"), qform_code=1, sform_code=0, quatern_b=c, quatern_c=0, quatern_d=1)
    if too_long < 1e-5:
        image = read_on_grid(scan(bids, "T2w"), 2)
        assert image.stack.shape == (80, 112, 80)
    else:
        with pytest.raises(InputError, match="qform: found a quaternion longer than 1"):
            read_on_grid(scan(bids, "T2w"), 2)


def test_unsigned_values_that_were_read_as_signed_are_said(bids):
    def wrapped(x):
        return (x * (34000 / x.max())).astype(np.uint16).view(np.int16).astype(np.float32)

    change(scan(bids, "T2w"), wrapped)
    found = read_the_session(bids)
    assert any("unsigned values read as signed" in note for note in found.notes)


@pytest.mark.parametrize("by", [1, 0.5])
def test_a_signed_picture_is_named_as_one(bids, by):
    bright = nib.load(scan(bids, "T1w")).get_fdata().max()
    change(scan(bids, "T1w"), lambda x: x - by * bright / 3)
    found = read_the_session(bids)
    assert set(found.stacks) == {"T2w", "FLAIR"}
    assert any("T1w.nii.gz: values: found" in note and "signed" in note for note in found.notes)


def test_a_file_that_does_not_say_where_it_lies_is_named_as_one(bids):
    change_header(scan(bids, "T2w"), qform_code=0, sform_code=0)
    found = read_the_session(bids)
    assert "T2w" not in found.stacks and any("sform_code and qform_code are 0" in n for n in found.notes)


def test_a_header_in_metres_is_read_in_mm(bids, expected):
    image = nib.load(scan(bids, "T2w"))
    small = nib.Nifti1Image(image.get_fdata(dtype=np.float32), np.diag([1e-3, 1e-3, 1e-3, 1]) @ image.affine)
    small.header.set_xyzt_units("meter")
    nib.save(small, scan(bids, "T2w"))
    torch.testing.assert_close(read_the_session(bids).stacks["T2w"], expected["T2w"], rtol=1e-4, atol=1e-2)


# --- maps ----------------------------------------------------------------------------------------------------------


def test_maps_are_read_in_the_units_that_their_sidecars_say(tmp_path):
    maps = torch.rand(4, 3, 6, 5) + 0.5
    write_maps(tmp_path, "sub-1", maps, np.eye(4))
    for suffix in ("T1map", "T2map"):
        change(tmp_path / f"sub-1_{suffix}.nii.gz", lambda x: 1000 * x)
        say(tmp_path / f"sub-1_{suffix}.json", Units="ms")
    torch.testing.assert_close(read_maps(tmp_path)["sub-1"][0], maps)
    say(tmp_path / "sub-1_T1map.json", Units="s")
    with pytest.raises(
        InputError, match=r"T1map.nii.gz: values: found most of it above 30 s, expected seconds"
    ):
        read_maps(tmp_path)
    say(tmp_path / "sub-1_T1map.json", Units="Hz")
    with pytest.raises(InputError, match=r"T1map.json: Units: found 'Hz', expected one of s"):
        read_maps(tmp_path)


def test_nan_in_maps_is_0_and_said(tmp_path, capsys):
    maps = torch.rand(4, 3, 6, 5) + 0.5
    maps[0] = np.nan
    write_maps(tmp_path, "sub-1", maps, np.eye(4))
    found, _ = read_maps(tmp_path)["sub-1"]
    assert not found[0].any() and torch.equal(found[1:], maps[1:])
    assert "25 % of its voxels are NaN: taken as 0" in capsys.readouterr().out


# --- label maps ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def labels():
    """The average brain's labels by FreeSurfer's ``aseg``: white matter, cortex, ventricles, and nothing around them."""
    anatomy = load_anatomy("icbm152")
    best = anatomy.fractions.argmax(0).numpy()
    found = np.choose(best, [2, 3, 0, 2]).astype(np.int16)
    found[(anatomy.ventricles > 0.5).numpy()] = 4
    found[(anatomy.fractions.sum(0) < 0.5).numpy()] = 0
    return found


def litres_of_fluid(labels, tmp_path):
    file = tmp_path / "map.nii.gz"
    nib.save(nib.Nifti1Image(labels, np.eye(4)), file)
    return load_anatomy(str(file)).fractions[2].sum().item() / 1e6


def test_a_drop_of_fluid_does_not_keep_the_rest_from_being_filled(labels, tmp_path):
    expected = litres_of_fluid(labels, tmp_path)
    drop = labels.copy()
    where = np.argwhere(labels == 0)
    middle = where[np.argsort(((where - np.array(labels.shape) / 2) ** 2).sum(1))[:900]]
    drop[tuple(middle.T)] = 24
    load_anatomy.cache_clear()
    assert litres_of_fluid(drop, tmp_path) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(
    "old, new, shape", [(2, 5001, None), (3, 1007, None), (2, 3028, None), (2, 13107, None), (2, 2, (1,))]
)
def test_other_label_maps_of_freesurfer_are_read_as_aseg_is(labels, tmp_path, old, new, shape):
    expected = litres_of_fluid(labels, tmp_path)
    other = np.where(labels == old, new, labels).astype(np.int32).reshape(labels.shape + (shape or ()))
    other[0, 0, 0] = 0
    half = other.copy()
    half[: other.shape[0] // 2] = labels.reshape(other.shape)[: other.shape[0] // 2]  # white matter in both
    load_anatomy.cache_clear()
    assert litres_of_fluid(half, tmp_path) == pytest.approx(expected, rel=1e-3)


# --- the surroundings --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1", "utf-8-sig"])
def test_a_table_of_participants_is_read_in_the_encodings_of_spreadsheets(bids, tmp_path, encoding):
    text = "participant_id\tanatomy\nsub-001\tMüller\n"
    (bids / "participants.tsv").write_bytes(text.encode(encoding))
    assert len(prepare(bids, tmp_path / "store", spacing=2).index["sessions"]) == 1


def test_a_terminal_of_another_encoding_gets_text(tmp_path, monkeypatch):
    with open(tmp_path / "out", "w", encoding="cp1252") as out:
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "argv", ["physldm", "sequences"])
        with pytest.raises(SystemExit) as stop:
            cli.main()
    assert not stop.value.code and "spin_echo" in (tmp_path / "out").read_text(encoding="cp1252")
