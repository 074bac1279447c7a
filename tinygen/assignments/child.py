"""The process in which a student's code runs: it answers calls with values, and gives no verdicts.

It is started as a script, in an empty folder, with an empty environment and a limit on memory. The
student's file is executed; then given functions that it lacks or changed are restored. Builtin
functions are restricted, and an audit hook refuses what no assignment needs: other files,
processes, the network.

A process is not a sandbox: docs/teaching.md says what this guards against.
"""

import __future__

import ast
import builtins
import contextlib
import importlib
import importlib.util
import io
import linecache
import os
import re
import signal
import sys
import traceback
from types import ModuleType
from typing import Any

import numpy as np

PRINTED = 2_000  # characters that are kept of what a call prints
CPU_SECONDS = 900  # of a process whose grader is gone
REFUSED = {"socket", "subprocess", "ctypes", "signal"}  # families of audit events
REFUSED_OS = "fork forkpty exec posix_spawn spawn system startfile kill killpg remove rename rmdir"
REFUSED_OS += " mkdir link symlink chmod chown truncate utime"
BUILTINS = "eval exec compile open input breakpoint setattr delattr globals locals vars memoryview"
BUILTINS += " exit quit help copyright credits license"


class Refused(PermissionError):
    """Something that the student's code may not do."""


class Printed(io.StringIO):
    """Keeps the beginning of what is printed, and drops the rest."""

    def write(self, text: str) -> int:
        if (room := PRINTED - self.tell()) > 0:
            super().write(text[:room])
        return len(text)


class Answers:
    """The student's module, and the answers to calls of its functions."""

    def __init__(self, wire: ModuleType, task: dict[str, Any]) -> None:
        self.wire, self.name = wire, task["name"]
        self.tinygen: Any = None
        if task["tinygen"]:
            sys.path.insert(0, task["tinygen"])
            self.tinygen = importlib.import_module("tinygen")
            self.tinygen.autograd.backend.blas_threads()  # reads files: before the guard
            if task["by_hand"]:
                without_gradients()
        guard(task["readable"], task["unreadable"])
        self.module = ModuleType(self.name.removesuffix(".py"))
        sys.modules[self.module.__name__] = self.module
        self.module.__dict__["__builtins__"] = restricted(set(task["modules"]))
        lines = task["source"].split("\n")
        linecache.cache[self.name] = (0, None, [line + "\n" for line in lines], self.name)
        self.skipped: list[str] = []  # statements that failed
        self.execute(task["source"])
        exec(compile(task["given"], "given", "exec"), self.module.__dict__)

    def execute(self, source: str) -> None:
        """Execute statement by statement: one that fails is skipped, and the rest can be called."""
        for node in ast.parse(source).body:
            one = ast.Module([node], type_ignores=[])
            code = compile(one, self.name, "exec", flags=__future__.annotations.compiler_flag)
            try:
                with contextlib.redirect_stdout(Printed()):
                    exec(code, self.module.__dict__)
            except BaseException as error:
                e = self.explained(error)
                if not re.match(r"line \d+: ", e["message"]):  # from allowed.py, which told it
                    self.skipped.append(f"line {node.lineno}: {e['kind']}: {e['message']}")

    def answer(self, call: dict[str, Any]) -> dict[str, Any]:
        """The value of one call, or what went wrong."""
        printed = Printed()
        try:
            with contextlib.redirect_stdout(printed):
                value = self.called(call)
            return {"value": value, "printed": printed.getvalue()}
        except BaseException as error:
            return {"error": self.explained(error), "printed": printed.getvalue()}

    def called(self, call: dict[str, Any]) -> Any:
        function = self.module.__dict__.get(call["function"])
        if not callable(function):
            why = f" ({'; '.join(self.skipped[:3])})" if self.skipped else ""
            raise Refused(f"there is no function `{call['function']}` in {self.name}{why}")
        args = [self.argument(x) for x in call["args"]]
        options = {key: self.argument(x) for key, x in call["options"].items()}
        if call["mode"] == "arrays":
            return function(*args, **options)
        if call["mode"] == "tensors":
            wrapped = [self.wrapped(x, False) for x in args]
            return self.unwrapped(function(*wrapped, **options))
        cotangent, *inputs = [args[0], *(self.wrapped(x, True) for x in args[1:])]
        y = function(*inputs, **options)
        if not isinstance(y, self.tinygen.Tensor):
            raise Refused(
                f"`{call['function']}` returned {described(y)} in place of a Tensor: "
                "its gradient is lost"
            )
        xs = [x for x in inputs if isinstance(x, self.tinygen.Tensor)]
        if not y.requires_grad:
            return tuple(np.zeros(x.shape) for x in xs)
        if y.shape != np.shape(cotangent):
            expected = np.shape(cotangent)
            raise Refused(f"`{call['function']}` has shape {y.shape}, expected {expected}")
        cotangent = self.tinygen.Tensor(np.asarray(cotangent, y.dtype))
        grads = self.tinygen.grad(y, xs, cotangent=cotangent, allow_unreachable=True)
        return tuple(g.numpy() for g in grads)

    def argument(self, x: Any) -> Any:
        return self.module.__dict__[x.name] if isinstance(x, self.wire.Named) else x

    def wrapped(self, x: Any, requires_grad: bool) -> Any:
        if isinstance(x, (list, tuple)):
            return type(x)(self.wrapped(y, requires_grad) for y in x)
        floating = isinstance(x, np.ndarray) and x.dtype.kind == "f"
        return self.tinygen.Tensor(x, requires_grad=requires_grad) if floating else x

    def unwrapped(self, y: Any) -> Any:
        if isinstance(y, (list, tuple)):
            return tuple(self.unwrapped(z) for z in y)
        if isinstance(y, dict):
            return {key: self.unwrapped(z) for key, z in y.items()}
        return y.numpy() if isinstance(y, self.tinygen.Tensor) else y

    def explained(self, error: BaseException) -> dict[str, Any]:
        """The error, with its last line in the student's file; of the library nothing is shown."""
        frames = traceback.extract_tb(error.__traceback__)
        frame = next((f for f in reversed(frames) if f.filename == self.name), None)
        line = frame.lineno if frame else None
        text = linecache.getline(self.name, line).strip() if line else ""
        kind = next(k.__name__ for k in type(error).__mro__ if k.__module__ in HOME)
        where = {"line": line, "text": text[:200], "function": frame.name if frame else ""}
        return {"kind": kind, "message": str(error)[:500], **where}


HOME = {"builtins", "__main__", "numpy.linalg", "numpy.exceptions"}


def described(y: Any) -> str:
    return "None" if y is None else f"a {type(y).__name__}"


def without_gradients() -> None:
    """Take the backward pass, and the recording of operations, out of every module of tinygen."""

    class Never:  # in place of the variable that says whether operations are recorded
        get = set = reset = staticmethod(lambda *_: False)

    def refuse(*args: Any, **options: Any) -> Any:
        raise Refused("this function is to compute its gradient by hand, without tinygen's")

    graph = sys.modules["tinygen.autograd.graph"]
    taken = [(graph.walk_back, refuse), (graph.recording, Never)]
    for module in [m for n, m in sys.modules.items() if n.partition(".")[0] == "tinygen"]:
        for key, value in list(vars(module).items()):
            for old, new in taken:
                if value is old:
                    setattr(module, key, new)


def restricted(modules: set[str]) -> dict[str, Any]:
    """The builtin functions without those that reach files, other modules or private names."""
    usual = vars(builtins)

    def import_(name: str, *args: Any) -> Any:
        # NumPy's C code imports its parts by the function of its caller
        if name not in modules and not name.startswith("numpy."):
            raise Refused(f"`{name}` may not be imported")
        return usual["__import__"](name, *args)

    def getattr_(x: Any, name: str, *default: Any) -> Any:
        if isinstance(x, ModuleType) or name.startswith("_"):
            raise Refused(f"`getattr(…, {name!r})` may not be used")
        return getattr(x, name, *default)

    def refused(name: str) -> Any:
        def refuse(*args: Any, **options: Any) -> Any:
            raise Refused(f"`{name}` may not be used")

        return refuse

    refusing = {name: refused(name) for name in BUILTINS.split()}
    return usual | refusing | {"__import__": import_, "getattr": getattr_}


def guard(readable: list[str], unreadable: str) -> None:
    """Refuse files except those of Python's libraries, other processes, and the network."""
    refused_os = {f"os.{name}" for name in REFUSED_OS.split()}

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event == "open" and not isinstance(args[0], int):
            path, mode, flags = os.path.realpath(os.fsdecode(args[0])), args[1], args[2]
            writes = set(mode or "") & set("wax+") or (flags or 0) & (os.O_WRONLY | os.O_RDWR)
            if writes or path.startswith(unreadable) or not path.startswith(tuple(readable)):
                raise Refused(f"no file may be opened, not {args[0]!r}")
        elif event.partition(".")[0] in REFUSED or event in refused_os:
            raise Refused(f"`{event}` is refused: no other process, no network")

    sys.addaudithook(hook)


def limit(gigabytes: float) -> None:
    """Bound the memory and the processor time, where the system can do it."""
    try:
        import resource
    except ImportError:  # Windows
        return
    limits = {resource.RLIMIT_AS: int(gigabytes * 2**30), resource.RLIMIT_CPU: CPU_SECONDS}
    for kind, value in (limits | {resource.RLIMIT_CORE: 0}).items():
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(kind, (value, value))


def end_with_parent() -> None:
    """Ask Linux to end this process when the grader ends."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            importlib.import_module("ctypes").CDLL(None).prctl(
                1, signal.SIGKILL
            )  # PR_SET_PDEATHSIG


def main() -> None:
    stream, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    spec = importlib.util.spec_from_file_location("wire", sys.argv[1])
    assert spec and spec.loader
    wire = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(wire)
    task = wire.receive(stream)
    limit(task["gigabytes"])
    end_with_parent()
    student = Answers(wire, task)
    wire.send(answers, {"skipped": student.skipped})
    while True:
        try:
            call = wire.receive(stream)
        except EOFError:
            return
        answer = student.answer(call)
        try:
            wire.send(answers, answer)
        except (ValueError, MemoryError) as error:
            wire.send(answers, {"error": student.explained(error), "printed": ""})


if __name__ == "__main__":
    main()
