"""CuPy has all that the library uses: every `xp.name`, every keyword, every fused formula.

CuPy can be imported without a GPU, so this can be tested there too, but not what only a GPU runs
(compilation, atomics, speed).
"""

import ast
import functools
import importlib
import inspect
from pathlib import Path

import numpy as np
import pytest
import strict

import tinygen
from tinygen.autograd import backend, parallel

ROOT = Path(tinygen.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
UFUNC_KEYWORDS = {"out", "dtype", "casting"}


@pytest.fixture(scope="module")
def cupy():
    module = pytest.importorskip("cupy")
    if not module.__version__.startswith("14."):
        pytest.skip("the stand-in, and the insides that `trace` uses, are those of CuPy 14")
    return module


# --- names that the files use ---------------------------------------------------------------------


def path_of(node):
    """("lib", "stride_tricks") of `xp.lib.stride_tricks`; None unless it begins with xp."""
    if isinstance(node, ast.Name):
        return () if node.id == "xp" else None
    if isinstance(node, ast.Attribute):
        before = path_of(node.value)
        return None if before is None else (*before, node.attr)
    return None


def names_and_calls(source):
    """All (name, line), and all (name, keywords, line) of calls."""
    tree = ast.parse(source)
    names, calls = [], []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and path_of(node):
            names.append((".".join(path_of(node)), node.lineno))
        elif isinstance(node, ast.Call) and path_of(node.func):
            keywords = {each.arg for each in node.keywords if each.arg}
            calls.append((".".join(path_of(node.func)), keywords, node.lineno))
    return names, calls


def find(module, name):
    return functools.reduce(getattr, name.split("."), module)


def exists(module, name):
    try:
        find(module, name)
    except AttributeError:
        return False
    return True


def accepted(function):
    """The keywords of a CuPy function; None if unknown."""
    if type(function).__name__ == "ufunc":
        return UFUNC_KEYWORDS
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        return None
    return {each.name for each in parameters if each.kind is not each.POSITIONAL_ONLY}


def test_names_and_keywords_are_found_wherever_they_stand():
    source = "def f(x):\n    return xp.sum(xp.lib.tricks.roll(x, axis=0), dtype=xp.f4).mean(axis=1)"
    names, calls = names_and_calls(source)
    assert {name for name, _ in names} == {"sum", "lib", "lib.tricks", "lib.tricks.roll", "f4"}
    assert calls == [("sum", {"dtype"}, 2), ("lib.tricks.roll", {"axis"}, 2)]


def test_the_library_asks_for_names_at_all():
    assert sum(len(names_and_calls(file.read_text("utf-8"))[0]) for file in FILES) > 20


# --- names that CuPy has --------------------------------------------------------------------------


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_name_is_one_that_the_stand_in_has(file):
    names, _ = names_and_calls(file.read_text("utf-8"))
    assert [(name, line) for name, line in names if not exists(strict, name)] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_name_is_one_that_cupy_has(file, cupy):
    names, _ = names_and_calls(file.read_text("utf-8"))
    assert [(name, line) for name, line in names if not exists(cupy, name)] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_keyword_is_one_that_cupy_takes(file, cupy):
    _, calls = names_and_calls(file.read_text("utf-8"))
    wrong = []
    for name, keywords, line in calls:
        known = accepted(find(cupy, name))
        wrong += [(name, keyword, line) for keyword in keywords - (known or keywords)]
    assert wrong == []


def formulas(decorator):
    code = decorator(lambda x: x).__code__
    for file in FILES:
        path = ".".join(("tinygen", *file.relative_to(ROOT).with_suffix("").parts))
        module = importlib.import_module(path.removesuffix(".__init__"))
        for name, each in vars(module).items():
            if getattr(each, "__code__", None) is code and each.__module__ == module.__name__:
                yield pytest.param(each.__wrapped__, id=f"{file.stem}.{name}")


def trace(cupy, formula, dtype):
    """The dtypes of the outputs in the code that CuPy would compile, and of arrays it changes.

    Tracing needs arrays, but not their memory; one that claims to be on a GPU will do.
    """
    from cupy._core import _fusion_thread_local as state
    from cupy._core import fusion

    memory = cupy.cuda.UnownedMemory(1, 64, None, device_id=0)
    inputs = [
        0.5
        if parameter.annotation in ("float", float)
        else cupy.ndarray((2, 4), dtype, memptr=cupy.cuda.MemoryPointer(memory, 0))
        for parameter in inspect.signature(formula).parameters.values()
    ]
    history = fusion._FusionHistory()
    try:
        fusion._thread_local.history, fusion._thread_local.is_old_fusing = history, True
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(formula.__globals__, "xp", cupy)
            kernel, _ = history.get_fusion(formula, inputs, "fused")
    finally:
        fusion._thread_local.history, fusion._thread_local.is_old_fusing = None, False
        assert not state.is_fusing()
    written = [each for each in kernel.in_params if not each.is_const]
    return [each.dtype for each in kernel.out_params], [each.dtype for each in written]


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("formula", list(formulas(parallel.in_place)))
def test_cupy_makes_one_kernel_that_changes_arrays_of_every_formula_in_place(formula, dtype, cupy):
    returned, changed = trace(cupy, formula, dtype)
    assert returned == [] and set(changed) == {np.dtype(dtype)}


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("formula", list(formulas(parallel.fused)))
def test_cupy_makes_one_kernel_of_every_fused_formula_in_its_dtype(formula, dtype, cupy):
    returned, changed = trace(cupy, formula, dtype)
    assert set(returned) == {np.dtype(dtype)} and changed == []


def test_a_formula_that_is_no_kernel_is_noticed(cupy):
    def bad(x):
        return x[0] + x.reshape(-1)

    with pytest.raises((AttributeError, TypeError, NotImplementedError)):
        trace(cupy, bad, np.float32)


def test_the_real_cupy_without_a_gpu_is_refused_in_one_sentence(cupy, monkeypatch):
    if cupy.cuda.is_available():
        pytest.skip("there is a GPU")
    monkeypatch.setattr(backend, "in_use", False)
    with pytest.raises(RuntimeError) as caught:
        backend.use("cupy")
    message = str(caught.value)
    assert message.startswith("cupy backend: ") and "\n" not in message and "; " in message


# --- the mock has no more than CuPy ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "names"),
    [
        ("", strict.NAMES),
        ("linalg", strict.LINALG),
        ("lib.stride_tricks", strict.STRIDE_TRICKS),
        ("", "array asarray full fuse ndarray add.at subtract.at maximum.at minimum.at"),
    ],
    ids=["functions", "linalg", "strides", "its own"],
)
def test_every_name_of_the_stand_in_is_one_of_cupys(place, names, cupy):
    ours, theirs = (find(m, place) if place else m for m in (strict, cupy))
    assert [name for name in names.split() if not exists(theirs, name)] == []
    assert [name for name in names.split() if not exists(ours, name) and exists(np, name)] == []


def test_every_method_of_the_stand_ins_array_is_one_of_cupys(cupy):
    ours = {name for name in vars(strict.ndarray) if not name.startswith("_")}
    assert {"get", "sum", "reshape", "flags"} <= ours <= set(dir(cupy.ndarray))


def test_the_stand_ins_array_has_only_special_methods_that_cupys_has(cupy):
    ours = {name for name, each in vars(strict.ndarray).items() if callable(each)}
    assert ours <= set(dir(cupy.ndarray))


def test_the_stand_in_refuses_the_keywords_that_cupy_lacks_and_no_others(cupy):
    wrong = []
    for name in strict.NAMES.split():
        theirs, numpys = accepted(getattr(cupy, name)), getattr(np, name, None)
        if theirs in (None, UFUNC_KEYWORDS) or numpys in (None, getattr(cupy, name)):
            continue
        refused = strict.REFUSED | strict.REFUSED_BY.get(name, set())
        try:
            parameters = inspect.signature(numpys).parameters.values()
        except ValueError:  # a function in C, before NumPy 2.4
            continue
        optional = {each.name for each in parameters if each.default is not each.empty}
        wrong += [(name, each, "is not refused") for each in optional - theirs - refused]
        # CuPy's subok takes nothing but None
        wrong += [(name, each, "is refused") for each in theirs & refused - {"subok"}]
    assert wrong == []
