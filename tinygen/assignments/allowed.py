"""What a student's file may use, read from its syntax, with the line of each violation.

A module may be used only as `np.name`, with a public name: so no alias and no attribute leads to
another module. What is refused is taken out, and a function that contains it raises when called:
the rest of the file can still earn its points. Calls outside functions, such as a student's own
tests, are not executed either.
"""

import ast
import importlib
from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

MODULES = {"numpy", "math", "collections", "dataclasses", "functools", "itertools", "typing"}
MODULES |= {"numpy.linalg", "numpy.random", "numpy.fft", "numpy.typing", "numpy.lib.stride_tricks"}
MODULES |= {"__future__"}
TINYGEN = {f"tinygen.{name}" for name in ("nn", "optim", "models", "data")} | {"tinygen"}
INPUT_OUTPUT = set("load save savez savez_compressed savetxt loadtxt genfromtxt fromfile".split())
INPUT_OUTPUT |= set("fromregex memmap DataSource tofile dump dumps ctypes ctypeslib".split())
BUILTINS = set("eval exec compile open input breakpoint getattr setattr delattr globals".split())
BUILTINS |= set("locals vars memoryview exit quit help".split())
FRAMES = set("gi_frame cr_frame ag_frame tb_frame f_back f_globals f_locals f_builtins".split())
MAIN = 'if __name__ == "__main__"'


class Violation(NamedTuple):
    """What is refused, and the line where it stands."""

    line: int
    sentence: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.sentence}"


Definition: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def without_violations(source: str, given: str, uses: set[str]) -> tuple[str, list[Violation]]:
    """The source without what may not be used, at the same lines, and what that was.

    Definitions that are as in `given` are not looked at. A SyntaxError is the caller's.
    """
    tree = ast.parse(source)
    ours = {ast.dump(node) for node in ast.parse(given).body}
    reader = _Reader(uses)
    theirs = [node for node in tree.body if ast.dump(node) not in ours]
    for node in ast.walk(tree):  # first, since a function may stand above the import
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            reader.learn(node)
    lines = source.splitlines()
    violations: list[Violation] = []
    out: list[tuple[ast.stmt, str]] = []

    def look_at(node: ast.stmt) -> None:
        if ast.unparse(node).startswith(MAIN.replace('"', "'")):
            return
        if isinstance(node, ast.ClassDef) and not reader.of(node, inside=False):
            for inner in node.body:
                look_at(inner)
        elif found := reader.of(node):
            violations.extend(found)
            out.append((node, f"raise PermissionError({str(found[0])!r})"))
        elif isinstance(node, ast.Expr):
            out.append((node, "pass"))

    for node in theirs:
        look_at(node)
    for node, instead in reversed(out):  # two may stand on one line
        _take_out(lines, node, instead)
    return "\n".join(lines) + "\n", violations


def _take_out(lines: list[str], node: ast.stmt, instead: str) -> None:
    """Replace a statement, or the body of a function, without moving the lines below it."""
    is_function = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    first: ast.stmt = node.body[0] if is_function else node  # type: ignore[attr-defined]
    end = node.end_lineno or node.lineno
    head = lines[first.lineno - 1].encode()[: first.col_offset].decode()
    tail = (lines[end - 1].encode()[node.end_col_offset :]).decode()  # after a semicolon
    lines[first.lineno - 1 : end] = [head + (instead if is_function else "pass") + tail] + [""] * (
        end - first.lineno
    )


class _Reader:
    """Finds violations in a statement."""

    def __init__(self, uses: set[str]) -> None:
        self.allowed = MODULES | (TINYGEN if "tinygen" in uses else set())
        self.modules: dict[str, str] = {}  # name in the file: module
        self.names: dict[str, str] = {}  # name in the file: module.name

    def learn(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            if isinstance(node, ast.Import):
                top = alias.name if alias.asname else alias.name.partition(".")[0]
                self.modules[alias.asname or top] = top
            elif node.module:
                full = f"{node.module}.{alias.name}"
                target = self.modules if full in self.allowed else self.names
                target[alias.asname or alias.name] = full

    def of(self, node: ast.stmt, inside: bool = True) -> list[Violation]:
        """The violations in a statement; of a class without its body if not `inside`."""
        found: list[Violation] = []
        self._visit(node, found, [] if inside else getattr(node, "body", []))
        return found

    def _visit(
        self, node: ast.AST, found: list[Violation], skip: list[ast.AST], base: bool = False
    ) -> None:
        if sentence := self._refusal(node, base):
            found.append(Violation(getattr(node, "lineno", 0), sentence))
            return
        for child in ast.iter_child_nodes(node):
            if child not in skip:
                self._visit(child, found, [], base=isinstance(node, ast.Attribute))

    def _refusal(self, node: ast.AST, base: bool) -> str:
        """Why a node is refused; `base` if it is the a of an a.b."""
        if isinstance(node, ast.Import):
            return self._first(self._module_refused(alias.name) for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            if not node.module or node.level:
                return "only whole modules may be imported, by name"
            refused = [self._module_refused(node.module)]
            refused += [self._name_refused(node.module, alias.name) for alias in node.names]
            return self._first(refused)
        if module := self._module(node):
            text = ast.unparse(node)
            return "" if base else f"`{text}` is a module: use it as `{text}.name`"
        if isinstance(node, ast.Attribute):
            if module := self._module(node.value):
                return self._name_refused(module, node.attr)
            return self._attribute_refused(node.attr)
        if isinstance(node, ast.Name):
            if node.id in BUILTINS or (_dunder(node.id) and node.id != "__name__"):
                return f"`{node.id}` may not be used"
        return ""

    @staticmethod
    def _first(refusals: Iterable[str]) -> str:
        return next((text for text in refusals if text), "")

    def _module(self, node: ast.AST) -> str:
        """The module that `np` or `np.linalg` is, or nothing."""
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            return self.modules.get(node.id, "")
        if isinstance(node, ast.Attribute) and (module := self._module(node.value)):
            full = f"{module}.{node.attr}"
            return full if full in self.allowed or full == "numpy.lib" else ""
        return ""

    def _module_refused(self, name: str) -> str:
        if name in self.allowed:
            return ""
        allowed = sorted(m for m in self.allowed if "." not in m and m != "__future__")
        return f"`{name}` may not be imported; these may: {', '.join(allowed)}"

    def _name_refused(self, module: str, name: str) -> str:
        if f"{module}.{name}" in self.allowed or (module, name) == ("numpy", "lib"):
            return ""
        public = _public(module)
        if module == "__future__" or (name in public and name not in INPUT_OUTPUT):
            return ""
        return f"`{module}.{name}` may not be used here"

    def _attribute_refused(self, name: str) -> str:
        if name in INPUT_OUTPUT - {"load", "save", "dump"} | FRAMES:
            return f"`.{name}` may not be used"
        if _dunder(name) and name not in ("__init__", "__name__", "__class__"):
            return f"`.{name}` may not be used"
        return ""


def _dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _public(module: str) -> set[str]:
    """The functions and classes of a module, without the modules in it."""
    if module == "numpy.lib":  # only its stride_tricks
        return set()
    loaded = importlib.import_module(module)
    names = getattr(loaded, "__all__", None) or [n for n in dir(loaded) if n[0] != "_"]
    kind = type(importlib)
    return {n for n in names if not isinstance(getattr(loaded, n, None), kind)}
