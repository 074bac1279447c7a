"""The process in which a student's code runs: it answers calls with values, and gives no verdicts.

It is started as a script, in an empty folder, with an empty environment and limits on memory. The
student's file is executed, then the given functions are executed over it, so that they are as
handed out. An audit hook refuses what no assignment needs: other files, processes, the network.

A process is not a sandbox: docs/teaching.md says what this guards against.
"""

import contextlib
import importlib
import importlib.util
import io
import linecache
import os
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
            self.tinygen.autograd.backend.blas_threads()  # reads files and loads C: before the guard
            if task["by_hand"]:
                without_gradients()
        guard(task["readable"], task["unreadable"], bool(task["tinygen"]))
        self.module = ModuleType(self.name.removesuffix(".py"))
        sys.modules[self.module.__name__] = self.module
        self.failure: dict[str, Any] | None = None
        linecache.cache[self.name] = (0, None, task["source"].splitlines(True), self.name)
        try:
            with contextlib.redirect_stdout(Printed()):
                exec(compile(task["source"], self.name, "exec"), self.module.__dict__)
        except BaseException as error:
            self.failure = self.explained(error)
        if self.failure is None:
            exec(compile(task["given"], "given", "exec"), self.module.__dict__)

    def answer(self, call: dict[str, Any]) -> dict[str, Any]:
        """The value of one call, or what went wrong."""
        if self.failure:
            return {"error": self.failure, "printed": "", "loading": True}
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
            raise Refused(f"there is no function `{call['function']}` in {self.name}")
        args = [self.argument(x) for x in call["args"]]
        options = {key: self.argument(x) for key, x in call["options"].items()}
        if call["mode"] == "arrays":
            return function(*args, **options)
        if call["mode"] == "tensors":
            wrapped = [self.wrapped(x, False) for x in args]
            return self.unwrapped(function(*wrapped, **options))
        cotangent, *inputs = [self.wrapped(x, k > 0) for k, x in enumerate(args)]
        y = function(*inputs, **options)
        if not isinstance(y, self.tinygen.Tensor):
            raise Refused(
                f"`{call['function']}` returned {described(y)} in place of a Tensor: "
                "its gradient is lost"
            )
        xs = [x for x in inputs if isinstance(x, self.tinygen.Tensor)]
        if not y.requires_grad:
            return tuple(np.zeros(x.shape) for x in xs)
        cotangent = self.tinygen.Tensor(cotangent.numpy().astype(y.dtype).reshape(y.shape))
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
        line = next((f.lineno for f in reversed(frames) if f.filename == self.name), None)
        if isinstance(error, SyntaxError):
            line = error.lineno
        text = linecache.getline(self.name, line).strip() if line else ""
        kind = next(k.__name__ for k in type(error).__mro__ if k.__module__ in HOME)
        message = error.msg if isinstance(error, SyntaxError) else str(error)
        return {"kind": kind, "message": message[:500], "line": line, "text": text[:200]}


HOME = {"builtins", "__main__", "numpy.linalg", "numpy.exceptions"}


def described(y: Any) -> str:
    return "None" if y is None else f"a {type(y).__name__}"


def without_gradients() -> None:
    """Take the backward pass out of every module of tinygen that holds it."""

    def refuse(*args: Any, **options: Any) -> Any:
        raise Refused("this function is to compute its gradient by hand, without tinygen's")

    taken = sys.modules["tinygen.autograd.graph"].walk_back
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "tinygen":
            for key, value in list(vars(module).items()):
                if value is taken:
                    setattr(module, key, refuse)


def guard(readable: list[str], unreadable: str, tinygen: bool) -> None:
    """Refuse files except those of Python's libraries, other processes, and the network."""
    refused_os = {f"os.{name}" for name in REFUSED_OS.split()}

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event == "open" and not isinstance(args[0], int):
            path, mode, flags = os.path.realpath(os.fsdecode(args[0])), args[1], args[2]
            writes = set(mode or "") & set("wax+") or (flags or 0) & (os.O_WRONLY | os.O_RDWR)
            if writes or path.startswith(unreadable) or not path.startswith(tuple(readable)):
                raise Refused(f"no file may be opened, not {args[0]!r}")
        elif event == "import" and args[0].partition(".")[0] == "tinygen" and not tinygen:
            raise Refused("`tinygen` may not be imported")
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
    student = Answers(wire, task)
    wire.send(answers, "ready")
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
