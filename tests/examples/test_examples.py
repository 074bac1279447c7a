"""Every examples/*.py runs with `--quick`, writes a picture, and ends cleanly on Ctrl-C.

All of them run only with TINYGEN_THOROUGH=1, as in .ci/run; otherwise a few, because their common
parts have tests of their own. Other tests only read the programs: the front programs fit on a page,
no program imports another, and examples/README.md lists them all.
"""

from __future__ import annotations

import ast
import os
import re
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted(path.name for path in ROOT.glob("examples/*.py"))
FRONT = ["vae_mnist.py", "gan_mnist.py", "diffusion_mnist.py", "flow_mnist.py"]
FEW = {"spirals.py"}
if os.environ.get("TINYGEN_BACKEND", "numpy") != "numpy":
    FEW.add("benchmark.py")  # it times the device, and takes a minute
ALL = bool(os.environ.get("TINYGEN_THOROUGH"))
TRIED = [name for name in EXAMPLES if ALL or name in FEW]
NO_LOSS = {"benchmark.py", "evaluate.py", "inpaint_mnist.py", "latent_directions.py"}
NO_LOSS |= {"superres_mnist.py"}
TRAINING = [name for name in TRIED if name not in NO_LOSS]  # these show a loss while they run
NEEDS_NUMPY: set[str] = set()  # examples that call NumPy's own functions on arrays of the backend

# A shell may start background jobs, such as this test, with Ctrl-C disabled.
WITH_CTRL_C = """
import os, runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = sys.argv[1:]
sys.path[0] = os.path.dirname(sys.argv[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def start(example: str, *arguments: str | Path, folder: Path) -> subprocess.Popen[str]:
    """The process of the example, running in `folder`."""
    if example in NEEDS_NUMPY and os.environ.get("TINYGEN_BACKEND", "numpy") != "numpy":
        pytest.skip("needs NumPy")
    path = [str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(
        [sys.executable, "-c", WITH_CTRL_C, ROOT / "examples" / example, *arguments],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, path)),
            "PYTHONUTF8": "1",
            "MPLBACKEND": "Agg",
            "TINYGEN_OFFLINE": "1",  # no downloads: synthetic digits if MNIST is missing
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        bufsize=1,
    )


def assert_is_a_picture(path: Path) -> None:
    image = matplotlib.image.imread(path)
    assert min(image.shape[:2]) >= 100
    assert len(np.unique(image.reshape(-1, image.shape[-1]), axis=0)) > 50  # colours


@pytest.mark.parametrize("example", TRIED)
def test_an_example_writes_pictures_and_prints_their_path(example: str, tmp_path: Path) -> None:
    process = start(example, "--quick", "--out", tmp_path / "out", folder=tmp_path)
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert "Warning" not in errors
    pictures = sorted(tmp_path.rglob("*.png"))
    assert pictures
    for picture in pictures:
        assert_is_a_picture(picture)
    assert any(
        str(picture) in output or f"see {picture.parent}\n" in output for picture in pictures
    )
    outside = [path.name for path in tmp_path.iterdir() if path.name != "out"]
    assert outside == []  # all files are in `--out`


@pytest.mark.skipif(os.name == "nt", reason="Windows can't send Ctrl-C to one process")
@pytest.mark.parametrize("example", TRAINING)
def test_ctrl_c_ends_an_example_without_a_traceback(example: str, tmp_path: Path) -> None:
    process = start(example, "--out", tmp_path / "out", folder=tmp_path)
    assert process.stderr is not None
    seen = ""
    while not re.search("loss[= ]", seen):  # the progress bar, from the first step on
        character = process.stderr.read(1)
        assert character, f"ended before it showed any progress: {seen}"
        seen += character
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=120)
    assert process.returncode in (0, 130), seen + errors
    assert "Traceback" not in errors
    assert "topped" in output + errors  # "Stopped after 20 of 2000 steps."
    for path in tmp_path.rglob("*.*"):
        assert ".part" not in path.name
        if path.suffix == ".png":
            assert_is_a_picture(path)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_examples_help_lists_its_options(
    example: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [example, "--help"])
    monkeypatch.syspath_prepend(ROOT / "examples")
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)  # benchmark.py deletes it for good
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(ROOT / "examples" / example), run_name="__main__")
    assert not caught.value.code
    output = capsys.readouterr().out
    for option in ("--quick", "--backend", "--out", "--seed"):
        assert option in output


# --- how they are written -------------------------------------------------------------------------


def source(example: str) -> str:
    return (ROOT / "examples" / example).read_text("utf-8")


@pytest.mark.parametrize("example", FRONT)
def test_a_front_program_shows_its_gradient_and_its_loop_on_one_page(example: str) -> None:
    text = source(example)
    assert len(text.splitlines()) <= 110
    assert "tg.grad(" in text
    assert "in run.track(batches):" in text


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_imports_no_other(example: str) -> None:
    imported = set()
    for node in ast.walk(ast.parse(source(example))):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported |= {node.module, *(alias.name for alias in node.names)}
    assert imported & {name.removesuffix(".py") for name in EXAMPLES} == set()


def test_the_readme_lists_every_example_once_and_the_front_programs_first() -> None:
    listed = re.findall(r"^\| \[(.+?)\]\((.+?)\) \|", source("README.md"), re.MULTILINE)
    names = [name for name, _ in listed]
    assert [link for _, link in listed] == names
    assert names[:4] == FRONT
    assert sorted(names) == EXAMPLES


def test_every_link_of_the_readme_leads_to_a_file() -> None:
    links = re.findall(r"\]\((.+?)\)", source("README.md"))
    assert links
    for link in links:
        assert (ROOT / "examples" / link).exists(), link


def test_the_program_writes_the_main_picture_of_the_readme() -> None:
    row = r"^\| \[(.+?)\]\(.+?\) \|.*\| (?:\w+/)?(\w+)\.png"
    rows = re.findall(row, source("README.md"), re.MULTILINE)
    assert len(rows) == len(EXAMPLES)
    for name, picture in rows:
        assert picture in source(name), (name, picture)
