"""The programs in examples/, as modules that a test can look into and run."""

import importlib.util
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from tinygen.run import Run, checkpoint

FOLDER = Path(__file__).resolve().parent.parent / "examples"


def example(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_front(module, options, folder, stop_at=None):
    """Run a program whose steps are in the loop's body; Ctrl-C arrives in the step `stop_at`"""
    log = Run.log

    def logged(run, **values):
        log(run, **values)
        if run.step == stop_at:
            signal.raise_signal(signal.SIGINT)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "log", logged)
        patch.setattr(sys, "argv", [module.__name__, *options.split(), "--out", str(folder)])
        module.main()
    return folder


def outcome(folder):
    """Log, checkpoint and samples of a run as arrays by name, without the seconds that it took"""
    log = np.genfromtxt(folder / "log.csv", delimiter=",", names=True, ndmin=1)
    rows = {name: log[name] for name in log.dtype.names if name != "seconds"}
    with np.load(folder / "samples.npz", allow_pickle=False) as samples:
        return rows | checkpoint.read(folder / "checkpoint.npz")[1] | dict(samples)
