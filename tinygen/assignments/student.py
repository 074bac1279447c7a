"""A student's functions, called from the grader: arrays go to another process and come back.

In a test, `student.f(x)` calls f with arrays, in a process without tinygen's gradients;
`student.tensors.f(x)` calls it with Tensors, `student.gradients.f(g, x)` differentiates it with
`tinygen.grad`, both in a second process. Whatever happens there becomes a StudentError with a
sentence for the student.
"""

import contextlib
import math
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np

import tinygen
from tinygen.assignments import wire
from tinygen.assignments.allowed import modules_for, to_restore, without_violations
from tinygen.assignments.source import Assignment

HERE = Path(__file__).parent
PARSING = threading.Lock()  # in Python 3.11 two threads may not parse at once (gh-106905)
PATIENCE = 4  # limits that a call may take while other processes keep it from computing


class Limits(NamedTuple):
    """Of a student's process: the time of one call, and the memory."""

    seconds: float = 10.0
    gigabytes: float = 2.0

    def __str__(self) -> str:
        enforced = "" if sys.platform == "linux" else ", which this system may not enforce"
        return f"{self.seconds:g} s a call, {self.gigabytes:g} GB of memory{enforced}"


LIMITS = Limits()


class StudentError(Exception):
    """What went wrong in the student's code, as a sentence."""


class NotWritten(StudentError):
    """The function is still blank."""


class _Failure(Exception):
    """What a process did in place of an answer."""


class _Stuck(_Failure):
    """It did not answer in time."""


class Student:
    """The functions of a submission."""

    def __init__(self, assignment: Assignment, source: str, limits: Limits = LIMITS) -> None:
        self.assignment, self.limits = assignment, limits
        self.printed: list[str] = []
        self.seconds = 0.0  # spent in the student's functions
        self.stuck: dict[str, str] = {}  # functions that did not return, and what to say
        self.remarks: list[str] = []  # on the whole file
        self.broken = ""  # why none of it can be called
        try:
            with PARSING:
                given, uses = assignment.given, assignment.uses
                self.source, violations = without_violations(source, given, uses)
                self.given = to_restore(source, given)
            self.remarks += [f"Not allowed: {violation}" for violation in violations]
        except SyntaxError as error:
            text = (error.text or "").strip()
            self.broken = (
                f"{assignment.file} is not Python: line {error.lineno}: {error.msg}: {text}"
            )
        except (ValueError, RecursionError, MemoryError) as error:  # null bytes, deep nesting
            self.broken = f"{assignment.file} can't be read: {error}"
        self._arrays, self._tensors = _Process(self, True), _Process(self, False)
        self.functions = _Functions(self._arrays, "arrays")
        self.functions.tensors = _Functions(self._tensors, "tensors")
        self.functions.gradients = _Functions(self._tensors, "gradients")

    def close(self) -> None:
        """End the processes."""
        self._arrays.end()
        self._tensors.end()

    def __enter__(self) -> "Student":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Functions:
    tensors: "_Functions"
    gradients: "_Functions"

    def __init__(self, process: "_Process", mode: str) -> None:
        self._process, self._mode = process, mode

    def __getattr__(self, name: str) -> "_Function":
        return _Function(self._process, self._mode, name)


class _Function:
    """One function of the student's, to be called with arrays."""

    def __init__(self, process: "_Process", mode: str, name: str) -> None:
        self.process, self.mode, self.__name__ = process, mode, name

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self.process.call(self.mode, self.__name__, args, options)


class _Process:
    """The child process: started at the first call, and again after one that ended it."""

    def __init__(self, student: Student, by_hand: bool) -> None:
        self.student, self.by_hand = student, by_hand
        self.child: subprocess.Popen[bytes] | None = None
        self.folder: tempfile.TemporaryDirectory[str] | None = None
        self.replies: queue.Queue[Any] = queue.Queue(2)  # nothing unasked can fill the memory

    def call(self, mode: str, name: str, args: Any, options: Any) -> Any:
        student = self.student
        if not student.broken and self.child is None:
            self.start()
        if student.broken:
            raise StudentError(student.broken)
        if name in student.stuck:
            raise StudentError(f"{student.stuck[name]} It was not called again.")
        request = {
            "mode": mode,
            "function": name,
            "args": [_sendable(x) for x in args],
            "options": {key: _sendable(x) for key, x in options.items()},
        }
        began = time.perf_counter()
        try:
            reply = self.exchange(request, student.limits.seconds)
        except _Stuck as failure:
            student.stuck[name] = f"`{name}` {failure}."
            hint = "Is there an endless loop, or numerical differentiation?"
            raise StudentError(f"{student.stuck[name]} {hint}") from None
        except _Failure as failure:
            raise StudentError(f"`{name}` {failure}") from None
        finally:
            student.seconds += time.perf_counter() - began
        if reply.get("printed"):
            student.printed.append(str(reply["printed"]))
        if error := reply.get("error"):
            raise _explained(name, error, student)
        return _received(name, reply.get("value"))

    def start(self) -> None:
        """Start the child; it loads the student's file."""
        student = self.student
        self.folder = tempfile.TemporaryDirectory(prefix="tinygen-", ignore_cleanup_errors=True)
        command = [sys.executable, "-I", "-B", str(HERE / "child.py"), str(HERE / "wire.py")]
        kept = ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
        environment = {key: os.environ[key] for key in kept if key in os.environ}
        for library in ("OPENBLAS", "OMP", "MKL", "VECLIB_MAXIMUM"):
            environment[f"{library}_NUM_THREADS"] = "1"
        # one thread; freed memory is kept, as tinygen would do by calling C, which is refused here
        environment |= {"TINYGEN_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": str(1 << 30)}
        environment |= {"MALLOC_TRIM_THRESHOLD_": str((1 << 31) - 1)}
        self.child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self.folder.name,
            env=environment,
            start_new_session=os.name == "posix",
        )
        self.replies = queue.Queue(2)
        threading.Thread(target=_listen, args=(self.child, self.replies), daemon=True).start()
        packages = str(Path(tinygen.__file__).parent.parent)
        task = {
            "name": student.assignment.file,
            "source": student.source,
            "given": student.given,
            "modules": sorted(modules_for(student.assignment.uses)),
            "tinygen": packages if "tinygen" in student.assignment.uses else "",
            "by_hand": self.by_hand,
            "gigabytes": student.limits.gigabytes,
            "readable": _libraries(),
            "unreadable": str(HERE.resolve()),
        }
        try:
            loaded = self.exchange(task, 2 * student.limits.seconds)
        except _Failure as failure:
            student.broken = f"{student.assignment.file} can't be executed: it {failure}"
            return
        remarks = [f"Skipped: {str(text)[:300]}" for text in loaded["skipped"][:20]]
        student.remarks += [text for text in remarks if text not in student.remarks]

    def exchange(self, request: Any, seconds: float) -> Any:
        """Send, and wait for the reply; on anything else, end the process and say what happened."""
        child = self.child
        assert child and child.stdin
        watchdog = threading.Timer(PATIENCE * seconds + 1, child.kill)  # the child may not read
        watchdog.start()
        began = time.monotonic()
        try:
            used = _computed(child.pid)
            wire.send(child.stdin, request)
            reply = self.wait(seconds, used)
        except (queue.Empty, OSError) as error:
            reply = error
        finally:
            watchdog.cancel()
        if not isinstance(reply, Exception):
            return reply
        late = time.monotonic() - began >= seconds
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(0 if late else 0.2)
        self.end()
        if late:
            raise _Stuck(f"did not return within {seconds:g} s")
        if isinstance(reply, ValueError):
            raise _Failure(f"gave an answer that can't be read: {reply}")
        raise _Failure(f"ended its own process (exit code {child.returncode})")

    def wait(self, seconds: float, used: float) -> Any:
        """The next reply. On Linux it is late only when the child had the processor for so long."""
        assert self.child
        for chance in range(PATIENCE):
            try:
                return self.replies.get(timeout=seconds)
            except queue.Empty:
                used_up = used + seconds / 2
                if chance == PATIENCE - 1 or _computed(self.child.pid) >= used_up:
                    raise
        raise queue.Empty

    def end(self) -> None:
        child, self.child = self.child, None
        if child is not None:
            with contextlib.suppress(OSError):
                os.killpg(child.pid, signal.SIGKILL) if os.name == "posix" else child.kill()
            child.wait()
            for stream in (child.stdin, child.stdout):
                with contextlib.suppress(OSError):
                    assert stream
                    stream.close()
        while not self.replies.empty():  # lets the listener go on, and end
            self.replies.get_nowait()
        if self.folder is not None:
            self.folder.cleanup()


def _computed(pid: int) -> float:
    """The processor time of a process on Linux, in seconds; elsewhere without limit."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError, IndexError):
        return math.inf


def _listen(child: "subprocess.Popen[bytes]", replies: "queue.Queue[Any]") -> None:
    """Put each reply, and then why there is no other, into the queue."""
    assert child.stdout
    try:
        while True:
            replies.put(wire.receive(child.stdout))
    except Exception as error:
        replies.put(error)


def _libraries() -> list[str]:
    """Folders whose files the student's process may read: those of Python and its packages."""
    places = [sys.prefix, sys.base_prefix, sys.exec_prefix, str(Path(np.__file__).parent.parent)]
    places += [str(Path(tinygen.__file__).parent), "/usr/lib"]
    return sorted({os.path.realpath(place) + os.sep for place in places})


def _sendable(x: Any) -> Any:
    return wire.Named(x.__name__) if isinstance(x, FunctionType) else x


def _explained(name: str, error: Any, student: Student) -> StudentError:
    kind, message = str(error["kind"]), str(error["message"])
    place = f" at line {error['line']}" if error["line"] else ""
    if kind == "NotImplementedError":
        return NotWritten(f"`{error['function'] or name}` is not written yet{place}")
    if kind == "PermissionError" and re.match(r"line \d+: ", message):  # from allowed.py
        return StudentError(f"`{name}` is not run: {message}")
    place += f": `{error['text']}`" if error["text"] else ""
    if kind == "Refused":
        return StudentError(message + place)
    if kind == "MemoryError":
        return StudentError(f"`{name}` needed more than {student.limits.gigabytes:g} GB{place}")
    what = f"{kind}: {message}" if message else kind
    return StudentError(f"`{name}` raised {what}{place}")


def _received(name: str, value: Any) -> Any:
    """The value, if no part of it is of a type that can't pass."""

    def parts(x: Any) -> Iterator[Any]:
        yield x
        for y in x.values() if isinstance(x, dict) else x if isinstance(x, (list, tuple)) else ():
            if not isinstance(x, wire.Unsendable):
                yield from parts(y)

    for part in parts(value):
        if isinstance(part, wire.Unsendable):
            raise StudentError(f"`{name}` returned a {part.kind} where an array is expected")
    return value
