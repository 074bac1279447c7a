"""The folder of a run: its settings, and the files that are never overwritten."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from training_run import EPOCHS, main
from written_runs import STEPS, assert_same_run, log

import tinygen as tg
from tinygen import nn
from tinygen.run import Run, RunError, checkpoint, settings_of


def test_the_folder_says_what_the_run_was_made_from(tmp_path, whole):
    config = json.loads((whole / "config.json").read_text())
    assert config["settings"] == {"epochs": EPOCHS, "resume": False}
    assert config["numpy"] == np.__version__ and config["tinygen"] == tg.__version__
    assert config["backend"] == tg.describe() and config["resumed"] == []
    assert {"begun", "python"} <= config.keys()
    main(whole, resume=True)  # already finished: only the resumption is recorded
    assert len(log(whole)) == STEPS
    assert [
        each["step"] for each in json.loads((whole / "config.json").read_text())["resumed"]
    ] == [STEPS]


def test_settings_are_kept_as_plain_json(tmp_path):
    settings = {
        "lr": np.float64(0.5),
        "n": np.int64(3),
        "out": Path("a") / "b",
        "many": (1, "x"),
        "none": None,
        "on": True,
        "nested": {"a": [np.float32(0.25)]},
    }
    Run(tmp_path / "run", settings).__exit__(None, None, None)
    kept = json.loads((tmp_path / "run" / "config.json").read_text())["settings"]
    assert kept == {
        "lr": 0.5,
        "n": 3,
        "out": str(Path("a") / "b"),
        "many": [1, "x"],
        "none": None,
        "on": True,
        "nested": {"a": [0.25]},
    }
    with pytest.raises(TypeError, match="ReLU"):
        Run(tmp_path / "other", {"model": nn.ReLU()})
    assert not (tmp_path / "other").exists()


def test_a_new_run_does_not_write_over_an_older_one(tmp_path, whole, capsys):
    folder = tmp_path / "run"
    main(folder, epochs=1)
    old = log(folder)
    main(folder, epochs=2)
    main(folder, epochs=3)
    assert log(tmp_path / "run-1") == old
    assert [len(log(tmp_path / name)) for name in ("run-1", "run-2", "run")] == [7, 14, 21]
    assert f"Renamed the older run in {folder} to {tmp_path / 'run-2'}." in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("name", ["config.json", "checkpoint.npz", "log.csv"])
def test_any_file_of_an_older_run_is_kept(name, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).write_text("precious")
    main(tmp_path / "run", epochs=1)
    assert (tmp_path / "run-1" / name).read_text() == "precious"


def test_files_of_others_in_the_folder_stay(tmp_path):
    (tmp_path / "run").mkdir()
    for name in ("notes.txt", ".mine.part"):
        (tmp_path / "run" / name).write_text("mine")
    main(tmp_path / "run", epochs=1)
    for name in ("notes.txt", ".mine.part"):
        assert (tmp_path / "run" / name).read_text() == "mine"


def test_a_run_in_the_current_folder_makes_room_too(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path / "run")
    main(".", epochs=1)
    main(".", epochs=2)
    assert [len(log(tmp_path / name)) for name in ("run-1", "run")] == [7, 14]


def test_a_file_in_the_folders_place_is_said(tmp_path):
    (tmp_path / "run").write_text("")
    for resume in (False, True):
        with pytest.raises(OSError, match="run"):
            Run(tmp_path / "run", resume=resume)


def test_a_damaged_checkpoint_leaves_the_config_as_it_was(tmp_path):
    main(tmp_path / "run", epochs=1)
    before = (tmp_path / "run" / "config.json").read_bytes()
    (tmp_path / "run" / "checkpoint.npz").write_bytes(b"PK")
    with pytest.raises(checkpoint.CheckpointError):
        main(tmp_path / "run", epochs=3, resume=True)
    assert (tmp_path / "run" / "config.json").read_bytes() == before
    assert (tmp_path / "run" / "checkpoint.npz").read_bytes() == b"PK"


def test_two_processes_at_once_in_a_folder_are_refused(tmp_path):
    code = "import sys; from tinygen.run import Run; Run(sys.argv[1], {'a': 1}); print(); input()"
    command = [sys.executable, "-c", code, str(tmp_path / "run")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()  # it has the lock
        for resume in (True, False):
            with pytest.raises(RunError, match=r"another process .*run$"):
                Run(tmp_path / "run", {"a": 1}, resume=resume)
        other.communicate(b"\n")
    Run(tmp_path / "run", {"a": 1}, resume=True).__exit__(None, None, None)


def test_in_one_process_a_second_run_takes_over_as_when_a_notebooks_cell_is_run_again(tmp_path):
    first = Run(tmp_path / "run", {"a": 1})
    second = Run(tmp_path / "run", {"a": 1})
    assert first.folder == second.folder and (tmp_path / "run-1").exists()
    first.__exit__(None, None, None)
    code = "import sys; from tinygen.run import Run; Run(sys.argv[1], {'a': 1})"
    other = subprocess.run([sys.executable, "-c", code, str(tmp_path / "run")], stderr=-1)
    assert b"RunError" in other.stderr  # the lock is the second's
    second.__exit__(None, None, None)


def test_what_a_killed_run_left_half_written_is_removed(tmp_path):
    main(tmp_path / "run", epochs=1)
    (tmp_path / "run" / ".checkpoint.npz.99-99.part").write_bytes(b"half")
    main(tmp_path / "run", epochs=1, resume=True)
    assert not list((tmp_path / "run").glob(".*.part"))


def test_a_run_that_is_not_there_can_not_be_resumed(tmp_path):
    with pytest.raises(RunError, match=r"no run to resume in .*run: it has no config\.json"):
        Run(tmp_path / "run", {}, resume=True)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"settings": 3, "resumed": []}', "\x00"])
def test_a_damaged_config_is_named_and_left_alone(text, tmp_path):
    main(tmp_path / "run", epochs=1)
    path = tmp_path / "run" / "config.json"
    path.write_text(text)
    with pytest.raises(RunError, match=r"config\.json is damaged: .*`settings` and `resumed`"):
        main(tmp_path / "run", epochs=1, resume=True)
    assert path.read_text() == text


def test_a_setting_that_is_free_may_be_another_when_a_run_is_resumed(tmp_path):
    with Run(tmp_path / "run", {"stages": 1, "lr": 0.1}):
        pass
    with Run(tmp_path / "run", {"stages": 2, "lr": 0.1}, resume=True, free=["stages"]):
        pass
    with pytest.raises(RunError, match=r"`stages` was 1, not 3$"):
        Run(tmp_path / "run", {"stages": 3, "lr": 0.1}, resume=True)


def test_a_run_is_not_resumed_with_other_settings(tmp_path):
    main(tmp_path / "run", epochs=1, lr=0.1, beta=2)
    before = (tmp_path / "run" / "config.json").read_bytes()
    with pytest.raises(RunError, match=r"`lr` was 0\.1, not 0\.2, `beta` was 2, not 1$"):
        main(tmp_path / "run", resume=True, epochs=2, lr=0.2, beta=1)
    assert (tmp_path / "run" / "config.json").read_bytes() == before


def test_more_epochs_may_be_asked_of_a_run_that_is_resumed(tmp_path, whole):
    main(tmp_path / "run", epochs=4)
    main(tmp_path / "run", epochs=EPOCHS, resume=True)
    assert_same_run(tmp_path / "run", whole)


def test_the_settings_of_a_trained_run_or_the_command_that_trains_one(tmp_path, whole):
    assert settings_of(whole, "train.py", "epochs")["epochs"] == EPOCHS
    with pytest.raises(RunError, match=r"to be a run of train\.py, got another program's$"):
        settings_of(whole, "train.py", "epochs", "width")
    folder = tmp_path / "my run"
    with pytest.raises(RunError) as error:
        settings_of(folder, "train.py")
    command = f"python examples/train.py --out '{folder}'"
    assert str(error.value) == f"there is no trained model in {folder}; to train one:\n  {command}"
