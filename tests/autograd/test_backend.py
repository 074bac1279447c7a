"""Choosing a backend, with fakes for every way of lacking a GPU; indices on each backend."""

import re
import sys
import types

import numpy as np
import pytest
import strict

import tinygen
from tinygen.autograd import backend, fused, to_numpy, xp


@pytest.fixture
def unsealed(monkeypatch):
    """As if no tensors existed yet; afterwards the backend is restored."""
    monkeypatch.setattr(backend, "in_use", False)
    for name in ("_chosen", "name", "threads", "on_cpu", "plain"):
        monkeypatch.setattr(backend, name, getattr(backend, name))
    names = dict(vars(xp))
    yield
    vars(xp).clear()
    vars(xp).update(names)


OTHER = "numpy" if backend.name == "strict" else "strict"


# --- choosing -----------------------------------------------------------------------------------


def test_use_gives_xp_the_names_of_the_chosen_library(unsealed):
    backend.use("numpy")
    assert xp.exp is np.exp and xp.ndarray is np.ndarray
    backend.use("strict")
    assert xp.exp is strict.exp and xp.ndarray is strict.ndarray


def test_use_leaves_no_name_of_the_library_before_it(unsealed):
    backend.use("numpy")
    assert xp.block is np.block
    backend.use("strict")
    with pytest.raises(AttributeError, match="no attribute 'block'"):
        xp.block([])


def test_xp_finds_modules_that_a_library_loads_lazily():
    assert xp.lib.stride_tricks.as_strided is backend._chosen.lib.stride_tricks.as_strided


def test_use_of_an_unknown_library_changes_nothing(unsealed):
    with pytest.raises(ModuleNotFoundError, match="nunpy"):
        backend.use("nunpy")
    assert_still_works()


def test_use_refuses_another_backend_once_there_is_a_tensor(unsealed):
    tinygen.Tensor([1.0])
    with pytest.raises(RuntimeError, match=rf"'{OTHER}'.*too late.*TINYGEN_BACKEND={OTHER}"):
        backend.use(OTHER)
    assert_still_works()


def test_a_constant_made_from_a_list_counts_as_a_tensor(unsealed):
    tinygen.exp([1.0])
    with pytest.raises(RuntimeError, match="too late"):
        backend.use(OTHER)


def test_use_of_the_same_backend_is_never_too_late():
    tinygen.Tensor([1.0])
    backend.use(backend.name)


def test_numpy_is_the_backend_by_default(python):
    code = "from tinygen.autograd import backend; print(backend.name)"
    assert python(code) == "numpy"
    assert python(code, TINYGEN_BACKEND="") == "numpy"


def test_the_environment_chooses_the_backend(python):
    code = "import tinygen, strict; print(type(tinygen.Tensor([1.0]).data) is strict.ndarray)"
    assert python(code, TINYGEN_BACKEND="strict") == "True"


def test_an_unknown_backend_in_the_environment_fails_at_import(python):
    assert python("import tinygen", TINYGEN_BACKEND="nunpy").endswith("No module named 'nunpy'")


def test_importing_tinygen_loads_nothing_heavy(python):
    heavy = {
        "concurrent.futures.thread",
        "cupy",
        "dataclasses",
        "hypothesis",
        "importlib.metadata",
        "matplotlib",
        "threadpoolctl",
        "tqdm",
    }
    code = (
        f"import numpy, sys; before = {{*sys.modules}}; import tinygen; "
        f"print({heavy} & ({{*sys.modules}} - before))"
    )
    assert python(code) == "set()"


def test_importing_tinygen_changes_nothing_in_the_process(python):
    code = """
import os, signal, threading, warnings
import numpy as np
from threadpoolctl import threadpool_info
def state():
    handlers = [signal.getsignal(each) for each in signal.valid_signals()]
    return (handlers, dict(os.environ), list(warnings.filters), np.geterr(), np.get_printoptions(),
            threading.active_count(), [each["num_threads"] for each in threadpool_info()])
before = state()
import tinygen
print(state() == before)
"""
    assert python(code, OPENBLAS_NUM_THREADS="2") == "True"


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc is asked")
@pytest.mark.parametrize("variable, options", [("OTHER", "[-3, -1]"), ("MALLOC_ARENA_MAX", "[]")])
def test_freed_memory_is_kept_only_when_asked_for(variable, options, python):
    code = """
import ctypes, numpy
class Library:  # in place of the C library
    def __init__(self, name): pass
    def mallopt(self, option, value): return options.append(option) or 1
options, ctypes.CDLL = [], Library
import tinygen
tinygen.grad((tinygen.Tensor(numpy.ones((99, 99)), requires_grad=True) ** 2).sum(), [])
print(options, end=" then ")
tinygen.keep_memory()
print(options)
"""
    assert python(code, **{variable: "1"}) == f"[] then {options}"


def test_to_numpy_of_an_array_gives_the_same_values_on_the_host(rng):
    values = rng.normal(size=(2, 3))
    array = to_numpy(xp.asarray(values))
    assert type(array) is np.ndarray
    assert np.array_equal(array, values)


def test_to_numpy_of_a_reduction_gives_an_array_too():
    assert type(to_numpy(xp.ones(3).sum())) is np.ndarray


def test_describe_names_the_library_and_its_version():
    named = f"{backend.name} {backend._chosen.__version__} "
    assert tinygen.describe().lower().startswith(named)


@pytest.mark.skipif(backend.name == "cupy", reason="a GPU is named instead")
def test_the_line_about_the_backend_ends_with_its_blas_and_threads(monkeypatch):
    monkeypatch.setattr(backend, "threads", 37)
    version = re.escape(backend._chosen.__version__)
    assert re.fullmatch(rf"{backend.name} {version} \(\w.*\), 37 threads", tinygen.describe())


@pytest.mark.parametrize("wanted", ["0", "-1", "1.5", "two", " "])
def test_an_invalid_number_of_threads_is_refused(wanted, monkeypatch):
    monkeypatch.setenv("TINYGEN_THREADS", wanted)
    with pytest.raises(ValueError, match=f"TINYGEN_THREADS: .* got {wanted!r}"):
        backend._count_threads()


def test_the_environment_sets_the_number_of_threads(python):
    code = "from tinygen.autograd import backend; print(backend.threads)"
    assert python(code, TINYGEN_THREADS="3") == "3"


def test_by_default_there_is_a_thread_for_each_core_we_may_use(monkeypatch):
    monkeypatch.delenv("TINYGEN_THREADS", raising=False)
    monkeypatch.setattr(backend.os, "sched_getaffinity", lambda pid: {0, 3, 5}, raising=False)
    assert backend._count_threads() == 3
    monkeypatch.delattr(backend.os, "sched_getaffinity")  # as on macOS and Windows
    monkeypatch.setattr(backend.os, "cpu_count", lambda: None)
    assert backend._count_threads() == 1


def test_a_wrong_number_of_threads_leaves_the_previous_backend(unsealed, monkeypatch):
    backend.use("strict")
    monkeypatch.setenv("TINYGEN_THREADS", "none")
    with pytest.raises(ValueError):
        backend.use("numpy")
    assert backend.name == "strict" and backend._chosen is strict
    assert_still_works()


# --- CuPy, present or missing ---------------------------------------------------------------------


class CUDARuntimeError(RuntimeError):
    pass


class CompileException(Exception):
    pass


def fake_cupy(device=None, kernel=None, answer=18.0):
    """NumPy as a fake CuPy. `device` and `kernel` are errors to raise at their first use."""

    def use():
        if device:
            raise device

    def fuse(kernel_name):
        def run(*arrays):
            if kernel:
                raise kernel
            return np.full(1, answer)

        return lambda formula: run

    cupy = types.ModuleType("cupy")
    vars(cupy).update({k: v for k, v in vars(np).items() if not k.startswith("__")})
    cupy.__version__, cupy.fuse = "14.2.0", fuse
    cupy.cuda = types.SimpleNamespace(
        Device=lambda number=0: types.SimpleNamespace(id=number, use=use),
        runtime=types.SimpleNamespace(getDeviceProperties=lambda number: {"name": b"Abacus"}),
    )
    return cupy


def assert_still_works():
    assert float(xp.exp(xp.zeros(2)).sum()) == 2
    assert type(xp.zeros(2)) is backend._chosen.ndarray


def why_not(**options):
    """The message with which CuPy is refused; the backend stays as it was."""
    before = backend._chosen, backend.name, backend.threads, dict(vars(xp))
    with pytest.raises(RuntimeError) as caught:
        backend.use("cupy", **options)
    assert type(caught.value) is RuntimeError
    assert (backend._chosen, backend.name, backend.threads, dict(vars(xp))) == before
    assert_still_works()
    return str(caught.value)


def test_a_gpu_that_computes_correctly_is_accepted(unsealed, monkeypatch):
    cupy = fake_cupy()
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    backend.use("cupy")
    assert backend.name == "cupy" and xp.fuse is cupy.fuse
    assert backend.threads == 1  # one thread drives a GPU
    assert tinygen.describe() == "CuPy 14.2.0 on Abacus"


def test_the_device_asked_for_is_the_device_used(unsealed, monkeypatch):
    asked, cupy = [], fake_cupy()
    device = cupy.cuda.Device
    cupy.cuda.Device = lambda number: asked.append(number) or device(number)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    backend.use("cupy", device=2)
    assert asked == [2]


def test_without_the_package_the_advice_is_to_install_it(unsealed, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)  # as for a missing package
    assert re.search(r"import of cupy .*pip install 'cupy-cuda12x", why_not())


def test_the_original_cause_of_a_failed_import_is_shown(unsealed, monkeypatch, tmp_path):
    page = "\n=====\nFailed to import CuPy.\n\nCheck the guide:\n  https://docs.cupy.dev\n\n"
    cause = "ImportError: libcublas.so.12: cannot open shared object file"
    message = f"{page}Original error:\n  {cause}\n=====\n"
    (tmp_path / "cupy.py").write_text(f"raise ImportError({message!r})")
    monkeypatch.setitem(sys.modules, "cupy", None)  # so that it is restored afterwards
    del sys.modules["cupy"]
    monkeypatch.syspath_prepend(tmp_path)
    reason = why_not()
    assert f"cupy backend: {cause};" in reason and "\n" not in reason


@pytest.mark.parametrize(
    "where",
    [
        {"device": CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")},
        {"kernel": CompileException('cannot open source "cuda_fp16.h"\n\n1 error in …')},
    ],
)
def test_a_first_kernel_that_fails_is_refused_with_its_cause(where, unsealed, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy(**where))
    (error,) = where.values()
    assert f"cupy backend: {str(error).splitlines()[0]}; it needs a GPU" in why_not(device=7)


def test_a_gpu_that_computes_wrongly_is_refused(unsealed, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy(answer=17.0))
    assert "computed 17.0, expected 18" in why_not()


def test_the_original_error_is_the_cause_of_ours(unsealed, monkeypatch):
    error = CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy(device=error))
    with pytest.raises(RuntimeError) as caught:
        backend.use("cupy")
    assert caught.value.__cause__ is error


def test_a_missing_gpu_in_the_environment_fails_at_import_with_our_message(python, tmp_path):
    (tmp_path / "cupy.py").write_text("raise ImportError('libcuda.so.1: not found')")
    last = python("import tinygen", path=[tmp_path], TINYGEN_BACKEND="cupy")
    assert re.search(r"^RuntimeError: cupy backend: libcuda.so.1: not found; it needs", last)


def test_on_a_gpu_a_fused_formula_becomes_one_kernel_which_is_kept(unsealed, monkeypatch):
    made = []
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy())
    backend.use("cupy")
    xp.fuse = lambda kernel_name: lambda formula: made.append(formula) or formula
    double = fused(lambda x: x * 2)
    assert double(np.ones(3)).sum() == double(np.ones(3)).sum() == 6
    assert made == [double.__wrapped__]


# --- indices --------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [[0, 3], np.array([-4]), (slice(None), [2]), ([0], [0], [0])])
def test_a_host_index_out_of_range_is_an_error_on_every_backend(index, unsealed):
    with pytest.raises(IndexError):
        tinygen.Tensor(np.zeros((3, 2)))[index]
    backend.in_use = False
    backend.use(OTHER)
    with pytest.raises(IndexError):
        tinygen.Tensor(np.zeros((3, 2)))[index]


@pytest.mark.parametrize(
    "index",
    [
        1,
        -1,
        [0, 2],
        np.array([[1, -3]]),
        (slice(None), [1, 0]),
        ([2, 0], [1, 1]),
        (0, 1),
        np.array([True, False, True]),
        (None, ..., [0]),
        [False, True, True],
    ],
)
def test_a_host_index_selects_what_it_does_in_numpy(index, rng):
    values = rng.normal(size=(3, 2))
    assert np.array_equal(tinygen.Tensor(values)[index].numpy(), values[index])
