"""`python -m tinygen`: the example programs for those who have no clone."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tinygen import __main__ as front

ROOT = Path(__file__).resolve().parents[1]
NAMES = sorted(path.stem for path in ROOT.glob("examples/*.py"))


def run(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["tinygen", *words])
    monkeypatch.setattr(sys, "path", ["", *sys.path[1:]])
    front.main()


@pytest.mark.parametrize("words", [(), ("--help",)])
def test_it_lists_every_program_with_its_sentence(monkeypatch, capsys, words):
    run(monkeypatch, *words)
    rows = re.findall(r"^(\w+) {2,}(\S.*\.)$", capsys.readouterr().out, re.MULTILINE)
    assert [name for name, _ in rows] == NAMES


@pytest.mark.parametrize("name", ["toy", "toy.py"])
def test_a_program_runs_as_if_called_by_its_path(monkeypatch, capsys, tmp_path, name):
    (tmp_path / "toy.py").write_text("import sys, sibling\nprint(__name__, sys.argv, sibling.x)")
    (tmp_path / "sibling.py").write_text("x = 3")
    monkeypatch.setattr(front, "FOLDER", tmp_path)
    run(monkeypatch, name, "--quick", "5")
    printed = capsys.readouterr().out
    assert printed == f"__main__ {[str(tmp_path / 'toy.py'), '--quick', '5']} 3\n"


def test_a_real_program_takes_its_options():
    command = [sys.executable, "-m", "tinygen", "vae_mnist", "--help"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert answer.stdout.startswith("usage: vae_mnist.py [-h] [--data SET]")


def test_an_unknown_program_is_refused_with_the_nearest(monkeypatch):
    with pytest.raises(SystemExit, match=r"no program 'vae_mnits'; did you mean vae_mnist"):
        run(monkeypatch, "vae_mnits")


def test_a_copy_is_the_program_and_replaces_nothing(monkeypatch, capsys, tmp_path):
    source = (ROOT / "examples" / "spirals.py").read_bytes()
    there = tmp_path / "mine" / "spirals.py"
    for _ in range(2):  # the same text again is no harm
        run(monkeypatch, "--copy", "spirals", str(there.parent))
        assert capsys.readouterr().out == f"try: python {there}\n"
        assert there.read_bytes() == source
    there.write_text("mine")
    with pytest.raises(SystemExit, match=r"spirals\.py exists and is different"):
        run(monkeypatch, "--copy", "spirals", str(there.parent))
    assert there.read_text() == "mine"


def test_a_copy_has_what_the_program_imports(monkeypatch, tmp_path):
    run(monkeypatch, "--copy", "benchmark", str(tmp_path))
    command = [sys.executable, tmp_path / "benchmark.py", "--help"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
