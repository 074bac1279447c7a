"""Ranks are started by a real mpirun, which must be installed, as must mpi4py."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tinygen import distributed
from tinygen.run import checkpoint

WORKER = Path(__file__).parent / "trained.py"
EXAMPLES = Path(__file__).parent.parent.parent / "examples"
# containers run as root, and have fewer cores than ranks
OPEN_MPI = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "OMPI_MCA_btl_vader_single_copy_mechanism": "none",
}
PROGRAMS = ["diffusion_mnist.py", "vqvae_mnist.py"]
if os.environ.get("TINYGEN_THOROUGH"):
    PROGRAMS += ["flow_mnist.py", "gan_mnist.py", "latent_diffusion.py", "vae_mnist.py"]
SECONDS = 10  # after which nothing may still run when a rank has died
with_mpi = pytest.mark.skipif(
    not (shutil.which("mpirun") and importlib.util.find_spec("mpi4py")),
    reason="needs mpirun and mpi4py",
)


def start(ranks, *words, cwd=None, **variables):
    command = ["mpirun", "-n", str(ranks), sys.executable, *map(str, words)]
    if ranks == 1:
        command = command[3:]
    environment = os.environ | OPEN_MPI | variables
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=cwd, env=environment, stdout=pipe, stderr=pipe, text=True)


def finish(process, seconds=120):
    try:
        return *process.communicate(timeout=seconds), process.returncode
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(SECONDS)


def states(ranks, scenario, folder, **variables):
    """What each rank wrote"""
    folder.mkdir(exist_ok=True)
    _, errors, code = finish(start(ranks, WORKER, scenario, folder, **variables))
    assert code == 0, errors
    return [dict(np.load(folder / f"{rank}.npz")) for rank in range(ranks)]


def same(states, but=()):
    for state in states[1:]:
        assert state.keys() == states[0].keys()
        for name in state.keys() - {*but}:
            assert_array_equal(state[name], states[0][name], err_msg=name)


@with_mpi
@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_average_broadcast_and_compare(ranks, tmp_path):
    got = states(ranks, "collective", tmp_path)
    for i in range(4):
        given = [state[f"given{i}"] for state in got]
        total = given[0].astype("d")
        for x in given[1:]:  # in the order of the ranks
            total = total + x
        for state in got:
            mean = state[f"mean{i}"]
            assert (mean.dtype, mean.shape) == (given[0].dtype, given[0].shape)
            assert_allclose(mean, total / ranks, rtol=1e-6)
            assert_array_equal(mean, got[0][f"mean{i}"])
    for state in got:
        assert state["words"].tolist() == ["a", "bcd"]
        assert state["rank"] == ranks - 1
        assert state["largest"].tolist() == [ranks - 1, 0, 0.5]
        assert state["nothing"].size == 0


@with_mpi
def test_averages_stay_on_the_device(tmp_path):
    states(2, "collective", tmp_path, TINYGEN_BACKEND="strict")


@with_mpi
@pytest.mark.parametrize("ranks", [2, 3])
def test_each_epoch_visits_every_row_once_but_for_a_rest(ranks, tmp_path):
    got = states(ranks, "batches", tmp_path)
    steps, size = int(got[0]["steps"]), 7 - 7 % ranks
    for epoch in np.array_split(np.arange(steps), 2):
        parts = [[state[str(i)] for state in got] for i in epoch]
        assert all(len({len(part) for part in batch}) == 1 for batch in parts)
        assert [sum(map(len, batch)) for batch in parts[:-1]] == [size] * (len(epoch) - 1)
        rows = np.concatenate([part for batch in parts for part in batch])
        assert len({*rows.tolist()}) == len(rows) == 23 - 23 % ranks


@with_mpi
@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_make_the_steps_of_one_process(ranks, tmp_path):
    alone = states(1, "trained", tmp_path / "alone")[0]
    together = states(ranks, "trained", tmp_path / "together")
    same(together)
    for name, value in alone.items():
        assert_allclose(together[0][name], value, rtol=1e-9, atol=1e-12, err_msg=name)
    logs = [(tmp_path / f / "run" / "log.csv").read_text() for f in ("alone", "together")]
    assert [log.count("\n") for log in logs] == [9, 9]


@with_mpi
def test_a_run_of_several_ranks_resumes_bit_for_bit(tmp_path):
    whole = states(2, "whole", tmp_path / "whole")
    same(whole, but=["noise"])
    assert (whole[0]["noise"] != whole[1]["noise"]).all()
    states(2, "begun", tmp_path / "parts")
    resumed = states(2, "resumed", tmp_path / "parts")
    for a, b in zip(whole, resumed, strict=True):
        assert_array_equal(a["noise"][5:], b.pop("noise"))
        same([a, b | {"noise": None}], but=["noise"])


@with_mpi
@pytest.mark.parametrize("ranks", [1, 3])
def test_a_run_resumes_with_another_number_of_ranks(ranks, tmp_path):
    before = states(2, "begun", tmp_path)
    after = states(ranks, "resumed", tmp_path)
    same(after, but=["noise"])
    assert (after[0]["noise"].shape[0], before[0]["noise"].shape[0]) == (3, 5)
    about, _ = checkpoint.read(tmp_path / "run" / "checkpoint.npz")
    assert about["step"] == 8


@with_mpi
def test_running_statistics_are_averaged_and_all_ranks_stop_together(tmp_path):
    got = states(2, "statistics", tmp_path)
    same(got)
    assert got[0]["step"] == 4  # rank 1 stops for all
    (mean,) = (value for name, value in got[0].items() if "mean" in name)
    assert_allclose(mean, (1 - 0.9**4) * np.array([23, 24]), rtol=0.2)


@with_mpi
def test_updates_that_differ_between_ranks_are_an_error(tmp_path):
    _, errors, code = finish(start(2, WORKER, "diverging", tmp_path))
    assert code
    assert "differs between ranks" in errors


@with_mpi
@pytest.mark.parametrize("scenario, says", [("failing", "rank 1 has had enough"), ("killed", "")])
def test_all_ranks_end_when_one_fails_and_the_checkpoint_is_good(scenario, says, tmp_path):
    began, before = time.monotonic(), {*Path(tempfile.gettempdir()).glob("tinygen-*")}
    _, errors, code = finish(start(2, WORKER, scenario, tmp_path))
    assert code
    assert says in errors
    assert not {*Path(tempfile.gettempdir()).glob("tinygen-*")} - before
    assert time.monotonic() - began < 2 * SECONDS  # with the start
    about, _ = checkpoint.read(tmp_path / "run" / "checkpoint.npz")
    assert about["step"] < 4


@with_mpi
def test_a_break_on_one_rank_ends_the_loop_of_all_after_the_same_step(tmp_path):
    got = states(2, "leaving", tmp_path)
    same(got)
    assert got[0]["step"] == 5
    saved = np.load(tmp_path / "run" / "checkpoint.npz")
    for name in ("mean", "var"):
        key = next(k for k in saved.files if k.startswith("norm/") and name in k)
        assert_array_equal(saved[key], got[1][key.removeprefix("norm/")])


@with_mpi
def test_ranks_with_different_settings_are_refused(tmp_path):
    _, errors, code = finish(start(2, WORKER, "unlike", tmp_path))
    assert code
    assert "different settings: ['lr']" in errors


@with_mpi
def test_a_signal_to_one_rank_outside_the_loop_ends_all(tmp_path):
    _, errors, code = finish(start(2, WORKER, "signalled", tmp_path), 60)
    assert code
    assert "stopped by a signal" in errors


@with_mpi
def test_an_error_of_all_ranks_is_shown_once(tmp_path):
    _, errors, code = finish(start(3, WORKER, "alike", tmp_path))
    assert code
    assert errors.count("ValueError: all ranks have this error") == 1


def interrupted(number, folder):
    """Errors, code and saved step of a run whose mpirun gets a signal, and the rows of its log"""
    process, log = start(2, WORKER, "endless", folder), folder / "run" / "log.csv"
    limit = time.monotonic() + 60
    while not (log.exists() and log.read_text().count("\n") > 4) and time.monotonic() < limit:
        time.sleep(0.1)
    process.send_signal(number)
    _, errors, code = finish(process, SECONDS)
    about, _ = checkpoint.read(folder / "run" / "checkpoint.npz")
    return errors, code, about["step"], log.read_text().count("\n") - 1


@with_mpi
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_soon_and_its_checkpoint_is_good(number, tmp_path):
    errors, code, step, rows = interrupted(number, tmp_path)
    assert code, errors
    assert step <= rows
    assert "Training on 2 ranks" in errors


@with_mpi
def test_a_signal_that_mpirun_forwards_stops_all_ranks_after_a_saved_step(tmp_path):
    errors, code, step, rows = interrupted(signal.SIGUSR1, tmp_path)
    assert code, errors
    assert step == rows
    assert f"Stopped; step {step} is saved" in errors


@with_mpi
@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_run_on_two_ranks_and_resume(program, tmp_path):
    words = [EXAMPLES / program, "--quick", "--data", "digits", "--out", tmp_path / "run"]
    out, errors, code = finish(start(2, *words, cwd=tmp_path))
    assert code == 0, errors
    assert out.count("see ") == 1, out  # rank 0 alone prints
    for more in ([], ["--epochs", "2"]):
        _, errors, code = finish(start(2, *words, *more, "--resume", cwd=tmp_path))
        assert code == 0, errors
        assert "Resuming from step" in errors


def test_without_mpirun_a_process_is_alone_and_imports_nothing():
    code = (
        "import sys; from tinygen import data, distributed, optim, run; "
        "print(distributed.rank(), distributed.size(), 'mpi4py' in sys.modules)"
    )
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("OMPI", "PMI"))}
    done = subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, text=True)
    assert done.stdout.split() == ["0", "1", "False"], done.stderr


def test_alone_every_function_returns_what_it_got():
    a = np.arange(3.0)
    assert distributed.average([a])[0] is a
    assert distributed.largest(1, 2.5) == [1, 2.5]
    assert_array_equal(distributed.broadcast({"a": a})["a"], a)
    with pytest.raises(SystemExit, match="why"):
        distributed.fail("why")


@pytest.mark.parametrize("sizes, share", [({"OMPI_COMM_WORLD_LOCAL_SIZE": "4"}, 4), ({}, 1)])
def test_ranks_share_the_cores_of_a_machine(sizes, share):
    code = "from tinygen.autograd import backend; print(backend.threads, backend.local_ranks())"
    variables = {k: v for k, v in os.environ.items() if k != "TINYGEN_THREADS"} | sizes
    variables["TINYGEN_BACKEND"] = "numpy"
    done = subprocess.run(
        [sys.executable, "-c", code], env=variables, capture_output=True, text=True
    )
    threads, ranks = map(int, done.stdout.split())
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert ranks == share
    assert threads == max(1, allowed // share)


def test_mpirun_without_mpi4py_names_the_package(tmp_path):
    (tmp_path / "mpi4py.py").write_text("raise ImportError('no MPI here')")
    paths = os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]])
    variables = os.environ | {"OMPI_COMM_WORLD_SIZE": "2", "PYTHONPATH": paths}
    code = "from tinygen import distributed; distributed.size()"
    done = subprocess.run(
        [sys.executable, "-c", code], env=variables, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "pip install 'tinygen[mpi]'" in done.stderr
