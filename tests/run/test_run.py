"""Runs: stopped in every way, and resumed exactly."""

import contextlib
import json
import math
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from training_run import main
from written_runs import STEPS, assert_same_run, log

import tinygen as tg
from tinygen import nn, optim
from tinygen.data import Batches
from tinygen.run import EarlyStopping, NotFinite, Record, Run, checkpoint

HERE = Path(__file__).parents[1]


def stop_at(step, how):
    def on_step(run, record):
        if run.step == step:
            how(run)

    return on_step


# --- exact resumption -----------------------------------------------------------------------------


def test_a_step_in_the_loops_body_makes_the_run_that_a_generator_makes(tmp_path, whole):
    main(tmp_path / "run", in_body=True)
    assert_same_run(tmp_path / "run", whole)


@pytest.mark.parametrize("in_body", [False, True])
@pytest.mark.parametrize("step", [1, 3, 7, 8, 40, STEPS - 1])
def test_a_run_stopped_by_an_error_and_resumed_is_the_run_that_was_not(
    step, in_body, tmp_path, whole
):
    def fail(run):
        raise OSError("the disk is on fire")

    with pytest.raises(OSError, match="on fire"):
        main(tmp_path / "run", on_step=stop_at(step, fail), in_body=in_body)
    main(tmp_path / "run", resume=True, in_body=in_body)
    assert_same_run(tmp_path / "run", whole)


def test_a_run_has_a_checkpoint_from_its_beginning(tmp_path):
    with pytest.raises(OSError), Run(tmp_path / "run") as run:
        run.keep(stop=EarlyStopping(2))
        raise OSError
    assert checkpoint.read(tmp_path / "run" / "checkpoint.npz")[0]["step"] == 0


def test_a_checkpoint_is_saved_when_so_much_time_has_gone_by(tmp_path, monkeypatch):
    monkeypatch.setattr("tinygen.run.run.APART", -1.0)
    with Run(tmp_path / "run") as run:
        run.keep()
        for record in run.track(iter([3.0, 4.0])):
            saved = checkpoint.read(tmp_path / "run" / "checkpoint.npz")[0]["step"]
            assert saved == record.step - 1


def test_a_run_left_by_break_is_saved_at_that_step(tmp_path):
    with Run(tmp_path / "run", {"a": 1}) as run:
        run.keep()
        for record in run.track(iter([3.0, 4.0, 5.0, 6.0])):
            if record.step == 3:
                break
        assert [row[0] for row in log(tmp_path / "run")] == ["1", "2", "3"]  # to draw curves from
    assert checkpoint.read(tmp_path / "run" / "checkpoint.npz")[0]["step"] == 3


@pytest.mark.parametrize("leave", [True, False])
def test_a_run_that_has_stopped_early_is_saved_and_does_not_go_on_when_resumed(leave, tmp_path):
    for resume in (False, True, True):
        with Run(tmp_path / "run", {"a": 1}, resume=resume) as run:
            stop = EarlyStopping(2)
            run.keep(stop=stop)
            for record in run.track(iter([3.0, 4.0, 5.0, 6.0])):
                if stop(record["loss"]) and leave:
                    break
            assert (run.step, stop.waited, stop.best, stop.stopped) == (3, 2, 3.0, True)
            if not leave:  # before the folder is closed, as plots may take long
                assert checkpoint.read(tmp_path / "run" / "checkpoint.npz")[0]["step"] == 3
    assert [row[0] for row in log(tmp_path / "run")] == ["1", "2", "3"]


def test_a_best_checkpoint_may_be_saved_within_a_step_and_numbers_added_after(tmp_path):
    with Run(tmp_path / "run") as run:
        stop = EarlyStopping(5)
        run.keep(stop=stop)
        for record in run.track(iter([3.0, 1.0, 2.0])):
            stop(record["loss"])
            if stop.improved:
                run.save("best.npz")
            run.log(test=record["loss"] + 1)
    assert checkpoint.read(tmp_path / "run" / "best.npz")[0]["step"] == 2
    assert [row[-1] for row in log(tmp_path / "run")] == ["4.0", "2.0", "3.0"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_run_killed_twenty_times_gives_bit_for_bit_what_one_never_stopped_gives(tmp_path, whole):
    """SIGKILL at unpredictable moments: while the process saves, logs, computes."""
    zygote = subprocess.Popen(  # imports once, and forks a process for each attempt
        [sys.executable, "-c", ZYGOTE, tmp_path / "run"],
        cwd=HERE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE)])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    random_ = random.Random(0)
    kills = finished = 0
    steps = set()
    while not finished:
        print(
            "resume" if (tmp_path / "run" / "config.json").exists() else "begin",
            flush=True,
            file=zygote.stdin,
        )
        pid = int(zygote.stdout.readline())
        status = "step"
        for _ in range(random_.randint(1, 6) if kills < 20 else STEPS):
            if status == "step":
                status = zygote.stdout.readline().strip()
        if kills < 20 and status == "step":
            time.sleep(random_.uniform(0, 0.01))  # about as long as a step, or saving it
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        while status == "step":
            status = zygote.stdout.readline().strip()
        if status == "killed":
            kills += 1
            with contextlib.suppress(FileNotFoundError):  # the files are always complete
                steps.add(checkpoint.read(tmp_path / "run" / "checkpoint.npz")[0]["step"])
        finished = status == "finished"
        assert status in ("killed", "finished")
    zygote.stdin.close()
    zygote.wait(10)
    zygote.stdout.close()
    assert kills == 20 and len(steps) > 2
    assert_same_run(tmp_path / "run", whole)
    assert not list((tmp_path / "run").glob(".*.part"))


ZYGOTE = """
import os, sys, time
import training_run
for attempt, line in enumerate(sys.stdin):
    pid = os.fork()
    if pid == 0:
        os.write(1, f"{os.getpid()}\\n".encode())
        def on_step(run, record):
            os.write(1, b"step\\n")  # and if it is killed, then about here
            time.sleep(0.003)

        in_body = bool(attempt % 2)  # both kinds of loop make the same steps
        training_run.main(sys.argv[1], resume=line.strip() == "resume", on_step=on_step,
                          in_body=in_body)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    print("killed" if os.WIFSIGNALED(status) and os.WTERMSIG(status) == 9 else "finished"
          if status == 0 else "failed", flush=True)
"""


# --- losses that are not finite -------------------------------------------------------------------


@pytest.mark.parametrize(("value", "text"), [(math.nan, "nan"), (math.inf, "inf")])
def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_last_good_checkpoint(
    value, text, tmp_path, capsys
):
    part = EarlyStopping(3)
    rows = np.zeros((4, 1), np.float32)
    batches = Batches(rows, 1, rng=np.random.default_rng(0), epochs=5)
    losses = [1.0, 2.0, 3.0, value, 5.0]
    with pytest.raises(NotFinite) as caught, Run(tmp_path / "run", steps=2) as run:
        run.keep(part=part, batches=batches)
        for record in run.track(
            {"d": tg.Tensor(1.0), "g": tg.Tensor(loss)}
            for _, loss in zip(batches, losses, strict=False)
        ):
            assert record.step < 4, "what is wrong is not shown to the caller"
    assert str(caught.value) == f"`g` was {text} at step 4"
    path = tmp_path / "run" / "checkpoint.npz"
    assert capsys.readouterr().err.endswith(f"step 2 is saved in {path}.\n")
    assert checkpoint.read(path)[0]["step"] == 2
    assert [row[0] for row in log(tmp_path / "run")] == ["1", "2", "3", "4"]
    assert log(tmp_path / "run")[-1][-1] == text  # to be seen in the curves


def test_a_gradient_that_is_not_finite_stops_the_run_with_its_step(tmp_path, capsys):
    p = tg.Tensor(tg.xp.asarray([1.0]), requires_grad=True)
    optimizer = optim.SGD({"p": p}, 0.1)

    def loop():
        for g in (1.0, 2.0, math.nan):
            optimizer.step([tg.Tensor(tg.xp.asarray([g]))])
            yield float(g)

    with pytest.raises(NotFinite) as caught, Run(tmp_path / "run", steps=1) as run:
        run.keep(optimizer=optimizer)
        for _ in run.track(loop()):
            pass
    assert re.match("step 3: SGD.step: .*`p`", str(caught.value))
    assert "step 2 is saved in" in capsys.readouterr().err


def test_a_loss_that_the_body_logs_is_looked_at_after_its_step(tmp_path, capsys):
    rows = np.zeros((4, 1), np.float32)
    batches = Batches(rows, 1, rng=np.random.default_rng(0), epochs=2)
    with pytest.raises(NotFinite) as caught, Run(tmp_path / "run", steps=2) as run:
        run.keep(batches=batches)
        for _ in run.track(batches):
            run.log(loss=math.nan if run.step == 3 else 1.0, step_twice=2 * run.step)
    assert str(caught.value) == "`loss` was nan at step 3"
    assert "step 2 is saved in" in capsys.readouterr().err
    assert [row[0] for row in log(tmp_path / "run")] == ["1", "2", "3"]


def test_a_step_in_the_body_that_fails_before_it_logs_leaves_no_row(tmp_path):
    rows = np.zeros((4, 1), np.float32)
    batches = Batches(rows, 1, rng=np.random.default_rng(0), epochs=2)
    with pytest.raises(OSError, match="on fire"), Run(tmp_path / "run", steps=2) as run:
        run.keep(batches=batches)
        for x in run.track(batches):
            assert isinstance(x, tg.Tensor)
            if run.step == 4:
                raise OSError("on fire")
            run.log(loss=1.0)
    assert [row[0] for row in log(tmp_path / "run")] == ["1", "2", "3"]


def test_weights_that_are_not_finite_are_not_saved_over_a_good_checkpoint(tmp_path):
    model = nn.Dense(1, 1, rng=np.random.default_rng(0))

    def loop():
        yield 1.0
        model.weight.data = model.weight.data * math.nan
        yield 2.0

    with pytest.raises(NotFinite) as caught, Run(tmp_path / "run", steps=1) as run:
        run.keep(model=model)
        for _ in run.track(loop()):
            pass
    assert str(caught.value) == "step 2: `weight` of `model` is not finite"
    assert checkpoint.read(tmp_path / "run" / "checkpoint.npz")[0]["step"] == 1


# --- second stages --------------------------------------------------------------------------------


def test_a_second_stage_resumes_unless_the_first_has_learned_more(tmp_path):
    for resume, step, expected in [(False, 5, False), (True, 5, True), (True, 6, False)]:
        with Run(tmp_path / "run", {"lr": 0.1}, resume=resume) as run:
            run.step = step
            with run.second_stage("second") as second:
                assert second.resume is expected
                assert second.folder == tmp_path / "run" / "second"
                assert second.settings["lr"] == 0.1
    assert (tmp_path / "run" / "second-1").exists()
    assert not (tmp_path / "run" / "second-2").exists()


def test_a_second_stage_that_has_not_begun_begins_when_the_run_is_resumed(tmp_path):
    with Run(tmp_path / "run", {"lr": 0.1}):
        pass
    with Run(tmp_path / "run", {"lr": 0.1}, resume=True) as run, run.second_stage("more") as second:
        assert not second.resume


def test_what_is_free_in_a_run_is_free_in_its_second_stage(tmp_path):
    for resume, steps in [(False, 1), (True, 2)]:
        run = Run(tmp_path / "run", {"steps": steps}, resume=resume, free=["steps"])
        with run, run.second_stage("second") as second:
            assert (second.resume, second.settings["steps"]) == (resume, steps)


# --- records --------------------------------------------------------------------------------------


def test_the_logs_own_columns_are_no_names_for_losses(tmp_path):
    with Run(tmp_path / "run") as run:
        run.keep()
        with pytest.raises(ValueError, match=r"'step'.*got step=1.0"):
            next(run.track(iter([{"step": 1.0}])))


def test_a_record_gives_numbers_whatever_the_loop_yielded():
    record = Record(3, 0.5, 1.0)
    record.add({"a": tg.Tensor([[2.5]]), "b": np.float32(0.1), "c": 3, "d": True})
    assert dict(record) == {"a": 2.5, "b": np.float32(0.1), "c": 3, "d": 1}
    assert record["b"].dtype == np.float32 and str(record["d"]) == "1"
    with pytest.raises(ValueError, match=r"expected a number.* got loss="):
        record.add({"loss": tg.Tensor([1.0, 2.0])})


# --- results, samples, misuse ---------------------------------------------------------------------


def test_results_gather_beside_those_that_are_there(tmp_path):
    with Run(tmp_path / "run") as run:
        run.results(loss=np.float32(0.5), name="vae")
        run.results(fid=12.0, name="VAE")
    assert json.loads((tmp_path / "run" / "results.json").read_text()) == {
        "loss": 0.5,
        "name": "VAE",
        "fid": 12.0,
    }


def test_samples_are_written_as_images_and_labels(tmp_path):
    images = np.linspace(0, 1, 2 * 4 * 4).reshape(2, 4, 4, 1)
    with Run(tmp_path / "run") as run:
        path = run.samples(tg.Tensor(tg.xp.asarray(images)), [3, 4])
    with np.load(path, allow_pickle=False) as file:
        assert sorted(file.files) == ["images", "labels"] and file["images"].dtype == np.float32
        np.testing.assert_allclose(file["images"], images, rtol=1e-6)
        np.testing.assert_array_equal(file["labels"], [3, 4])


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((2, 4, 4)), None, r"\(N, H, W, 1 or 3\) .* got \(2, 4, 4\)"),
        (np.zeros((2, 4, 4, 2)), None, r"\(N, H, W, 1 or 3\) .* got \(2, 4, 4, 2\)"),
        (np.full((1, 2, 2, 1), 1.5), None, r"in \[0, 1\]"),
        (np.full((1, 2, 2, 1), -0.5), None, r"in \[0, 1\]"),
        (np.full((1, 2, 2, 1), np.nan), None, r"in \[0, 1\]"),
        (np.zeros((2, 4, 4, 1)), [1], "expected 2 labels, got 1"),
    ],
)
def test_samples_that_are_no_images_are_refused(images, labels, message, tmp_path):
    with Run(tmp_path / "run") as run, pytest.raises(ValueError, match=f"^samples: .*{message}"):
        run.samples(images, labels)
    assert not (tmp_path / "run" / "samples.npz").exists()


def test_what_comes_in_the_wrong_order_is_said(tmp_path):
    with Run(tmp_path / "run") as run:
        with pytest.raises(RuntimeError, match=r"^track: call keep\(\) first"):
            next(run.track([1.0]))
        with pytest.raises(AttributeError, match="_kept"):
            run.save()
        run.keep()
        for loop in ([], [1.0]):  # before the first step and after the last
            assert len(list(run.track(loop))) == len(loop)
            with pytest.raises(RuntimeError, match=r"^log: no current step"):
                run.log(a=1)


def test_a_part_without_a_state_is_refused_at_once(tmp_path):
    with pytest.raises(AttributeError, match=r"float.*state_dict"), Run(tmp_path / "run") as run:
        run.keep(rate=0.1)


def test_early_stopping_counts_the_calls_since_the_best():
    stop = EarlyStopping(2)
    assert [stop(x) for x in (3.0, 2.0, math.nan, tg.Tensor(1.0), 1.5, 1.0)] == [*[False] * 5, True]
    assert stop.best == 1.0 and not stop.improved
    with pytest.raises(ValueError, match=r"^EarlyStopping: expected `patience` to be an "):
        EarlyStopping(0)


def test_early_stopping_goes_on_counting_when_it_is_restored():
    stop, other = EarlyStopping(3), EarlyStopping(3)
    for x in (1.0, 2.0):
        stop(x)
    other.load_state_dict(stop.state_dict())
    assert [other(x) for x in (2.0, 2.0)] == [stop(x) for x in (2.0, 2.0)] == [False, True]
