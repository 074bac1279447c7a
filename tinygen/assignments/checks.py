r"""The language of an assignment's tests.

    @check(1, "the gradients of a dense layer", points=3)
    def dense_gradients(student, reference, rng):
        x, w, b = rng.normal(size=(5, 3)), rng.normal(size=(3, 4)), rng.normal(size=4)
        gradient(student.dense_backward, reference.dense, x, w, b)

A check has parts, one for each `value`, each `require`, and each argument of a `gradient`; it gives
the share of its points that they pass. An error in the student's code ends the check with 0 points.
"""

import contextvars
import zlib
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from tinygen._types import ArrayLike
from tinygen.assignments.source import Assignment
from tinygen.assignments.student import NotWritten, Student, StudentError
from tinygen.testing import Mismatch, compare, gradcheck

__all__ = ["check", "gradient", "require", "value"]

Test = Callable[[Any, Any, np.random.Generator], None]
SHOWN = 3  # failures that are told of one check


class Check(NamedTuple):
    """A scored test of one question."""

    question: int
    name: str
    points: float
    test: Test
    hidden: bool = False


class Outcome(NamedTuple):
    """What a check found: its score, and what to tell the student."""

    check: Check
    score: float
    status: str  # "passed", "failed", "blank"
    messages: list[str]
    printed: str
    seconds: float  # in the student's functions
    seed: int

    @property
    def text(self) -> str:
        """The messages, and what the student's code printed."""
        printed = [f"It printed:\n{self.printed.rstrip()}"] if self.printed else []
        return "\n".join([*self.messages, *printed])


class _Parts:
    """What the check that now runs has found so far."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng, self.passed, self.failed = rng, 0, 0
        self.messages: list[str] = []

    def fail(self, message: str, count: int = 1) -> None:
        self.failed += count
        self.messages.append(message)


_parts: contextvars.ContextVar[_Parts] = contextvars.ContextVar("parts")


def check(question: int, name: str, points: float) -> Callable[[Test], Check]:
    """Make a function `(student, reference, rng)` a test of a question, worth `points`.

    `reference` has the functions of the assignment's file: in hidden tests with the solution, in
    visible tests only those that are given. `rng` has a seed of its own for each check.
    """
    return lambda test: Check(question, name, points, test)


def gradient(
    backward: Any, forward: Callable[..., Any], *inputs: ArrayLike, **options: Any
) -> None:
    """The student's gradient is that of `forward`: `gradcheck`, with one part for each argument.

    `backward` is called with the output's cotangent and the inputs: it is `student.f_backward`, by
    hand, or `student.gradients.f`, which differentiates the student's f with `tinygen.grad`.
    """
    parts = _parts.get()
    count = sum(np.asarray(x).dtype.kind == "f" for x in inputs)
    name = backward.__name__
    options = {"every": True, "name": name, "rng": parts.rng} | options

    calls: list[Any] = []

    def called(*args: Any, **keywords: Any) -> Any:
        result = backward(*args, **keywords)
        calls.append((args, keywords, result))
        arrays = list(result) if isinstance(result, (tuple, list)) else [result]
        if len(arrays) not in (len(inputs), count):
            got = "None" if result is None else f"{len(arrays)} of them"
            problem = f"expected {count} gradients, one for each array, got {got}"
            raise StudentError(f"`{name}`: {problem}")
        for array in arrays:
            if array is not None and np.asarray(array).dtype.kind not in "biuf":
                raise StudentError(f"`{name}` returned a {type(array).__name__}, not an array")
        return result

    report = gradcheck(forward, *inputs, vjp=called, **options)
    wrong = {finding.argument for finding in report.findings}
    failed = count if "" in wrong else len(wrong)
    parts.passed += count - failed
    parts.failed += failed
    parts.messages += [_for_students(str(finding)) for finding in report.findings]
    if report.findings and calls and _ignores_cotangent(backward, *calls[0]):
        parts.messages.insert(
            0, f"{name}: the result does not depend on `g`, the output's gradient"
        )


def _ignores_cotangent(backward: Any, args: Any, keywords: Any, result: Any) -> bool:
    g = args[0]
    doubled = tuple(2 * a for a in g) if isinstance(g, tuple) else 2 * g
    again = backward(doubled, *args[1:], **keywords)
    pairs = zip(*(x if isinstance(x, (tuple, list)) else [x] for x in (result, again)), strict=True)
    return all(a is not None and np.any(a) and np.array_equal(a, b) for a, b in pairs)


def value(
    found: Any,
    expected: Any,
    name: str,
    mistakes: Mapping[str, ArrayLike] = {},
    *,
    rtol: float = 1e-7,
    atol: float = 1e-12,
) -> None:
    """`found` is `expected`, within rounding. If it equals a mistake's value instead, that is said.

    `mistakes` maps a sentence for the student to the value that this mistake gives.
    """
    parts = _parts.get()
    if problem := _unlike(found, expected):
        return parts.fail(f"{name}: {problem}")
    for sentence, wrong in mistakes.items():
        if _close(found, wrong, rtol, atol) and not _close(found, expected, rtol, atol):
            return parts.fail(f"{name}: {sentence}")
    try:
        compare(found, expected, name=name, rtol=rtol, atol=atol)
    except Mismatch as error:
        return parts.fail(str(error))
    parts.passed += 1


def require(condition: Any, otherwise: str) -> None:
    """A property holds; if not, `otherwise` is what the student is told."""
    if condition:
        _parts.get().passed += 1
    else:
        _parts.get().fail(otherwise)


def _unlike(found: Any, expected: Any) -> str:
    """Why `found` can't be compared with `expected`."""
    try:
        array = np.asarray(found)
    except ValueError:
        array = np.asarray(None)
    if found is None:
        return "expected a value, got None. Is there a `return`?"
    if isinstance(found, tuple) or array.dtype.kind not in "biuf":
        return f"expected an array of shape {np.shape(expected)}, got a {type(found).__name__}"
    return ""


def _close(a: Any, b: Any, rtol: float, atol: float) -> bool:
    return np.shape(a) == np.shape(b) and bool(
        np.allclose(a, b, rtol=rtol, atol=atol, equal_nan=True)
    )


def _for_students(message: str) -> str:
    """The checker's words, without its internals."""
    return message.replace("the vjp", "the function").replace("vjp", "gradient")


def load(assignment: Assignment, hidden: bool) -> list[Check]:
    """The checks of visible.py or hidden.py, in order."""
    source = assignment.tests(hidden)
    names: dict[str, Any] = {"__name__": "tests"}
    path = assignment.folder / ("hidden.py" if hidden else "visible.py")
    exec(compile(source, str(path), "exec"), names)
    return [c._replace(hidden=hidden) for c in names.values() if isinstance(c, Check)]


def run(check: Check, student: Student, reference: ModuleType, seed: int) -> Outcome:
    """Run one check. Its random numbers depend on the seed and on its own name only."""
    own = zlib.crc32(f"{check.question} {check.name}".encode())
    rng = np.random.default_rng([seed, own])
    parts = _Parts(rng)
    token = _parts.set(parts)
    student.printed, student.seconds = [], 0.0
    status = "failed"
    try:
        check.test(student.functions, reference, rng)
    except NotWritten as error:
        status, parts.messages, parts.passed, parts.failed = "blank", [str(error)], 0, 1
    except StudentError as error:
        parts.messages, parts.passed, parts.failed = [*parts.messages, str(error)], 0, 1
    except Exception as error:  # the test stumbled over what the student's function returned
        sentence = f"the result can't be used: {type(error).__name__}: {error}"
        parts.messages, parts.passed, parts.failed = [*parts.messages, sentence], 0, 1
    finally:
        _parts.reset(token)
    if not parts.passed + parts.failed:
        parts.fail("nothing was returned that could be checked")
    total = parts.passed + parts.failed
    score = round(check.points * parts.passed / total, 2)
    different = list(dict.fromkeys(parts.messages))
    messages = different[:SHOWN]
    if len(different) > SHOWN:
        messages.append(f"… and {len(different) - SHOWN} more")
    status = "passed" if not parts.failed else status
    printed = "".join(student.printed)[:1000]
    return Outcome(check, score, status, messages, printed, student.seconds, seed)
