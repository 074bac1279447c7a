"""Whatever a student's code does, the grader goes on, and the rest of the file keeps its points."""

import os
from pathlib import Path

import numpy as np
import pytest
from small import small

from tinygen import assignments
from tinygen.assignments.grading import grade_one
from tinygen.assignments.source import changed
from tinygen.assignments.student import Limits, Student, StudentError

LIMITS = Limits(1.0, 1.0)

# what question 1 does, and a part of the sentence for the student
MISBEHAVING = {
    "loops": ("while True: pass", "did not return within 1 s"),
    "sleeps in C": ("return np.linalg.eig(np.ones((3000, 3000)))", "did not return within 1 s"),
    "exits": ("raise SystemExit(0)", "raised SystemExit"),
    "interrupts": ("raise KeyboardInterrupt", "raised KeyboardInterrupt"),
    "divides by zero": ("return g / 0 if False else 1 / 0", "ZeroDivisionError: division by zero"),
    "indexes wrongly": ("return g[17]", "IndexError"),
    "exhausts memory": ("return np.ones((1 << 14, 1 << 14, 8))", "more than 1 GB"),
    "recurses": ("return cube_backward(g, x)", "RecursionError"),
    "crashes": (
        "return np.lib.stride_tricks.as_strided(x, (1 << 40,), (8,)).sum()",
        "ended its own process",
    ),
    "returns nothing": ("pass", "the function returned None"),
    "returns text": ("return 'right'", "returned a str, not an array"),
    "returns a function": ("return lambda: g", "returned a function where an array is expected"),
    "returns objects": ("return np.array([{}, {}])", "returned a ndarray where an array"),
    "returns a huge array": ("return np.zeros((1 << 25) + 1)", "too large"),
    "returns a wrong shape": ("return g[:1]", "shape"),
    "returns complex numbers": ("return g * 1j", "returned a ndarray where"),
    "takes too few arguments": (None, "takes 1 positional argument but 2 were given"),
    "is a number": ("cube_backward = 3", "there is no function `cube_backward`"),
    "imports os": ("import os; os._exit(0)", "`os` may not be imported"),
    "imports the solution": (
        "import tinygen; return tinygen.grad",
        "`tinygen` may not be imported",
    ),
    "opens files": ("open('/etc/passwd')", "`open` may not be used"),
    "loads arrays": ("return np.load('hidden.npy')", "`numpy.load` may not be used"),
    "reads through numpy": ("return np.lib.npyio.os", "`numpy.lib.npyio` may not be used here"),
    "renames a module": ("m = np; return m.load('x')", "`np` is a module"),
    "evaluates text": ("return eval('1')", "`eval` may not be used"),
    "looks around": (
        "return ().__class__.__base__.__subclasses__()",
        "`.__subclasses__` may not be used",
    ),
    "looks at frames": ("return g.f_back", "`.f_back` may not be used"),
}


def definition(body):
    if body is None:
        return "def cube_backward(g):\n    return g\n"
    if body.startswith("cube_backward"):
        return body + "\n"
    return f"import numpy as np\n\n\ndef cube_backward(g, x):\n    {body}\n"


def graded(assignment, source, **options):
    return grade_one(assignment, source, seed=3, limits=LIMITS, **options)


def told(result):
    return "\n".join([*result.remarks, *(o.text for o in result.outcomes)])


def score_of(result, question):
    return sum(o.score for o in result.outcomes if o.check.question == question)


@pytest.mark.parametrize("name", MISBEHAVING)
def test_a_function_that_misbehaves_costs_its_own_points_and_is_named(name, tmp_path):
    if name in ("exhausts memory", "crashes") and os.name != "posix":
        pytest.skip("needs POSIX limits")
    body, words = MISBEHAVING[name]
    assignment = small(tmp_path)
    result = graded(assignment, changed(assignment.solution, definition(body)))
    assert (score_of(result, 1), score_of(result, 2)) == (0, 2)
    assert words in told(result)
    assert "Traceback" not in told(result)


# --- with nothing but the process between them ----------------------------------------------------

ESCAPE = "os = np.lib._npyio_impl.os; real = os.sys.modules['builtins']; "  # past the builtins
BY_PROCESS = {
    "exits": ("os._exit(0)", "ended its own process (exit code 0)"),
    "aborts": ("os.abort()", "ended its own process"),
    "forks": ("os.fork(); return g", "`os.fork` is refused"),
    "starts a program": (
        "real.__import__('subprocess').run('true')",
        "`subprocess.Popen` is refused",
    ),
    "opens the network": ("real.__import__('socket').socket()", "`socket.__new__` is refused"),
    "kills": ("os.kill(os.getppid(), 9)", "`os.kill` is refused"),
    "reads a file": ("real.open('/etc/passwd')", "no file may be opened"),
    "reads the hidden tests": ("real.open('FOLDER/hidden.py')", "no file may be opened"),
    "reads a solution beside the library": (
        "real.open('KIT/1_gradients/master.py')",
        "no file may be opened",
    ),
    "writes beside a library": ("real.open(np.__file__ + '.x', 'w')", "no file may be opened"),
    "writes a file": ("real.open('results.json', 'w')", "no file may be opened"),
    "loads C": ("real.__import__('ctypes').CDLL(None)", "is refused"),
    "imports the library": ("import tinygen; return tinygen.grad", "`tinygen` may not be imported"),
    "forges an answer": (
        "\n    for fd in range(3, 20):\n        try: os.write(fd, bytes(99))\n"
        "        except OSError: pass\n    return g",
        "gave an answer that can't be read",
    ),
    "forges an answer and loops": (
        "\n    for fd in range(3, 20):\n"
        "        try: os.write(fd, bytes(15) + b'\\x09' + b'[\"p\",null]')\n"
        "        except OSError: pass\n    while True: pass",
        "cube_backward` ",
    ),
}


@pytest.fixture
def nothing_refused(monkeypatch):
    monkeypatch.setattr(
        "tinygen.assignments.student.without_violations", lambda source, *_: (source, [])
    )


@pytest.mark.skipif(os.name != "posix", reason="names of POSIX")
@pytest.mark.parametrize("name", BY_PROCESS)
def test_what_no_syntax_check_stopped_is_stopped_by_the_process(name, tmp_path, nothing_refused):
    body, words = BY_PROCESS[name]
    assignment = small(tmp_path)
    kit = Path(assignments.__file__).parent
    body = body.replace("FOLDER", str(tmp_path)).replace("KIT", str(kit))
    code = definition(ESCAPE + body)
    result = graded(assignment, changed(assignment.solution, code))
    assert (score_of(result, 1), score_of(result, 2)) == (0, 2)
    assert words in told(result)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "hidden.py",
        "master.py",
        "visible.py",
    ]


def test_patches_of_numpy_and_of_the_checker_change_nothing_but_the_students_own(
    tmp_path, nothing_refused
):
    patch = (
        "import numpy as np\n\n\n"
        "def cube_backward(g, x):\n    return g\n\n\n"
        "np.allclose = np.array_equal = lambda *_, **__: True\n"
        "np.ndarray.__dict__\n"
        "np.random.default_rng = lambda *_: None\n"
    )
    assignment = small(tmp_path)
    result = graded(assignment, changed(assignment.solution, patch))
    assert (score_of(result, 1), score_of(result, 2)) == (0, 2)
    assert np.allclose(1, 1) and not np.allclose(1, 2)


def test_the_given_functions_are_those_that_were_handed_out(tmp_path):
    assignment = small(tmp_path)
    source = assignment.solution + "\n\ndef cube(x):\n    return 0 * x\n\n\nSIZE = 9\n"
    source = changed(source, "def cube_backward(g, x):\n    return g * SIZE * (cube(x) / x)\n")
    assert graded(assignment, source).score == 6


def test_prints_are_kept_up_to_a_limit_and_shown_with_the_failing_check(tmp_path):
    assignment = small(tmp_path)
    body = "print('x is', x.shape)\n    for _ in range(20000): print('-' * 50)\n    return g"
    result = graded(assignment, changed(assignment.solution, definition(body)))
    text = result.outcomes[0].text
    assert "It printed:\nx is (3,)" in text
    assert len(text) < 2000


def test_a_file_that_is_not_python_is_named_by_its_line(tmp_path):
    wrong = graded(small(tmp_path), "def cube_backward(g, x)\n    return g\n")
    assert wrong.score == 0
    assert "small.py is not Python: line 1: expected ':'" in told(wrong)


def test_a_file_that_does_not_load_is_named(tmp_path):
    assignment = small(tmp_path)
    result = graded(assignment, assignment.solution + "\nwhile True:\n    pass\n")
    assert result.score == 0
    assert result.remarks == ["small.py can't be executed: it did not return within 2 s"]


SCRATCH = {
    "x = undefined / 2": "NameError: name 'undefined' is not defined",
    "assert total(np.ones(3)) == 4": "AssertionError",
    "import matplotlib.pyplot as plt": "`matplotlib.pyplot` may not be imported",
    "import pytest": "`pytest` may not be imported",
    "class L(ABC): pass": "NameError",
    "open('x')": "",
    "cube_backward(1, 2, 3); print(undefined); total(4)": "",
    "if __name__ == '__main__':\n    open('x')": "",
    "def plot(ax: plt.Axes):\n    plt.plot()": "",
    "from collections.abc import Callable\n\ndef h(f: Callable): pass": "",
    "math = 3": "",
    "# \u2028 and \x0c": "",
}


@pytest.mark.parametrize("code", SCRATCH)
def test_what_fails_outside_the_functions_costs_nothing_and_is_told(code, tmp_path):
    assignment = small(tmp_path)
    result = graded(assignment, f"{assignment.solution}\n{code}\n")
    assert result.score == 6
    assert bool(result.remarks) == bool(SCRATCH[code])
    assert all(SCRATCH[code] in remark for remark in result.remarks)


def test_a_future_import_may_follow_a_docstring(tmp_path):
    assignment = small(tmp_path)
    head = '"""Mine."""\nfrom __future__ import annotations\n'
    assert graded(assignment, head + assignment.solution).score == 6


def test_a_given_function_can_be_an_argument(tmp_path):
    assignment = small(tmp_path)
    source = assignment.solution + "\n\ndef twice(f, x):\n    return f(f(x))\n"
    with Student(assignment, source, LIMITS) as student:
        assert student.functions.twice(assignment.reference(False).cube, 2.0) == 512


# --- gradients of the library's -------------------------------------------------------------------

WITH_TINYGEN = """
import numpy as np
import tinygen as tg


def cube_backward(g, x):
    x = tg.Tensor(x, requires_grad=True)
    return tg.grad(x**3, x, cotangent=tg.Tensor(g)).numpy()
"""


def test_a_function_of_arrays_finds_no_gradients_in_tinygen(tmp_path):
    assignment = small(tmp_path, "numpy, tinygen")
    result = graded(assignment, changed(assignment.solution, WITH_TINYGEN))
    assert (score_of(result, 1), score_of(result, 2)) == (0, 2)
    assert "this function is to compute its gradient by hand" in told(result)


def test_nothing_is_recorded_by_hand(tmp_path, nothing_refused):
    assignment = small(tmp_path, "numpy, tinygen")
    code = "def total(x):\n    return len((tg.Tensor(x, requires_grad=True) ** 3)._inputs)\n"
    with Student(assignment, "import tinygen as tg\n" + code, LIMITS) as student:
        assert student.functions.total(np.ones(2)) == 0


def test_a_result_of_another_shape_is_not_differentiated(tmp_path):
    assignment = small(tmp_path, "numpy, tinygen")
    code = "import tinygen as tg\n\n\ndef f(x):\n    return tg.reshape(x, (3, 1))\n"
    wrong = pytest.raises(StudentError, match=r"`f` has shape \(3, 1\), expected \(3,\)")
    with Student(assignment, code, LIMITS) as student, wrong:
        student.functions.gradients.f(np.ones(3), np.ones(3))


def test_a_default_argument_or_an_alias_does_not_keep_the_gradient(tmp_path):
    kept = WITH_TINYGEN.replace("(g, x)", "(g, x, grad=tg.grad, T=tg.Tensor)").replace(
        "tg.grad(x", "grad(x"
    )
    backward = WITH_TINYGEN.replace("return tg.grad", "tg.sum(x**3 * g).backward()\n    return x")
    backward = backward[: backward.index("return x") + 8] + ".grad.numpy()\n"
    assignment = small(tmp_path, "numpy, tinygen")
    for source in (kept, backward):
        source = "import tinygen as tg\n" + changed(assignment.solution, source)
        result = graded(assignment, source)
        assert score_of(result, 1) == 0
        assert "by hand" in told(result)


def test_a_tensor_in_place_of_an_array_is_told_so(tmp_path):
    assignment = small(tmp_path, "numpy, tinygen")
    source = "import tinygen as tg\n\n\ndef total(x):\n    return tg.sum(tg.Tensor(x))\n"
    result = graded(assignment, "import tinygen as tg\n" + changed(assignment.solution, source))
    assert score_of(result, 2) == 0
    assert "`total` returned a Tensor where an array is expected" in told(result)


def test_the_engine_without_its_answers_may_be_used(tmp_path):
    assignment = small(tmp_path, "numpy, tinygen")
    for name in ("vae", "diffusion", "assignments", "testing", "autograd", "gradcheck"):
        source = f"import tinygen as tg\n\n\ndef total(x):\n    return tg.{name}\n"
        result = graded(assignment, changed(assignment.solution, source))
        assert f"`tinygen.{name}` may not be used here" in told(result)
        assert score_of(result, 2) == 0
