"""Damaged and strange input, many kinds at random: one clear line or a sound result, never anything else."""

import gzip
import io
import json
import math
import shutil
import string

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from physldm.data import make_subject
from physldm.data.alignment import read_on_grid
from physldm.data.bids import start_dataset
from physldm.data.population import write_subject
from physldm.data.prepare import prepare
from physldm.data.sessions import find_sessions
from physldm.data.slices import has_session
from physldm.errors import InputError

SETTINGS = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}
GOOD = {
    "EchoTime": 0.09,
    "RepetitionTime": 5.0,
    "InversionTime": 1.8,
    "SequenceName": "*spc",
    "ScanningSequence": "IR_SE",
}
FIELDS = [*GOOD, "ContrastEquivalentEchoTime", "RepetitionTimePreparation", "EchoTrainLength", "EchoSpacing"]


def nifti(volume, affine=None):
    """The bytes of a NIfTI file, not compressed."""
    file = io.BytesIO()
    image = nib.Nifti1Image(volume, None)  # nibabel refuses the most impossible places; a header does not
    image.header.set_sform(np.diag([8.0, 8.0, 8.0, 1.0]) if affine is None else affine, 2)
    image.to_file_map({"image": nib.FileHolder(fileobj=file)})
    return file.getvalue()


VOLUME = np.random.default_rng(0).uniform(1, 100, (5, 6, 4)).astype(np.float32)
WHOLE = nifti(VOLUME)


def is_one_line(line, name):
    assert name in line and "\n" not in line and ": " in line


# --- sidecars ----------------------------------------------------------------------------------------------------

numbers = st.one_of(
    st.floats(), st.floats(1e-4, 10), st.integers(), st.just(10**400), st.sampled_from([0, -1, 90, 2400])
)
anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.text(max_size=20), numbers),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
changed = st.dictionaries(st.sampled_from(FIELDS), anything, max_size=3).map(lambda d: {**GOOD, **d})
lacking = st.sets(st.sampled_from(list(GOOD))).map(lambda gone: {k: GOOD[k] for k in GOOD if k not in gone})
twice = st.tuples(st.sampled_from(FIELDS), numbers).map(
    lambda p: json.dumps(GOOD)[:-1] + f", {json.dumps(p[0])}: {json.dumps(p[1])}" * 2 + "}"
)
sidecars = st.one_of(
    st.one_of(changed, lacking, anything).map(json.dumps).map(str.encode),
    twice.map(str.encode),
    st.binary(max_size=60),
    st.integers(0, 100).map(lambda n: json.dumps(GOOD).encode()[:n]),
    st.text(string.printable, max_size=40).map(lambda t: t.encode("utf-16")),
)


@settings(max_examples=180, **SETTINGS)
@given(content=sidecars, suffix=st.sampled_from(["T1w", "T2w", "FLAIR"]))
def test_any_sidecar_gives_a_possible_protocol_or_one_line(tmp_path, content, suffix):
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    (tmp_path / f"sub-1_{suffix}.nii").write_bytes(WHOLE)
    (tmp_path / f"sub-1_{suffix}.json").write_bytes(content)
    (session,) = find_sessions(tmp_path)
    assert len(session.scans) + len(session.left_out) == 1
    for line in session.left_out:
        is_one_line(line, f"sub-1_{suffix}.json")
    for scan in session.scans.values():
        a = scan.acquisition
        assert 0 < a.tr <= 60 and (a.ti is None or 0 < a.ti < a.tr) and (a.te is None or 0 <= a.te < a.tr)
        json.loads(content)  # what was taken is JSON


# --- images ------------------------------------------------------------------------------------------------------


def with_values(change):
    volume = VOLUME.copy()
    volume[2, 3, 1] = change
    return nifti(volume)


odd_values = st.sampled_from([math.nan, math.inf, -math.inf, -50.0, 3e38]).map(with_values)
odd_shapes = st.lists(st.integers(1, 4), min_size=1, max_size=6).map(
    lambda shape: nifti(np.arange(math.prod(shape), dtype=np.float32).reshape(shape))
)
odd_types = st.sampled_from([np.uint8, np.int16, np.float64, np.complex64]).map(
    lambda t: nifti(VOLUME.astype(t))
)
odd_places = st.lists(st.floats(-1e6, 1e6), min_size=12, max_size=12).map(
    lambda v: nifti(VOLUME, np.vstack([np.reshape(v, (3, 4)), [0, 0, 0, 1]]))
)
nowhere = st.sampled_from([0.0, math.nan, math.inf]).map(lambda v: nifti(VOLUME, np.diag([v, 1, 1, 1])))
constant = st.floats(-1e3, 1e3, width=32).map(lambda v: nifti(np.full((3, 4, 5), v, np.float32)))


@st.composite
def damaged_headers(draw):
    content = bytearray(WHOLE)
    for place in draw(st.lists(st.integers(0, 351), min_size=1, max_size=6)):
        content[place] = draw(st.integers(0, 255))
    return bytes(content)


plain = st.one_of(odd_values, odd_shapes, odd_types, odd_places, nowhere, constant, damaged_headers())
cut = st.integers(0, len(WHOLE) - 1).map(lambda n: WHOLE[:n])
zipped = st.one_of(plain.map(gzip.compress), cut.map(gzip.compress))
cut_zipped = st.integers(0, len(gzip.compress(WHOLE)) - 1).map(lambda n: gzip.compress(WHOLE)[:n])
files = st.one_of(
    st.tuples(st.just(".nii"), st.one_of(plain, cut, st.binary(max_size=500))),
    st.tuples(st.just(".nii.gz"), st.one_of(zipped, cut_zipped, plain, st.binary(max_size=500))),
)


@settings(max_examples=120, **SETTINGS)
@given(file=files)
@pytest.mark.filterwarnings("ignore")  # nibabel's and nilearn's, of the headers made here
def test_any_image_is_put_on_the_grid_or_refused_with_one_line(tmp_path, file):
    ending, content = file
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    path = tmp_path / f"sub-1_FLAIR{ending}"
    path.write_bytes(content)
    (tmp_path / "sub-1_FLAIR.json").write_text(json.dumps(GOOD))
    (session,) = find_sessions(tmp_path)
    for line in session.left_out:
        is_one_line(line, path.name)
    try:
        stack = read_on_grid(path, 2).stack
    except InputError as error:
        is_one_line(str(error), path.name)
    else:
        assert list(session.scans) == ["FLAIR"] and stack.shape == (80, 112, 80)
        assert torch.isfinite(stack).all() and stack.min() >= 0


def test_a_unit_that_nifti_does_not_have_says_nothing(tmp_path):
    content = bytearray(WHOLE)
    content[123] = 4  # xyzt_units
    stacks = []
    for name, found in (("odd", bytes(content)), ("usual", WHOLE)):
        path = tmp_path / f"{name}.nii"
        path.write_bytes(found)
        stacks.append(read_on_grid(path, 2).stack)
    assert torch.equal(*stacks)


# --- a data set of faults ------------------------------------------------------------------------------------------

FAULTS = {
    "cut": (lambda b: b[: len(b) // 2], "cut short"),
    "text": (lambda b: b"no gzip at all", "damaged"),
    "plain": (lambda b: gzip.decompress(b), "damaged"),
    "empty": (lambda b: b"", "damaged"),
    "infinite": (lambda b: gzip.compress(with_values(math.inf)), "infinity"),
    "four": (lambda b: gzip.compress(nifti(np.ones((2, 2, 2, 2), np.float32))), "three dimensions"),
    "same": (lambda b: gzip.compress(nifti(np.ones((4, 4, 4), np.float32))), "everywhere"),
}


@pytest.fixture(scope="module")
def faults(tmp_path_factory):
    """Two sound sessions among one of every fault; half of the faulty ones keep a sound T1w."""
    root = tmp_path_factory.mktemp("faults") / "bids"
    start_dataset(root, "test")
    subject = make_subject(0, 0, spacing=2)
    write_subject(root, "sub-good", subject)
    shutil.rmtree(root / "derivatives")
    for number, (name, (damage, _)) in enumerate(FAULTS.items()):
        for file in (root / "sub-good" / "anat").iterdir():
            to = root / f"sub-{name}" / "anat" / file.name.replace("good", name)
            to.parent.mkdir(parents=True, exist_ok=True)
            keep = file.suffix == ".json" or (number % 2 and "T1w" in file.name)
            to.write_bytes(file.read_bytes() if keep else damage(file.read_bytes()))
    lonely = root / "sub-lonely" / "anat" / "sub-lonely_T1w.nii.gz"
    lonely.parent.mkdir(parents=True)
    shutil.copy(root / "sub-good" / "anat" / "sub-good_T1w.nii.gz", lonely)
    return root


def test_faulty_scans_cost_nothing_but_themselves(faults, tmp_path):
    store = prepare(faults, tmp_path / "store", spacing=2)
    report = {row["session"]: row for row in json.loads((tmp_path / "store" / "report.json").read_text())}
    assert set(report["sub-good"]["scans"]) == {"T1w", "T2w", "FLAIR"} and not report["sub-good"]["left_out"]
    for number, (name, (_, words)) in enumerate(FAULTS.items()):
        row = report[f"sub-{name}"]
        assert set(row["scans"]) == ({"T1w"} if number % 2 else set())
        assert (row["split"] is None) == (number % 2 == 0)
        assert len(row["left_out"]) == 3 - number % 2
        for line in row["left_out"]:
            is_one_line(line, f"sub-{name}")
            assert words in line
    assert "sub-lonely_T1w.json: missing" in report["sub-lonely"]["left_out"][0]
    whole = {p.parent.name for p in (tmp_path / "store").glob("sessions/*/session.json")}
    assert whole == {p.name for p in (tmp_path / "store" / "sessions").iterdir()}
    assert whole == {s["name"] for s in store.index["sessions"]} == {n for n in report if report[n]["split"]}
    for session in (tmp_path / "store" / "sessions").iterdir():
        source = json.loads((session / "session.json").read_text())["source"]
        assert has_session(tmp_path / "store", session.name, source)
