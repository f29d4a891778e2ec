"""Stores of scans, against what they were made from."""

import base64
import io
import json
import re
import shutil
import sys
from html.parser import HTMLParser

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

from physldm import cli
from physldm.box import box_affine
from physldm.data import CLASSES, load_anatomy, make_subject
from physldm.data import prepare as module
from physldm.data.bids import start_dataset
from physldm.data.population import write_participants, write_subject
from physldm.data.prepare import _anatomy_of, _groups, brain_slices, prepare, split_subjects
from physldm.data.slices import SliceStore, has_session
from physldm.errors import InputError

pytestmark = pytest.mark.slow


def save(file, volume, affine):
    nib.save(nib.Nifti1Image(np.asarray(volume, np.float32), affine), file)
    return file


def test_kept_slices_hold_brain():
    brain = nib.Nifti1Image(load_anatomy("icbm152").fractions.sum(0).numpy(), box_affine(1)).get_fdata()
    share = brain.mean((0, 1))
    assert set(brain_slices(1)) == {k for k in range(160) if share[k] >= 0.05}
    assert set(brain_slices(2)) == {k for k in range(80) if share[2 * k : 2 * k + 2].mean() >= 0.05}


# --- the split ---------------------------------------------------------------------------------------------------


def test_groups_stay_together_and_the_share_is_kept():
    groups = {f"{i:03d}": f"head-{i % 10}" for i in range(40)}
    split = split_subjects(groups, 0.2, 0)
    apart = {groups[s] for s, part in split.items() if part == "heldout"}
    assert len(apart) == 2 and not apart & {groups[s] for s, part in split.items() if part == "train"}
    assert split == split_subjects(dict(reversed(groups.items())), 0.2, 0) != split_subjects(groups, 0.2, 1)


@pytest.mark.parametrize("count, share, expected", [(1, 0.5, 0), (2, 0.0, 1), (2, 1.0, 1), (10, 0.34, 3)])
def test_something_is_held_out_and_something_left(count, share, expected):
    split = split_subjects({str(i): str(i) for i in range(count)}, share, 0)
    assert list(split.values()).count("heldout") == expected


def test_subjects_of_one_of_several_anatomies_stay_together_whoever_else_there_is(tmp_path):
    subjects = {"1", "2", "3"}
    table = "participant_id\tanatomy\nsub-1\tx\nsub-2\tx\nsub-3\tn/a\n"
    (tmp_path / "participants.tsv").write_text(table, encoding="utf-8")
    assert _groups(_anatomy_of([tmp_path]), subjects) == {"1": "x", "2": "x", "3": "3"}
    write_participants(tmp_path, dict.fromkeys(("sub-1", "sub-2", "sub-3"), "x"))
    assert _groups(_anatomy_of([tmp_path]), subjects) == {"1": "1", "2": "2", "3": "3"}


# --- stores ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def subject():
    return make_subject(0, 0, spacing=2)


@pytest.fixture(scope="module")
def phantom(subject, tmp_path_factory):
    """One made-up subject as BIDS, with its truth."""
    root = tmp_path_factory.mktemp("phantom") / "bids"
    start_dataset(root, "test")
    write_subject(root, "sub-001", subject)
    return root


def copy_subject(phantom, root, name, *, session=None, shift=(0, 0, 0), only=None):
    """The phantom's scans under another name, moved by ``shift`` mm (all, or one contrast only)."""
    full = name + (f"_ses-{session}" if session else "")
    folder = root / name / "anat"
    folder.mkdir(parents=True, exist_ok=True)
    for file in (phantom / "sub-001" / "anat").glob("*"):
        to = folder / file.name.replace("sub-001", full)
        if file.suffix == ".json" or (only and only not in file.name):
            shutil.copy(file, to)
        else:
            image = nib.load(file)
            image.affine[:3, 3] += shift
            nib.save(nib.Nifti1Image(np.asarray(image.dataobj), image.affine), to)


def test_the_store_holds_the_scans_and_the_truth_that_were_written(phantom, subject, tmp_path):
    store = prepare(phantom, tmp_path / "store", spacing=2)
    slices, kept = store.of_session(0), brain_slices(2)
    assert store.has_truth(0) and store.spacing == 2 and list(store.protocol(0)) == list(subject.acquisitions)
    assert store.index["sessions"][0]["heights"] == [2 * k for k in kept]
    for name in ("scans", "clean", "maps"):
        expected = getattr(subject, name)[kept]
        if name == "scans":
            expected = expected.clamp_min(0)
        torch.testing.assert_close(store.array(name, slices), expected)
    found = store.array("fractions", slices)
    torch.testing.assert_close(found[:, :4], subject.fractions[kept], atol=0.5 / 255 + 1e-6, rtol=0)
    assert found.shape[1] == len(CLASSES) and not found[:, 4:].any()  # the average brain has no others


def test_truth_on_another_grid_is_left_out_and_said(phantom, tmp_path):
    store = prepare(phantom, tmp_path / "store", spacing=1)
    assert not store.has_truth(0) and store.array("scans", [0]).shape == (1, 3, 224, 160)
    report = json.loads((tmp_path / "store" / "report.json").read_text())
    assert "truth left out" in report[0]["left_out"][0] and "grid" in report[0]["left_out"][0]


@pytest.fixture(scope="module")
def stripped(tmp_path_factory):
    """Two subjects whose scans have been cut down to the brain, and to the slices below its top."""
    root = tmp_path_factory.mktemp("stripped") / "bids"
    for i in range(2):
        subject = make_subject(1, i, spacing=2)
        write_subject(root, f"sub-{i}", subject)
        left = (subject.fractions[:, :2].sum(1) > 0.5).numpy()
        left[62:] = False
        for file in (root / f"sub-{i}" / "anat").glob("*.nii.gz"):
            volume = np.asarray(nib.load(file).dataobj) * left.transpose(2, 1, 0)[:, ::-1]
            if i == 1 and "T1w" in file.name:
                volume[:, :, :30] = 0  # a scan that begins higher up
            save(file, volume, nib.load(file).affine)
    shutil.rmtree(root / "derivatives")
    return root


def test_slices_without_tissue_are_not_kept_and_scans_are_present_where_they_are(stripped, tmp_path):
    store = prepare(stripped, tmp_path / "store", spacing=2, heldout=0.5)
    kept = brain_slices(2)
    assert kept.max() > 62
    for i in (0, 1):
        slices = store.of_session(i)
        assert max(store.index["sessions"][i]["heights"]) < 2 * 62
        assert any("no scan has tissue in them" in note for note in store.index["sessions"][i]["notes"])
        batch = store.batch(slices)
        lit = (batch.images > 0).float().mean((2, 3))
        assert (lit[batch.mask] >= 0.02).all() and not lit[~batch.mask].any() and batch.mask.any(1).all()
        assert batch.images.flatten(2).quantile(0.995, dim=2)[batch.mask].min() > 1
    low = [h < 60 for h in store.index["sessions"][1]["heights"]]
    assert not store.batch(store.of_session(1)).mask[low, 0].any() and sum(low) > 5


@pytest.mark.parametrize("mm", [10, 16, 30])
def test_how_far_off_a_head_lies_is_said_as_it_is(phantom, tmp_path, mm):
    copy_subject(phantom, tmp_path / "bids", "sub-off", shift=(0, 0, mm))
    copy_subject(phantom, tmp_path / "bids", "sub-well")
    prepare(tmp_path / "bids", tmp_path / "store", spacing=2)
    (row, _) = json.loads((tmp_path / "store" / "report.json").read_text())
    found = [int(re.search(r"found about (\d+) mm", line)[1]) for line in row["left_out"]]
    assert len(found) == 3 and all(abs(f - mm) <= 4 for f in found)


def test_the_first_scan_does_not_decide_who_is_misplaced(phantom, tmp_path):
    copy_subject(phantom, tmp_path / "bids", "sub-1", shift=(0, 8, 0), only="T1w")
    store = prepare(tmp_path / "bids", tmp_path / "store", spacing=2)
    assert [a is not None for a in store.protocol(0)] == [False, True, True]
    assert "sub-1_T1w.nii.gz: position: found about 8 mm from sub-1_T2w.nii.gz" in " ".join(
        store.index["sessions"][0]["notes"]
    )


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_head_that_lies_elsewhere_is_refused_and_one_slightly_off_is_not(phantom, tmp_path, axis):
    for name, mm in (("sub-far", 15), ("sub-farther", -40), ("sub-near", 2)):
        copy_subject(phantom, tmp_path / "bids", name, shift=mm * np.eye(3)[axis])
    store = prepare(tmp_path / "bids", tmp_path / "store", spacing=2)
    assert [s["name"] for s in store.index["sessions"]] == ["sub-near"]
    assert all(store.protocol(0))
    for row in json.loads((tmp_path / "store" / "report.json").read_text()):
        if row["session"] != "sub-near":
            assert len(row["left_out"]) == 3 and all(
                "position: found about" in line for line in row["left_out"]
            )


def test_a_contrast_that_lies_elsewhere_than_the_others_is_refused_alone(phantom, tmp_path):
    copy_subject(phantom, tmp_path / "bids", "sub-1", shift=(0, 8, 0), only="FLAIR")
    copy_subject(phantom, tmp_path / "bids", "sub-2", shift=(2, 0, 0), only="T2w")
    store = prepare(tmp_path / "bids", tmp_path / "store", spacing=2)
    present = [[a is not None for a in store.protocol(i)] for i in (0, 1)]
    assert present == [[True, True, False], [True, True, True]]
    assert store.array("scans", store.of_session(0))[:, 2].abs().max() == 0
    (line,) = store.index["sessions"][0]["notes"]
    assert "sub-1_FLAIR.nii.gz: position: found about 8 mm from sub-1_T1w.nii.gz" in line


def test_many_negative_voxels_are_noted(phantom, tmp_path):
    copy_subject(phantom, tmp_path / "bids", "sub-1")
    file = tmp_path / "bids" / "sub-1" / "anat" / "sub-1_T2w.nii.gz"
    image = nib.load(file)
    save(file, image.get_fdata() - 20, image.affine)
    store = prepare(tmp_path / "bids", tmp_path / "store", spacing=2)
    assert "negative" in store.index["sessions"][0]["notes"][0] and store.array("scans", [0]).min() >= 0


def written(folder):
    return {p.parent.name: p.stat().st_mtime_ns for p in folder.glob("sessions/*/session.json")}


def test_a_stopped_run_goes_on_and_ends_the_same(phantom, tmp_path, monkeypatch):
    for name in ("sub-1", "sub-2", "sub-3"):
        copy_subject(phantom, tmp_path / "bids", name)
    whole = prepare(tmp_path / "bids", tmp_path / "whole", spacing=2)
    add = module.add_session

    def stopped(folder, name, **content):
        if name == "sub-2":
            (folder / "sessions" / f"part-{name}").mkdir(parents=True)
            (folder / "sessions" / f"part-{name}" / "scans.npy").write_bytes(b"half")
            raise KeyboardInterrupt
        add(folder, name, **content)

    monkeypatch.setattr(module, "add_session", stopped)
    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path / "bids", tmp_path / "store", spacing=2)
    with pytest.raises(InputError, match=r"index\.json"):
        SliceStore(tmp_path / "store")
    before = written(tmp_path / "store")
    monkeypatch.undo()
    store = prepare(tmp_path / "bids", tmp_path / "store", spacing=2)
    assert written(tmp_path / "store")["sub-1"] == before["sub-1"] and set(before) == {"sub-1"}
    assert store.index == whole.index and not list((tmp_path / "store").rglob("part-*"))
    for i in range(3):
        assert torch.equal(
            store.array("scans", store.of_session(i)), whole.array("scans", whole.of_session(i))
        )


def test_only_what_changed_is_made_again_and_damage_is_found(phantom, tmp_path):
    bids, out = tmp_path / "bids", tmp_path / "store"
    copy_subject(phantom, bids, "sub-1")
    copy_subject(phantom, bids, "sub-2", shift=(0, 8, 0), only="FLAIR")
    first = prepare(bids, out, spacing=2)
    before, report = written(out), (out / "report.json").read_text()
    assert prepare(bids, out, spacing=2).fingerprint == first.fingerprint
    assert written(out) == before and (out / "report.json").read_text() == report
    sidecar = bids / "sub-1" / "anat" / "sub-1_FLAIR.json"
    sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), "EchoTime": 0.08}))
    assert prepare(bids, out, spacing=2).fingerprint != first.fingerprint
    after = written(out)
    assert after["sub-1"] != before["sub-1"] and after["sub-2"] == before["sub-2"]
    array = out / "sessions" / "sub-1" / "scans.npy"
    whole = array.read_bytes()
    array.write_bytes(whole[:-1] + b"x")
    source = json.loads(array.with_name("session.json").read_text())["source"]
    assert not has_session(out, "sub-1", source)
    prepare(bids, out, spacing=2)
    assert has_session(out, "sub-1", source)
    assert array.read_bytes() == whole and written(out)["sub-2"] == before["sub-2"]


def test_a_store_of_one_dataset_is_not_overwritten_by_another(phantom, tmp_path):
    for name in ("one", "two"):
        copy_subject(phantom, tmp_path / name, "sub-1")
    before = prepare(tmp_path / "one", tmp_path / "store", spacing=2).index
    with pytest.raises(InputError, match=r"origin\.json: dataset: found .*one, expected .*two"):
        prepare(tmp_path / "two", tmp_path / "store", spacing=2)
    assert SliceStore(tmp_path / "store").index == before


def test_a_repeat_stands_in_for_a_scan_whose_voxels_are_cut_short(phantom, tmp_path):
    copy_subject(phantom, tmp_path / "bids", "sub-1")
    folder = tmp_path / "bids" / "sub-1" / "anat"
    for ending in (".nii.gz", ".json"):
        shutil.copy(folder / f"sub-1_T1w{ending}", folder / f"sub-1_run-2_T1w{ending}")
    whole = (folder / "sub-1_T1w.nii.gz").read_bytes()
    (folder / "sub-1_T1w.nii.gz").write_bytes(whole[: len(whole) // 2])
    store = prepare(tmp_path / "bids", tmp_path / "store", spacing=2)
    assert all(store.protocol(0)) and store.array("scans", [40])[0, 0].max() > 0
    (row,) = json.loads((tmp_path / "store" / "report.json").read_text())
    assert row["scans"]["T1w"]["file"] == "sub-1_run-2_T1w.nii.gz"
    assert "sub-1_T1w.nii.gz: damaged" in row["left_out"][1] and "taken in its place" in row["left_out"][2]


def test_a_slab_beside_the_brain_is_refused(phantom, tmp_path):
    copy_subject(phantom, tmp_path / "bids", "sub-1")
    file = tmp_path / "bids" / "sub-1" / "anat" / "sub-1_FLAIR.nii.gz"
    image = nib.load(file)
    volume = image.get_fdata()
    volume[:, :, : -(volume.shape[2] // 8)] = 0
    save(file, volume, image.affine)
    store = prepare(tmp_path / "bids", tmp_path / "store", spacing=2)
    assert [a is not None for a in store.protocol(0)] == [True, True, False]
    assert "of MNI's brain in it" in store.index["sessions"][0]["notes"][0]


@pytest.mark.parametrize("where", ["..", ".", "sub-001", "sub-001/anat"])
def test_truth_and_table_are_found_wherever_the_folder_given_lies(phantom, tmp_path, where):
    store = prepare(phantom / where, tmp_path / "store", spacing=2)
    assert store.has_truth(0)


def test_how_voxels_mix_is_read_and_must_be_known(phantom, tmp_path):
    shutil.copytree(phantom, tmp_path / "bids")
    file = tmp_path / "bids" / "derivatives" / "truth" / "dataset_description.json"
    start_dataset(tmp_path / "other", "test", PartialVolume="signals")
    shutil.copy(tmp_path / "other" / "dataset_description.json", file)
    assert prepare(tmp_path / "bids", tmp_path / "store", spacing=2).partial_volume == "signals"
    file.write_text(json.dumps({"PartialVolume": "salt"}))
    with pytest.raises(InputError, match="PartialVolume: found 'salt', expected properties or signals"):
        prepare(tmp_path / "bids", tmp_path / "store", spacing=2)


def test_sessions_of_a_subject_and_subjects_of_an_anatomy_stay_together(phantom, tmp_path):
    bids = tmp_path / "bids"
    for name, session in (("sub-1", "a"), ("sub-1", "b"), ("sub-2", "a"), ("sub-3", None)):
        copy_subject(phantom, bids, name, session=session)
    for _ in range(2):  # by subject; then sub-2 and sub-3 are one anatomy
        store = prepare(bids, tmp_path / "store", spacing=2, heldout=0.34)
        parts = {}
        for s in store.index["sessions"]:
            parts.setdefault(s["subject"], set()).add(s["split"])
        assert len(store.index["sessions"]) == 4 and all(len(p) == 1 for p in parts.values())
        assert set.union(*parts.values()) == {"train", "heldout"}
        write_participants(bids, {"sub-1": "x", "sub-2": "y", "sub-3": "y"})
    assert parts["2"] == parts["3"] != parts["1"]


def test_nothing_is_left_where_no_session_can_be_used(phantom, tmp_path):
    copy_subject(phantom, tmp_path / "bids", "sub-1", shift=(30, 0, 0))
    with pytest.raises(InputError, match=r"no session that can be used.*sub-1_T1w\.nii\.gz: position"):
        prepare(tmp_path / "bids", tmp_path / "store", spacing=2)
    assert not (tmp_path / "store").exists()


# --- the report and the command ------------------------------------------------------------------------------------


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text = [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_the_command_prints_three_lines_and_writes_a_report(phantom, tmp_path, monkeypatch, capsys):
    bids, out = tmp_path / "<b>&", tmp_path / "store"
    copy_subject(phantom, bids, "sub-1")
    copy_subject(phantom, bids, "sub-2", shift=(30, 0, 0))
    (sidecar,) = bids.rglob("sub-1_T1w.json")
    content = json.loads(sidecar.read_text(encoding="utf-8"))
    del content["PulseSequenceType"]
    sidecar.write_text(json.dumps(content), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["physldm", "prepare", str(bids), "--out", str(out), "--spacing", "2"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    lines = capsys.readouterr().out.splitlines()
    assert not stop.value.code and len(lines) == 3
    assert lines[0].startswith("taken: 1 sessions") and lines[1].startswith("skipped: 1 sessions; first: ")
    assert "sub-2_T1w.nii.gz: position" in lines[1] and lines[2] == f"report: {out / 'report.html'}"

    html = (out / "report.html").read_text(encoding="utf-8")
    page = Page()
    page.feed(html)
    assert "<b>&" in page.text and "b" not in [tag for tag, _ in page.tags]
    assert "mprage (TE" in page.text and "SequenceName is missing" in page.text and "position" in page.text
    assert not re.search(r"(src|href)=\"(?!data:)|url\(|@import", html) and "color-scheme: light dark" in html
    (picture,) = [attrs for tag, attrs in page.tags if tag == "img"]
    assert picture["alt"] == "Axial slice of sub-1: T1w, T2w, FLAIR" and len(picture["src"]) < 40_000
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture["src"].split(",")[1]))))
    store = SliceStore(out)
    middle = store.array("scans", [len(store.of_session(0)) // 2])[0, 0].numpy()
    assert shown.shape == (112, 240) and np.corrcoef(shown[:, :80].ravel(), middle.ravel())[0, 1] > 0.99


def test_a_folder_with_other_files_is_refused(phantom, tmp_path, monkeypatch, capsys):
    (tmp_path / "thesis.tex").touch()
    monkeypatch.setattr(sys, "argv", ["physldm", "prepare", str(phantom), "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.count("\n") == 1 and "thesis.tex" in error
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
