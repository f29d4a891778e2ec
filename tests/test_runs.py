"""Where a run is looked for."""

import shutil

import pytest

from physldm.errors import InputError
from physldm.runs import Run, open_run


@pytest.fixture
def folder(smoke_run, tmp_path, monkeypatch):
    """A working directory two below one that has ``runs/smoke``."""
    (tmp_path / "runs" / "smoke").mkdir(parents=True)
    shutil.copy(smoke_run / "config.toml", tmp_path / "runs" / "smoke")
    (tmp_path / "book" / "runs").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "book")
    monkeypatch.setenv("PHYSLDM_PRESET", "smoke")
    monkeypatch.delenv("PHYSLDM_RUNS", raising=False)
    return tmp_path


def test_the_nearest_folder_of_runs_that_has_the_preset_is_taken(folder, monkeypatch):
    assert open_run().folder == folder / "runs" / "smoke"
    shutil.copytree(folder / "runs" / "smoke", folder / "elsewhere" / "smoke")
    monkeypatch.setenv("PHYSLDM_RUNS", str(folder / "elsewhere"))
    assert open_run().folder == folder / "elsewhere" / "smoke"
    assert open_run(str(folder / "runs" / "smoke")).folder == folder / "runs" / "smoke"


def test_where_there_is_none_the_working_directory_is_named(folder, monkeypatch):
    monkeypatch.setenv("PHYSLDM_PRESET", "laptop")
    with pytest.raises(InputError, match=r"book/runs/laptop/config\.toml: missing"):
        open_run()


def test_a_run_without_weights_says_so_when_it_is_checked(folder):
    run = Run(folder / "runs" / "smoke")
    with pytest.raises(InputError, match=r"vae\.safetensors: missing"):
        run.check()
