"""What a submission may use: the ordinary passes, and each way round the rule is refused."""

import pytest

from tinygen.assignments.allowed import to_restore, without_violations

HEAD = "import numpy as np\nimport math\n"

ORDINARY = [
    "def f(x):\n    return np.linalg.norm(x) + np.random.default_rng(0).normal() + math.pi",
    "from numpy.lib.stride_tricks import sliding_window_view as view\nv = view",
    "def f(x):\n    return np.lib.stride_tricks.sliding_window_view(x, 2)",
    "from numpy import exp, newaxis\ny = exp(1)",
    "import numpy.linalg as la\ny = la.norm",
    "import numpy\nx = numpy.ones(3)",
    "from dataclasses import dataclass\n@dataclass\nclass A:\n    x: int = 0",
    "from __future__ import annotations",
    "class A:\n    def __init__(self):\n        super().__init__()\n    def __add__(self, other):\n"
    "        return self.__class__()",
    "class A:\n    def save(self):\n        self.load = 1\na = A().save()",
    "x = [n for n in range(3)]\nassert isinstance(x, list)",
]

REFUSED = {
    "import os": "`os` may not be imported",
    "import numpy.f2py": "`numpy.f2py` may not be imported",
    "from numpy import load": "`numpy.load` may not be used here",
    "from numpy import *": "`numpy.*` may not be used here",
    "from . import x": "only whole modules may be imported",
    "np.testing.assert_equal(1, 1)": "`numpy.testing` may not be used here",
    "np.ctypeslib.load_library('c', '.')": "`numpy.ctypeslib` may not be used here",
    "m = np": "`np` is a module",
    "f(np)": "`np` is a module",
    "f(np.linalg)": "`np.linalg` is a module",
    "math.sys": "`math.sys` may not be used here",
    "np.ones(3).tofile('x')": "`.tofile` may not be used",
    "np.ones(3).ctypes.data": "`.ctypes` may not be used",
    "__import__('os')": "`__import__` may not be used",
    "__builtins__['open']": "`__builtins__` may not be used",
    "x.__class__.__base__": "`.__base__` may not be used",
    "x.__globals__": "`.__globals__` may not be used",
    "x.gi_frame.f_back": "may not be used",
    "x._inputs": "`._inputs` may not be used",
    "q = lambda: np.lib": "`np.lib` is a module",
    "math = 1": "`math` is a module: choose another name",
    "np += x": "`np` is a module: choose another name",
    "from typing import get_type_hints": "`typing.get_type_hints` may not be used here",
    "from numpy import lib": "`numpy.lib` may not be used here",
    "__name__ = '__main__'": "`__name__` may not be set",
    "import tinygen": "`tinygen` may not be imported",
}


@pytest.mark.parametrize("code", ORDINARY)
def test_ordinary_code_is_left_as_it_is(code):
    source = f"{HEAD}{code}\n"
    assert without_violations(source, "", {"numpy"}) == (source, [])


@pytest.mark.parametrize("code", REFUSED)
@pytest.mark.parametrize("place", ["module", "function", "one line", "method", "lambda"])
def test_each_way_round_is_refused_with_its_line(code, place):
    if place in ("lambda",) and ("import " in code or "= " in code):
        pytest.skip("no expression")
    if place != "module" and "*" in code:
        pytest.skip("Python refuses this itself")
    wrapped = {
        "module": f"x = f = 1\n{code}",
        "function": f"def f(x):\n    {code}",
        "one line": f"\ndef f(x): {code}",
        "method": f"class A: # 3\n    def f(x): {code}",
        "lambda": f"\nf = lambda x: {code}",
    }[place]
    source, violations = without_violations(f"{HEAD}{wrapped}\n", "", {"numpy"})
    assert [v.line for v in violations] == [4]
    assert REFUSED[code] in violations[0].sentence
    assert len(source.splitlines()) == len(f"{HEAD}{wrapped}\n".splitlines())
    compile(source, "x", "exec")
    assert code not in source.replace(str(violations[0]), "")


def test_with_tinygen_the_engine_may_be_used_and_the_families_may_not():
    good = "import tinygen as tg\nfrom tinygen import optim, nn\n"
    good += "x = tg.exp(1)\ny = optim.Adam, tg.nn.Dense\n"
    assert without_violations(good, "", {"numpy", "tinygen"})[1] == []
    for name in ("vae", "assignments", "testing", "autograd", "metrics"):
        for code in (f"import tinygen as tg\ntg.{name}.x\n", f"from tinygen import {name}\n"):
            assert without_violations(code, "", {"numpy", "tinygen"})[1], code


def test_what_was_handed_out_is_not_looked_at():
    given = "def load():\n    return np.load('x')\n"
    assert without_violations(HEAD + given, given, {"numpy"})[1] == []
    assert without_violations(HEAD + given.replace("'x'", "'y'"), given, {"numpy"})[1]


@pytest.mark.parametrize(
    "code",
    [
        "def f(x=np.load('x')): return 1",
        "@np.load\ndef f(x): return 1",
        "def f(x: np.load): return 1",
        "@np.load\nclass A:\n    pass",
        "class A(np.load): x = 1",
        "class A:\n    import math as m",
        "if __name__ == '__main__' or True:\n    np.load('x')",
        "if __name__ == '__main__':\n    pass\nelse:\n    np.load('x')",
        "match f:\n    case object(__globals__=g): pass",
    ],
)
def test_what_runs_when_a_definition_is_read_is_refused_with_all_of_it(code):
    source, violations = without_violations(f"{HEAD}{code}\n", "", {"numpy"})
    assert len(violations) == 1
    left = [line for line in source.splitlines()[2:] if line.strip()]
    assert all("raise PermissionError" in line or line.startswith("class A") for line in left)


def test_a_main_block_is_taken_out_without_a_word():
    main = "if __name__ == '__main__':\n    import os\n    os.system('ls')\n"
    source, violations = without_violations(HEAD + main, "", {"numpy"})
    assert violations == []
    assert source.split() == [*HEAD.split(), "pass"]


def test_lines_are_those_that_python_counts():
    source = HEAD + "#\x0cimport os\n# \u2028 import os\nx = 1\n"
    assert without_violations(source, "", {"numpy"}) == (source, [])


def test_no_module_is_imported_by_the_name_that_a_student_gave(tmp_path, monkeypatch):
    (tmp_path / "evil.py").write_text("raise AssertionError", "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    for code in ("import evil\nevil.x\n", "from evil import x\n", "import evil as e\ne.x.y\n"):
        assert without_violations(code, "", {"numpy"})[1]


def test_given_statements_are_restored_only_if_they_are_lost_or_bound_again():
    given = "X = 1\n\nclass A:\n    pass\n\ndef f():\n    return A\n"
    assert to_restore(given, given) == ""
    assert to_restore(given.replace("X = 1", "X = 2"), given) == "X = 1"
    assert to_restore(given + "for f in []: pass\n", given) == "def f():\n    return A"
    assert to_restore("", given).split() == given.split()
