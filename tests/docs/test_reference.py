"""docs/reference.md: every public name once, with its docstring's first line and a test's name."""

import ast
import importlib
import inspect
import re
from collections import Counter
from functools import cache
from pathlib import Path

from public import public_names

import tinygen as tg

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reference.md").read_text("utf-8")
ROWS = re.findall(r"^\| `([\w.]+)` \| (.*) \| (.*) \|$", PAGE, re.MULTILINE)

# besides the packages: the files whose names are public under the file's own name
FILES = [
    "data.fetch",
    "data.image_folder",
    "data.points_2d",
    "data.synthetic_digits",
    "data.synthetic_shapes",
    "diffusion.editing",
    "diffusion.samplers",
    "flow.ode",
    "flow.optimal_transport",
    "image.trajectories",
    "metrics.classifier",
    "metrics.report",
    "models.classics",
    "run.checkpoint",
    "run.commandline",
    "vae.vq",
]
HINTS = ["Array", "ArrayLike", "Rng", "Shape"]
UNPROVEN = [*HINTS, "image.trajectories.SHADE"]  # a grey


def public(module):
    """Its public names if it is a package, or has __all__; or what it defines. No modules."""
    if hasattr(module, "__all__") or hasattr(module, "__path__"):
        return public_names(module)
    defined = [
        n for n, v in vars(module).items() if getattr(v, "__module__", None) == module.__name__
    ]
    return [n for n in defined if not n.startswith("_")]


@cache
def functions_of(file):
    tree = ast.parse((ROOT / "tests" / file).read_text("utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def meant(name):
    """The module and the name in it: of `exp` tinygen's own, of `vae.elbo` tinygen.vae's."""
    module, _, own = f"tinygen.{name}".rpartition(".")
    return importlib.import_module(module), own


def documented(value):
    """Whether it is a class or a function of ours: no constant, no hint, and no lambda."""
    ours = (inspect.isclass(value) or inspect.isroutine(value)) and value.__name__ != "<lambda>"
    return ours and value.__module__.startswith("tinygen.")


def test_every_public_name_stands_on_the_page_once():
    modules = [tg, *(importlib.import_module(f"tinygen.{n}") for n in (*tg.PACKAGES, *FILES))]
    everything = {id(getattr(m, n)): f"{m.__name__}.{n}" for m in modules for n in public(m)}
    found = [meant(name) for name, _, _ in ROWS]
    assert [f"{m.__name__}.{n}" for m, n in found if n not in public(m)] == []
    ids = Counter(id(getattr(m, n)) for m, n in found)
    assert sorted(everything[i] for i in everything.keys() - ids.keys()) == []
    assert sorted(everything[i] for i, times in ids.items() if times > 1) == []
    assert len(ROWS) == PAGE.count("\n| `")


def test_beside_each_stands_the_first_line_of_its_docstring():
    wrong = []
    for name, line, _ in ROWS:
        module, own = meant(name)
        value = getattr(module, own)
        if documented(value):
            first, *rest = (inspect.getdoc(value) or "").split("\n")
            whole = first and not any(rest[:1])  # not cut off where the line ends
            if not whole or line.replace("\\|", "|") != " ".join(first.split()):
                wrong.append(f"{name}: {first}")
    assert wrong == []


def test_behind_each_stands_a_test_that_there_is():
    wrong = []
    for name, _, proof in ROWS:
        told = re.fullmatch(r"\[(test_\w+\.py)\]\(\.\./tests/((?:\w+/)?\1)\): (.+)", proof)
        test = told and "test_" + told[3].replace(" ", "_")
        if not told or test not in functions_of(told[2]):
            wrong.append(name)
    assert sorted(wrong) == UNPROVEN
