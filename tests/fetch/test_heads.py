"""Label maps are taken only when they are the right ones, and nothing half-written stays."""

import hashlib

import pytest

from physldm.errors import InputError
from physldm.fetch import heads


def expect(monkeypatch, name, content):
    monkeypatch.setattr(heads, "HEADS", {name: hashlib.sha256(content).hexdigest()})


def test_heads_are_copied_only_when_they_are_the_right_ones(tmp_path, monkeypatch):
    source, out = tmp_path / "from", tmp_path / "to"
    source.mkdir()
    (source / "a.nii.gz").write_bytes(b"one head")
    expect(monkeypatch, "a.nii.gz", b"one head")
    heads.fetch_heads(out, source)
    assert [(p.name, p.read_bytes()) for p in out.iterdir()] == [("a.nii.gz", b"one head")]
    before = (out / "a.nii.gz").stat().st_mtime_ns
    heads.fetch_heads(out, source)  # what is there, and right, stays
    assert (out / "a.nii.gz").stat().st_mtime_ns == before
    expect(monkeypatch, "a.nii.gz", b"other")
    with pytest.raises(InputError, match=r"a\.nii\.gz: checksum"):
        heads.fetch_heads(out, source)
    expect(monkeypatch, "b.nii.gz", b"")
    with pytest.raises(InputError, match=r"b\.nii\.gz.*--from"):
        heads.fetch_heads(out, source)
    assert [p.name for p in out.iterdir()] == ["a.nii.gz"]
