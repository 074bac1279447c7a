"""Type hints are useful: a typed program needs no cast and no ignore comment."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import tinygen

PROGRAM = Path(__file__).with_name("typed_program.py")
SOURCES = [path.read_text("utf-8") for path in Path(tinygen.__file__).parent.rglob("*.py")]


def mypy(*arguments):
    pytest.importorskip("mypy")
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--no-pretty",
        "--follow-imports=silent",
        *arguments,
    ]
    return subprocess.run(command, capture_output=True, text=True, cwd=PROGRAM.parents[1])


def test_a_program_that_trains_a_vae_passes_the_strictest_check():
    checked = mypy(str(PROGRAM))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert not re.search(r"\bcast\b|type: ignore|\bAny\b", PROGRAM.read_text("utf-8"))


def test_the_check_sees_what_is_wrong(tmp_path):
    program = tmp_path / "wrong.py"
    program.write_text("import tinygen as tg\ntg.exp(1.0).grid\ntg.nn.Dense('a', 2)\n")
    checked = mypy(str(program))
    assert '"Tensor" has no attribute "grid"' in checked.stdout, checked.stdout
    assert '"Dense" has incompatible type "str"' in checked.stdout, checked.stdout


def test_the_program_runs(capsys):
    runpy.run_path(str(PROGRAM), run_name="__main__")
    assert capsys.readouterr().out.count("\n") == 11


def test_hardly_anything_is_kept_from_the_checks():
    for excuse in ("# fmt: " + "skip", "type: " + "ignore"):
        assert sum(text.count(excuse) for text in SOURCES) < 10, excuse
