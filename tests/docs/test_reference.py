"""docs/reference.md lists every public name, as its script writes it. Each is used in a test."""

import importlib
import importlib.util
import re
from collections import Counter
from pathlib import Path

from public import public_names

import tinygen as tg

ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("reference", ROOT / "docs" / "make_reference.py")
script = importlib.util.module_from_spec(spec)
spec.loader.exec_module(script)
PATHS = re.findall(r"^\| `([\w.]+)` \|", script.PAGE.read_text("utf-8"), re.MULTILINE)

# results that have no name where they are used, hints, and a grey
UNNAMED = {"Balance", "Bound", "Estimate", "Finding", "PlaneSet", "Quantised", "Report", "Step"}
UNNAMED |= {"Terms", "VQLoss", "ArrayLike", "Shape", "SHADE"}


def test_the_page_is_what_its_script_writes():
    assert script.PAGE.read_text("utf-8") == script.text()


def test_every_public_name_is_on_the_page_once():
    modules = [
        tg,
        *(importlib.import_module(f"tinygen.{name}") for name in (*tg.PACKAGES, "testing")),
    ]
    names = {id(getattr(m, n)): f"{m.__name__}.{n}" for m in modules for n in public_names(m)}
    shown = []
    for path in PATHS:
        module, _, name = f"tinygen.{path}".rpartition(".")
        shown.append(id(getattr(importlib.import_module(module), name)))
    assert sorted(names[i] for i in names.keys() - set(shown)) == []
    assert [i for i, times in Counter(shown).items() if times > 1] == []


def test_every_public_name_is_used_in_a_test():
    tests = [p for p in (ROOT / "tests").rglob("*.py") if p.name != Path(__file__).name]
    words = set(re.findall(r"\w+", "\n".join(p.read_text("utf-8") for p in tests)))
    assert {path.rpartition(".")[2] for path in PATHS} - words == UNNAMED
