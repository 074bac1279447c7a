"""What a student's file may use, read from its syntax, with the line of each violation.

A module may be used only as `np.name`, with a public name: so no alias and no attribute leads to
another module. What is refused is taken out, and a function that contains it raises when called:
the rest of the file can still earn its points. Calls outside functions, such as a student's own
tests, are not executed either. child.py restricts the builtin functions.
"""

import ast
import importlib
import re
from collections import Counter
from collections.abc import Iterable
from types import ModuleType
from typing import NamedTuple

WORDS = {  # module: what may be used of it; nothing: all that is public
    "__future__": "",
    "abc": "",
    "collections": "",
    "collections.abc": "",
    "dataclasses": "dataclass field fields replace asdict astuple",
    "enum": "Enum IntEnum auto",
    "functools": "partial reduce lru_cache cache cached_property total_ordering cmp_to_key",
    "itertools": "",
    "math": "",
    "numpy": "",
    "numpy.fft": "",
    "numpy.lib.stride_tricks": "",
    "numpy.linalg": "",
    "numpy.random": "",
    "numpy.typing": "",
    "operator": "",
    "time": "time perf_counter",
    "typing": "",
}
WITH_TINYGEN = ("tinygen", "tinygen.data", "tinygen.models", "tinygen.nn", "tinygen.optim")
REFUSED = {  # readers and writers of files, and what leads to other modules
    "numpy": "load save savez savez_compressed savetxt loadtxt genfromtxt fromfile fromregex memmap"
    " info show_config show_runtime get_include test",
    "operator": "attrgetter methodcaller",
    "tinygen": "xp use describe gradcheck GradientError Report",
    "tinygen.data": "load pictures fetch have at_hand read_idx",
    "typing": "get_type_hints ForwardRef",
}
METHODS = set("tofile dump dumps ctypes".split())
FRAMES = set("gi_frame cr_frame ag_frame tb_frame tb_next f_back f_globals f_locals".split())
DUNDERS = set("__init__ __call__ __name__ __class__ __len__ __getitem__ __setitem__".split())
MAIN = ast.dump(ast.parse('__name__ == "__main__"', mode="eval").body)
LONGEST = 1 << 20  # characters of a file


class Violation(NamedTuple):
    """What is refused, and the line where it stands."""

    line: int
    sentence: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.sentence}"


FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DEFINITIONS = (*FUNCTIONS, ast.ClassDef)


def without_violations(source: str, given: str, uses: set[str]) -> tuple[str, list[Violation]]:
    """The source without what may not be used, at the same lines, and what that was.

    Definitions that are as in `given` are not looked at. A SyntaxError is the caller's.
    """
    if len(source) > LONGEST:
        raise ValueError(f"it has {len(source)} characters, more than {LONGEST}")
    tree = ast.parse(source)
    ours = {ast.dump(node) for node in ast.parse(given).body}
    reader = _Reader(tree, given, uses)
    lines = re.split(r"\r\n|\r|\n", source)  # as Python counts them
    violations: list[Violation] = []
    out: list[tuple[ast.stmt, str]] = []

    def look_at(node: ast.stmt, in_class: bool = False) -> None:
        if _is_main(node):
            out.append((node, "pass"))
        elif isinstance(node, ast.ClassDef) and not reader.of(node, node.body):
            for inner in node.body:
                look_at(inner, in_class=True)
        elif found := reader.of(node, [], in_class):
            violations.extend(found)
            out.append((node, f"raise PermissionError({str(found[0])!r})"))
        elif isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant):
            out.append((node, "pass"))

    for node in tree.body:
        if ast.dump(node) not in ours:
            look_at(node)
    for node, instead in reversed(out):  # two may stand on one line
        whole = not isinstance(node, FUNCTIONS) or reader.of(node, node.body)
        _take_out(lines, node, instead, bool(whole))
    return "\n".join(lines), violations


def modules_for(uses: set[str]) -> set[str]:
    """The modules that may be imported."""
    return {*WORDS, *(WITH_TINYGEN if "tinygen" in uses else ())}


def to_restore(source: str, given: str) -> str:
    """The given statements that the source lacks, or binds again.

    The others are left alone: to execute a class twice would make two classes.
    """
    theirs = ast.parse(source).body
    counts = Counter(name for node in theirs for name in bound(node))
    dumps = {ast.dump(node) for node in theirs}

    def is_there(node: ast.stmt) -> bool:
        return ast.dump(node) in dumps and all(counts[name] == 1 for name in bound(node))

    lost = [node for node in ast.parse(given).body if not is_there(node)]
    return ast.unparse(ast.Module(lost, type_ignores=[]))


def _is_main(node: ast.stmt) -> bool:
    """`if __name__ == "__main__":` without an else: never executed."""
    return isinstance(node, ast.If) and ast.dump(node.test) == MAIN and not node.orelse


def _take_out(lines: list[str], node: ast.stmt, instead: str, whole: bool) -> None:
    """Replace a statement, or the body of a function, without moving the lines below it."""
    first: ast.AST = node
    if not whole:
        assert isinstance(node, FUNCTIONS)
        first = node.body[0]
    elif isinstance(node, DEFINITIONS):
        first = min([node, *node.decorator_list], key=lambda n: n.lineno)
    start, column = first.lineno, first.col_offset  # type: ignore[attr-defined]
    column = column - 1 if whole and first is not node else column  # the @
    end = node.end_lineno or node.lineno
    head = lines[start - 1].encode()[:column].decode()
    tail = lines[end - 1].encode()[node.end_col_offset :].decode()  # after a semicolon
    keeps = not whole or not isinstance(node, ast.Expr)
    lines[start - 1 : end] = [head + (instead if keeps else "pass") + tail]
    lines[start:start] = [""] * (end - start)


class _Reader:
    """Finds violations in a statement."""

    def __init__(self, tree: ast.Module, given: str, uses: set[str]) -> None:
        self.allowed = modules_for(uses)
        self.given = {name for node in ast.parse(given).body for name in bound(node)}
        self.modules: dict[str, str] = {}  # name in the file: module
        self.own: set[str] = set()  # attributes that the file defines
        for node in ast.walk(tree):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                self._learn(node)
            elif isinstance(node, FUNCTIONS):
                self.own.add(node.name)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                self.own.add(node.attr)

    def _learn(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            if isinstance(node, ast.Import):
                top = alias.name if alias.asname else alias.name.partition(".")[0]
                name, module = alias.asname or top, top
            else:
                name, module = alias.asname or alias.name, f"{node.module}.{alias.name}"
            if module in self.allowed:
                self.modules[name] = module

    def of(self, node: ast.stmt, skip: list[ast.stmt], in_class: bool = False) -> list[Violation]:
        """The violations in a statement, without those in `skip`."""
        if in_class and isinstance(node, (ast.Import, ast.ImportFrom)):
            return [Violation(node.lineno, "import outside the class")]
        found: list[Violation] = []
        self._visit(node, found, skip, False)
        return found

    def _visit(
        self, node: ast.AST, found: list[Violation], skip: list[ast.stmt], base: bool
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
            return _first(self._module_refused(alias.name) for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            if not node.module or node.level:
                return "only whole modules may be imported, by name"
            refused = self._module_refused(node.module)
            return refused or _first(self._name_refused(node.module, a.name) for a in node.names)
        if isinstance(node, (ast.Global, ast.Nonlocal)):
            return _first(f"`{n}` was given" for n in node.names if n in self.given)
        if isinstance(node, ast.MatchClass):
            return _first(self._attribute_refused(name, "") for name in node.kwd_attrs)
        if module := self._module(node):
            text = ast.unparse(node)
            return "" if base else f"`{text}` is a module: use it as `{text}.name`"
        if isinstance(node, ast.Attribute):
            if module := self._module(node.value):
                return self._name_refused(module, node.attr)
            return self._attribute_refused(node.attr, getattr(node.value, "id", ""))
        if isinstance(node, (ast.Name, ast.arg)):
            name = node.id if isinstance(node, ast.Name) else node.arg
            if name in self.modules:
                return f"`{name}` is a module: choose another name for your variable"
            if _dunder(name) and name != "__name__":
                return f"`{name}` may not be used"
        if isinstance(node, ast.Name) and node.id == "__name__":
            return "" if isinstance(node.ctx, ast.Load) else "`__name__` may not be set"
        return ""

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
        if f"{module}.{name}" in self.allowed or name in _public(module):
            return ""
        return f"`{module}.{name}` may not be used here"

    def _attribute_refused(self, name: str, owner: str) -> str:
        private = name.startswith("_") and name not in DUNDERS
        known = owner in ("self", "cls") or name in self.own
        if name in METHODS | FRAMES or (private and (_dunder(name) or not known)):
            return f"`.{name}` may not be used"
        return ""


def bound(node: ast.stmt) -> set[str]:
    """The names that a statement binds."""
    if isinstance(node, DEFINITIONS):
        return {node.name}
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return {(a.asname or a.name).partition(".")[0] for a in node.names}
    names = [n for n in ast.walk(node) if isinstance(n, ast.Name)]
    return {n.id for n in names if not isinstance(n.ctx, ast.Load)}


def _first(refusals: Iterable[str]) -> str:
    return next((text for text in refusals if text), "")


def _dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__") and len(name) > 4


def _public(module: str) -> set[str]:
    """What may be used of an allowed module: its functions and classes, and no module."""
    if module not in {*WORDS, *WITH_TINYGEN}:
        return set()
    if words := WORDS.get(module, "").split():
        return set(words)
    loaded = importlib.import_module(module)
    names = getattr(loaded, "__all__", None) or [n for n in dir(loaded) if n[0] != "_"]
    names = {n for n in names if not isinstance(getattr(loaded, n, None), ModuleType)}
    return names - set(REFUSED.get(module, "").split()) - METHODS
