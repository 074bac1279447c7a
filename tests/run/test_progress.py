"""Progress: a bar in a terminal, otherwise a few plain lines."""

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from training_run import main

from tinygen.data import Batches
from tinygen.run import Run

HERE = Path(__file__).parents[1]


def test_where_there_is_no_terminal_progress_is_a_few_plain_lines(tmp_path, capsys):
    main(tmp_path / "run")
    lines = capsys.readouterr().err.splitlines()
    rest = r", [\d,.]+ images/s, loss [\d.e-]+, rate [\d.e-]+"
    assert re.fullmatch(rf"epoch 0\.2/12 .* \[\d+:\d\d<\d+:\d\d\], step 1{rest}", lines[0])
    assert re.fullmatch(rf"epoch 12\.0/12 .* \[\d+:\d\d<00:00\], step 84{rest}", lines[1])
    assert len(lines) == 2


def test_a_step_may_take_several_batches_as_a_discriminators_do(tmp_path, capsys):
    rng = np.random.default_rng(0)
    batches = Batches(np.zeros((20, 2), "f4"), 4, rng=rng, epochs=6)  # 30 batches

    def loop():
        for _ in range(10):
            for _ in range(3):
                next(batches)
            yield 1.0

    with Run(tmp_path / "run") as run:
        run.keep(batches=batches)
        for _ in run.track(loop()):
            pass
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("epoch 0.6/6 ") and "<00:0" in first and ", step 1, " in first
    assert last.startswith("epoch 6.0/6 ") and "<00:00]" in last and ", step 10, " in last


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_at_a_terminal_progress_is_a_bar(tmp_path):
    import pty

    leader, follower = pty.openpty()
    code = f"import sys; sys.path.insert(0, {str(HERE)!r}); import training_run; training_run.main({str(tmp_path / 'run')!r})"  # noqa: E501
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stderr=follower,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(HERE.parent), "COLUMNS": "84"},
    )
    os.close(follower)
    text = b""
    with contextlib.suppress(OSError):  # the end, on Linux
        while part := os.read(leader, 4096):
            text += part
    os.close(leader)
    assert process.wait(10) == 0
    lines = text.decode().strip().split("\r")
    for shown in ("epoch 12.0/12 ", "step 84", "images/s", "loss"):
        assert shown in lines[-1]
    assert max(map(len, lines)) == 84  # long lines are cut off
