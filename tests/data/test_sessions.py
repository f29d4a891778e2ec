"""Which scans a folder holds, against names and headers as OASIS-3 and other data sets have them."""

import json
import math

import nibabel as nib
import numpy as np
import pytest

from physldm.data.sessions import find_sessions
from physldm.errors import InputError
from physldm.physics import Acquisition

T1W = {"EchoTime": 0.0032, "RepetitionTime": 2.4, "InversionTime": 1.0, "SequenceName": "*tfl3d1_ns"}
T2W = {"EchoTime": 0.089, "RepetitionTime": 4.0, "SequenceName": "*tse2d1_11"}
FLAIR = {"EchoTime": 0.091, "RepetitionTime": 9.0, "InversionTime": 2.5, "SequenceName": "*tir2d1_16"}


def write_scan(file, sidecar=None, voxel=1.0):
    file.parent.mkdir(parents=True, exist_ok=True)
    volume = np.arange(27, dtype=np.float32).reshape(3, 3, 3)
    nib.save(nib.Nifti1Image(volume, np.diag([voxel, voxel, voxel, 1])), file)
    if sidecar is not None:
        name = file.name.removesuffix(".gz").removesuffix(".nii")
        file.with_name(name + ".json").write_text(json.dumps(sidecar))
    return file


def the_session(root, **options):
    (session,) = find_sessions(root, **options)
    return session


def acquisition(tmp_path, suffix, sidecar, **options):
    write_scan(tmp_path / f"sub-1_{suffix}.nii.gz", sidecar)
    return the_session(tmp_path, **options).scans[suffix]


def refused(tmp_path, suffix, sidecar, *words):
    write_scan(tmp_path / f"sub-1_{suffix}.nii.gz", sidecar)
    session = the_session(tmp_path)
    assert not session.scans
    (line,) = session.left_out
    for word in (f"sub-1_{suffix}.json", *words):
        assert word in line


# --- names -------------------------------------------------------------------------------------------------------


def test_oasis_3_as_downloaded(tmp_path):
    first, second = tmp_path / "OAS30001_MR_d0757", tmp_path / "OAS30001_MR_d2430"
    write_scan(first / "anat1" / "sub-OAS30001_ses-d0757_run-01_T1w.nii.gz", T1W)
    write_scan(first / "anat2" / "sub-OAS30001_ses-d0757_acq-TSE_T2w.nii.gz", T2W)
    write_scan(second / "anat1" / "sub-OAS30001_sess-d2430_T1w.nii", T1W)
    write_scan(second / "anat2" / "sub-OAS30001_sess-d2430_FLAIR.nii.gz", FLAIR)
    write_scan(second / "func1" / "sub-OAS30001_sess-d2430_task-rest_bold.nii.gz", {})
    sessions = find_sessions(tmp_path)
    assert [s.name for s in sessions] == ["sub-OAS30001_ses-d0757", "sub-OAS30001_ses-d2430"]
    assert [list(s.scans) for s in sessions] == [["T1w", "T2w"], ["T1w", "FLAIR"]]
    assert {s.subject for s in sessions} == {"OAS30001"}
    assert sessions[0].scans["T1w"].acquisition == Acquisition("mprage", te=0.0032, tr=2.4, ti=1.0)
    assert sessions[0].scans["T2w"].acquisition == Acquisition("spin_echo", te=0.089, tr=4.0)
    assert sessions[1].scans["FLAIR"].acquisition == Acquisition("flair", te=0.091, tr=9.0, ti=2.5)
    assert all(not s.left_out and not scan.notes for s in sessions for scan in s.scans.values())


def test_a_subjects_folder_is_a_root_and_derivatives_are_not_scans(tmp_path):
    folder = tmp_path / "sub-1"
    write_scan(folder / "anat" / "sub-1_T1w.nii.gz", T1W)
    for other in ("derivatives", "sourcedata", ".git"):
        write_scan(folder / other / "sub-9_T1w.nii.gz", T1W)
    assert [s.name for s in find_sessions(folder)] == ["sub-1"] == [s.name for s in find_sessions(tmp_path)]


def test_names_that_give_no_subject_or_another_kind_of_picture_are_left_out(tmp_path):
    write_scan(tmp_path / "sub-1_T1w.nii.gz", T1W)
    write_scan(tmp_path / "head_T1w.nii.gz", T1W)
    write_scan(tmp_path / "sub-1_ce-gadolinium_T1w.nii.gz", T1W)
    nameless, session = find_sessions(tmp_path)
    assert not nameless.scans and "head_T1w.nii.gz: name: found no subject" in nameless.left_out[0]
    assert session.scans["T1w"].file.name == "sub-1_T1w.nii.gz" and "found ce-" in session.left_out[0]


def test_of_repeated_scans_the_finest_then_the_first_run_is_taken(tmp_path):
    for run, voxel in ((1, 1.2), (2, 1.0), (3, 1.0)):
        write_scan(tmp_path / f"sub-1_run-0{run}_T1w.nii.gz", T1W, voxel)
    session = the_session(tmp_path)
    assert session.scans["T1w"].file.name == "sub-1_run-02_T1w.nii.gz"
    assert len(session.left_out) == 2
    assert all("left out: sub-1_run-02_T1w.nii.gz was chosen" in line for line in session.left_out)


def test_a_repeated_scan_that_cannot_be_used_does_not_cost_the_others(tmp_path):
    write_scan(tmp_path / "sub-1_run-1_T1w.nii.gz")
    write_scan(tmp_path / "sub-1_run-2_T1w.nii.gz", T1W)
    session = the_session(tmp_path)
    assert session.scans["T1w"].file.name == "sub-1_run-2_T1w.nii.gz"
    assert "sub-1_run-1_T1w.json: missing" in session.left_out[0]


def test_a_subject_of_two_datasets_is_not_one_session(tmp_path):
    write_scan(tmp_path / "one" / "sub-1" / "anat" / "sub-1_T1w.nii.gz", T1W)
    write_scan(tmp_path / "two" / "sub-1" / "anat" / "sub-1_T2w.nii.gz", T2W)
    with pytest.raises(InputError, match=r"one and .*two: found sub-1 in both"):
        find_sessions(tmp_path)
    assert list(the_session(tmp_path / "one").scans) == ["T1w"]


@pytest.mark.parametrize("folder", ["sub-2/anat", "sub-1/ses-2/anat"])
def test_a_scan_in_the_folder_of_another_subject_or_visit_is_left_out(tmp_path, folder):
    write_scan(tmp_path / folder / "sub-1_ses-1_T1w.nii.gz", T1W)
    session = the_session(tmp_path)
    assert not session.scans and "expected the same" in session.left_out[0]


def test_sidecars_further_up_hold_where_the_scans_own_is_silent(tmp_path):
    write_scan(tmp_path / "sub-1" / "ses-a" / "anat" / "sub-1_ses-a_T1w.nii.gz", {"InversionTime": 1.1})
    write_scan(tmp_path / "sub-1" / "ses-a" / "anat" / "sub-1_ses-a_T2w.nii.gz")
    (tmp_path / "T1w.json").write_text(json.dumps(T1W))
    (tmp_path / "sub-1" / "sub-1_T1w.json").write_text(json.dumps({"RepetitionTime": 2.2}))
    (tmp_path / "sub-1" / "sub-2_T1w.json").write_text(json.dumps({"RepetitionTime": 2.0}))
    for root in (tmp_path, tmp_path / "sub-1"):
        session = the_session(root)
        assert session.scans["T1w"].acquisition == Acquisition("mprage", te=0.0032, tr=2.2, ti=1.1)
        assert "sub-1_ses-a_T2w.json: missing" in session.left_out[0]


@pytest.mark.parametrize("prefix", ["u_", "y_"])
@pytest.mark.parametrize("beside", [True, False])
def test_unires_output_takes_the_place_of_its_original(tmp_path, prefix, beside):
    original = write_scan(tmp_path / "sub-1_T1w.nii.gz", T1W, voxel=0.8)
    made = write_scan(tmp_path / f"{prefix}sub-1_T1w.nii.gz", voxel=1.0)
    if not beside:
        original.unlink()
    session = the_session(tmp_path)
    assert session.scans["T1w"].file == made and session.scans["T1w"].acquisition.tr == 2.4
    assert len(session.left_out) == beside


def test_folders_without_scans_are_refused(tmp_path):
    with pytest.raises(InputError, match="none: missing or not a folder"):
        find_sessions(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file: missing or not a folder"):
        find_sessions(tmp_path / "file")
    (tmp_path / "sub-1_T1w.json").write_text("{}")
    with pytest.raises(InputError, match="found no scan"):
        find_sessions(tmp_path)


def test_a_session_without_a_usable_scan_is_kept_with_its_reasons(tmp_path):
    write_scan(tmp_path / "sub-1_T1w.nii.gz")
    (tmp_path / "sub-1_T2w.nii.gz").write_bytes(b"no gzip")
    (tmp_path / "sub-1_T2w.json").write_text(json.dumps(T2W))
    session = the_session(tmp_path)
    assert session.scans == {} and len(session.left_out) == 2
    assert "T1w.json: missing" in session.left_out[0] and "T2w.nii.gz: damaged" in session.left_out[1]


# --- how it was taken ----------------------------------------------------------------------------------------------


def test_preparation_time_and_effective_te_come_first(tmp_path):
    sidecar = {**T1W, "RepetitionTime": 0.0071, "RepetitionTimePreparation": 2.3}
    assert acquisition(tmp_path, "T1w", sidecar).acquisition.tr == 2.3
    scan = acquisition(tmp_path, "T2w", {**T2W, "EchoTime": 0.455, "ContrastEquivalentEchoTime": 0.11})
    assert scan.acquisition.te == 0.11 and not scan.notes


def test_an_excitation_tr_is_refused(tmp_path):
    refused(tmp_path, "T1w", {**T1W, "RepetitionTime": 0.0071}, "RepetitionTime", "0.0071", "excitation TR")


@pytest.mark.parametrize(
    "suffix, field, value",
    [("T2w", "EchoTime", 89), ("T1w", "RepetitionTime", 2400), ("FLAIR", "InversionTime", 2500)],
)
def test_milliseconds_are_refused(tmp_path, suffix, field, value):
    sidecar = {"T1w": T1W, "T2w": T2W, "FLAIR": FLAIR}[suffix]
    refused(tmp_path, suffix, {**sidecar, field: value}, field, str(value), "milliseconds")


@pytest.mark.parametrize(
    "suffix, tr, ti", [("T1w", 2.4, 1.0), ("T1w", 2.3, 0.9), ("FLAIR", 9.0, 2.5), ("FLAIR", 5.03, 1.8)]
)
def test_missing_inversion_times_are_those_of_oasis_3_and_noted(tmp_path, suffix, tr, ti):
    sidecar = {"EchoTime": 0.09, "RepetitionTime": tr, "SequenceName": "*"}
    scan = acquisition(tmp_path, suffix, sidecar)
    assert scan.acquisition.ti == ti
    (note,) = scan.notes
    assert "InversionTime is missing" in note and f"{ti:g} s" in note


def test_an_inversion_time_that_oasis_3_does_not_tell_is_not_made_up(tmp_path):
    refused(tmp_path, "T1w", {"RepetitionTime": 1.9}, "InversionTime: missing", "1.9")


LONG = {"EchoTime": 0.455, "RepetitionTime": 3.2, "SequenceName": "*spc_314ns"}
# 280 echoes, 0.455 s in their middle
LONG_TRAIN = Acquisition("tse", te=0.455, effective_te=0.1, tr=3.2, echo_spacing=0.00325, train_length=280)


def close(found, expected):
    return found.sequence == expected.sequence and found.settings == pytest.approx(expected.settings)


@pytest.mark.parametrize("name", ["*spc_314ns", None, "se3d"])
def test_a_long_train_is_taken_as_one_and_what_was_filled_in_is_said(tmp_path, name):
    sidecar = {k: v for k, v in {**LONG, "SequenceName": name}.items() if v is not None}
    scan = acquisition(tmp_path, "T2w", sidecar)
    assert close(scan.acquisition, LONG_TRAIN)
    (note,) = (note for note in scan.notes if "long echo train" in note)
    assert (
        "EchoTime 0.455 s" in note and "effective TE 0.1 s" in note and "280 echoes 0.00325 s apart" in note
    )
    assert any("SequenceName is missing: taken as tse" in note for note in scan.notes) == (name is None)


@pytest.mark.parametrize("name, te", [("*tse2d1_11", 0.25), ("*spc_314ns", 0.12)])
def test_a_flat_or_an_early_echo_has_the_te_of_its_header(tmp_path, name, te):
    scan = acquisition(tmp_path, "T2w", {"EchoTime": te, "RepetitionTime": 3.2, "SequenceName": name})
    assert scan.acquisition == Acquisition("spin_echo", te=te, tr=3.2) and not scan.notes


def test_the_effective_te_can_be_chosen_or_told(tmp_path):
    changed = {"effective_te": 0.09}
    assert close(
        acquisition(tmp_path, "T2w", LONG, **changed).acquisition,
        Acquisition("tse", LONG_TRAIN.settings, **changed),
    )
    scan = acquisition(tmp_path, "T2w", {**LONG, "ContrastEquivalentEchoTime": 0.11}, **changed)
    assert close(scan.acquisition, Acquisition("tse", LONG_TRAIN.settings, effective_te=0.11))
    (note,) = scan.notes
    assert "280 echoes" in note and "effective TE" not in note


@pytest.mark.parametrize("said", [{"InversionTime": 1.8}, {}])
def test_a_flair_with_a_long_train(tmp_path, said):
    sidecar = {"EchoTime": 0.394, "RepetitionTime": 5.0, "SequenceName": "*spcir_192ns", **said}
    scan = acquisition(tmp_path, "FLAIR", sidecar)
    expected = {"te": 0.394, "tr": 5.0, "ti": 1.8, "echo_spacing": 0.788 / 280, "train_length": 280}
    assert close(scan.acquisition, Acquisition("flair_tse", expected, effective_te=0.1))
    assert len(scan.notes) == 2 - len(said)


def test_a_long_train_that_does_not_fit_is_named_with_what_was_filled_in(tmp_path):
    # twice 0.7 s after the inversion leave nothing of 3.2 − 1.9 s
    said = {"EchoTime": 0.7, "RepetitionTime": 3.2, "InversionTime": 1.9, "SequenceName": "*spcir_192ns"}
    refused(tmp_path, "FLAIR", said, "train_length: found 280", "EchoTime 0.7 s", "280 echoes 0.005 s apart")


@pytest.mark.parametrize(
    "said",
    [
        {"ScanningSequence": "IR\\SE"},
        {"ScanningSequence": "SE_IR"},
        {"ScanningSequence": ["IR", "SE"]},
    ],
)
def test_an_inverted_spin_echo_t1w_has_flairs_equation(tmp_path, said):
    times = {"EchoTime": 0.02, "RepetitionTime": 2.0, "InversionTime": 0.8}
    found = acquisition(tmp_path, "T1w", {**times, **said}).acquisition
    assert found == Acquisition("flair", te=0.02, tr=2.0, ti=0.8)


TRAIN = {"EchoTrainLength": 7, "EchoSpacing": 0.01}


@pytest.mark.parametrize(
    "suffix, said, expected",
    [
        ("T1w", {"EchoTime": 0.02, "RepetitionTime": 2.0, "InversionTime": 0.8, "SequenceName": "*tir2d1_7", **TRAIN},
         Acquisition("ir_tse", te=0.02, tr=2.0, ti=0.8, echo_spacing=0.01, train_length=7)),
        ("T1w", {"EchoTime": 0.02, "RepetitionTime": 2.0, "InversionTime": 0.8, "SequenceName": "*tir2d1_7"},
         Acquisition("ir_tse", te=0.02, tr=2.0, ti=0.8, echo_spacing=0.01, train_length=3)),
        ("T2w", {**T2W, "EchoTime": 0.05, **TRAIN},
         Acquisition("tse", te=0.05, tr=4.0, echo_spacing=0.01, train_length=7)),
        ("FLAIR", {**FLAIR, "EchoTime": 0.05, **TRAIN},
         Acquisition("flair_tse", te=0.05, tr=9.0, ti=2.5, echo_spacing=0.01, train_length=7)),
        # a long train: its middle, and the contrast of a far earlier echo
        ("T2w", {"EchoTime": 0.4578, "RepetitionTime": 3.2, "SequenceName": "*spc_282ns", "EchoTrainLength": 282, "EchoSpacing": 0.00327},
         Acquisition("tse", te=0.4578, effective_te=0.1, tr=3.2, echo_spacing=0.00327, train_length=282)),
        # half of what a long train needs is as good as nothing
        ("T2w", {**LONG, "EchoTrainLength": 140}, LONG_TRAIN),
        # half of what a train needs is no train
        ("T2w", {**T2W, "EchoTrainLength": 7}, Acquisition("spin_echo", te=0.089, tr=4.0)),
        ("T2w", {**T2W, "EchoTrainLength": 1, "EchoSpacing": 0.01}, Acquisition("spin_echo", te=0.089, tr=4.0)),
        # an MPRAGE has a train of another kind
        ("T1w", {**T1W, "EchoTrainLength": 176, "EchoSpacing": 0.0071}, Acquisition("mprage", te=T1W["EchoTime"], tr=2.4, ti=1.0)),
    ],
)  # fmt: skip
def test_a_train_that_is_told_is_a_train(tmp_path, suffix, said, expected):
    scan = acquisition(tmp_path, suffix, said)
    assert close(scan.acquisition, expected)
    filled_in = "EchoTrainLength" not in said and suffix == "T1w"
    assert any("EchoTrainLength, EchoSpacing: not both said" in note for note in scan.notes) == filled_in


def test_an_impossible_train_is_named(tmp_path):
    told = {**T2W, "EchoTime": 0.05, **TRAIN}
    refused(tmp_path, "T2w", {**told, "EchoSpacing": 10}, "EchoSpacing: found 10", "milliseconds")
    refused(tmp_path, "T2w", {**told, "EchoTrainLength": 7.5}, "train_length: found 7.5")
    refused(tmp_path, "T2w", {**told, "EchoTrainLength": "7"}, "train_length: found '7'")
    refused(tmp_path, "T2w", {**told, "EchoTime": 0.1}, "te: found 0.1", "train_length")


def test_an_inverted_gradient_echo_is_an_mprage(tmp_path):
    scan = acquisition(tmp_path, "T1w", {**T1W, "ScanningSequence": "GR\\IR"})
    assert scan.acquisition.sequence == "mprage"


# --- damaged sidecars ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["0.1", [0.1], None, True, math.nan, math.inf, -0.1, 0, {}, 10**400])
def test_a_time_that_is_no_time_is_named(tmp_path, value):
    refused(tmp_path, "T2w", {**T2W, "EchoTime": value}, "EchoTime: found")


@pytest.mark.parametrize("value", [3, None, ["IR", 5], {"a": 1}])
def test_a_name_that_is_no_text_is_named(tmp_path, value):
    refused(tmp_path, "T1w", {**T1W, "ScanningSequence": value}, "ScanningSequence: found")


@pytest.mark.parametrize("field", ["EchoTime", "RepetitionTime"])
def test_a_missing_time_is_named(tmp_path, field):
    refused(tmp_path, "T2w", {k: v for k, v in T2W.items() if k != field}, f"{field}: missing")


@pytest.mark.parametrize(
    "content, words",
    [
        (b'{"EchoTime": 0.09, "EchoTime": 0.1, "RepetitionTime": 3.2}', "'EchoTime': found twice"),
        ('{"EchoTime": "ä"}'.encode("latin-1"), "not UTF-8"),
        (b"EchoTime = 3", "not JSON"),
        (b"", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[1, 2]", "expected an object"),
        (b"7", "expected an object"),
    ],
)
def test_sidecars_that_are_no_json_object_are_named(tmp_path, content, words):
    write_scan(tmp_path / "sub-1_T2w.nii.gz")
    (tmp_path / "sub-1_T2w.json").write_bytes(content)
    session = the_session(tmp_path)
    assert not session.scans and words in session.left_out[0] and "sub-1_T2w.json" in session.left_out[0]


def test_what_this_package_wrote_needs_no_guess(tmp_path):
    sidecar = Acquisition("flair", te=0.02, tr=2.0, ti=0.8).to_bids()
    write_scan(tmp_path / "sub-1_T1w.nii.gz", sidecar)
    write_scan(tmp_path / "sub-1_T2w.nii.gz", {**sidecar, "PulseSequenceType": "spgr"})
    session = the_session(tmp_path)
    scan = session.scans["T1w"]
    assert scan.acquisition == Acquisition("flair", te=0.02, tr=2.0, ti=0.8) and scan.notes == ()
    assert "PulseSequenceType: found spgr" in session.left_out[0]


def test_an_inverted_t2w_is_stir(tmp_path):
    sidecar = {"EchoTime": 0.05, "RepetitionTime": 4.0, "InversionTime": 0.22, "SequenceName": "*tir2d1"}
    write_scan(tmp_path / "sub-1_T2w.nii.gz", sidecar)
    assert the_session(tmp_path).scans["T2w"].acquisition == Acquisition("flair", te=0.05, tr=4.0, ti=0.22)
