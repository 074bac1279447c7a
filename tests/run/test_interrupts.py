"""Ctrl-C at any time: the step is completed and saved."""

import os
import signal
import sys
import threading

import pytest
from training_run import main
from written_runs import assert_same_run

from tinygen.run import Run


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
@pytest.mark.parametrize("in_body", [False, True])
@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_saves_at_the_end_of_the_step_and_says_how_to_go_on(
    by, in_body, tmp_path, whole, capsys, monkeypatch
):
    monkeypatch.setattr(sys, "argv", ["examples/a run.py", "--epochs", "12", "--resume"])
    before = signal.getsignal(by)
    reached = []

    def on_step(run, record):
        if run.step == 10:
            os.kill(os.getpid(), by)
            reached.append("after the signal")  # the step is completed

    with pytest.raises(SystemExit) as caught:
        main(tmp_path / "run", every=None, on_step=on_step, in_body=in_body)
    assert caught.value.code == 128 + by and reached
    assert signal.getsignal(by) is before
    shown = capsys.readouterr().err
    path = tmp_path / "run" / "checkpoint.npz"
    assert f"Stopped; step 10 is saved in {path}." in shown
    assert "To resume: python 'examples/a run.py' --epochs 12 --resume\n" in shown
    main(tmp_path / "run", resume=True)
    assert_same_run(tmp_path / "run", whole)


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
@pytest.mark.parametrize("how", ["as the loop ends", "in a step that is left"])
def test_ctrl_c_is_heard_wherever_it_falls(how, tmp_path, capsys):
    def loop():
        yield 1.0
        if how == "as the loop ends":
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(SystemExit) as caught, Run(tmp_path / "run") as run:
        run.keep()
        for _ in run.track(loop()):
            if how == "in a step that is left":
                os.kill(os.getpid(), signal.SIGINT)
                break
    assert caught.value.code == 130
    assert "Stopped; step 1 is saved in" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
def test_a_second_ctrl_c_does_not_wait(tmp_path, capsys):
    def on_step(run, record):
        if run.step == 10:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            raise AssertionError("not reached")

    with pytest.raises(SystemExit) as caught:
        main(tmp_path / "run", every=4, on_step=on_step)
    assert caught.value.code == 130
    assert "Stopped; step 8 is saved in" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
def test_ctrl_c_before_anything_was_saved_says_so(tmp_path, capsys):
    with pytest.raises(SystemExit), Run(tmp_path / "run"):
        raise KeyboardInterrupt
    assert capsys.readouterr().err == "Stopped; nothing was saved.\n"


def test_a_run_works_in_a_thread_that_hears_no_signals(tmp_path, whole):
    thread = threading.Thread(target=main, args=(tmp_path / "run",))
    thread.start()
    thread.join()
    assert_same_run(tmp_path / "run", whole)
