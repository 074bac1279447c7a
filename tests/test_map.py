"""tinygen/README.md, the map: it lists every folder and file, with sizes, in import order."""

import ast
import io
import re
import tokenize
from pathlib import Path

import tinygen

FOLDER = Path(tinygen.__file__).parent
MAP = (FOLDER / "README.md").read_text("utf-8")
ROWS = re.findall(r"^\| \[(\w+)\]\(\1\) \| .+? \| ([\d,]+) \| (.+) \|$", MAP, re.MULTILINE)

# every other file, tinygen/PKG/FILE.py, is tested in tests/PKG/test_FILE.py
TESTED_IN = {
    "assignments/__main__": "assignments/test_main.py",
    "assignments/child": "assignments/test_student.py",
    "autograd/functions": "autograd/test_operations.py",
    "autograd/geometry": "autograd/test_conv.py",
    "autograd/shaping": "autograd/test_operations.py",
    "testing/differences": "testing/test_verdicts.py",
    "vae/model": "vae/test_vae_model.py",
}


def files(folder):
    return {path.stem for path in (FOLDER / folder).glob("*.py")} - {"__init__"}


def test_every_folder_stands_on_the_map_once():
    folders = [path.parent.name for path in FOLDER.glob("*/__init__.py")]
    assert sorted(name for name, _, _ in ROWS) == sorted(folders)


def test_every_file_of_a_folder_stands_in_its_reading_order_once():
    for name, _, order in ROWS:
        assert sorted(re.findall(rf"\]\({name}/(\w+)\.py\)", order)) == sorted(files(name)), name


def test_every_file_of_the_first_level_stands_on_the_map():
    shown = set(re.findall(r"\]\((\w+\.py)\)", MAP))
    assert shown == {path.name for path in FOLDER.glob("*.py")}


def test_sizes_are_those_of_the_folders_to_a_hundred_lines():
    for name, told, _ in ROWS:
        lines = sum(len(p.read_text("utf-8").splitlines()) for p in (FOLDER / name).glob("*.py"))
        assert abs(int(told.replace(",", "")) - lines) <= 100, (name, lines)


def code_lines(path):
    """The number of lines of code, without comments, docstrings and blank lines."""
    text = path.read_text("utf-8")
    layout = {"COMMENT", "NL", "NEWLINE", "INDENT", "DEDENT", "ENDMARKER"}
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if tokenize.tok_name[token.type] not in layout:
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(
            node
        ):
            lines -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return len(lines)


def test_the_library_stays_as_small_as_it_says_and_half_of_it_is_mathematics():
    paths = sorted(path for path in FOLDER.rglob("*.py") if "assignments" not in path.parts)
    assert sum(len(path.read_text("utf-8").splitlines()) for path in paths) <= 12_100
    code = {path: code_lines(path) for path in paths}
    assert sum(code.values()) <= 7_860
    mathematics = "autograd nn optim models vae gan diffusion flow".split()
    assert sum(n for path, n in code.items() if path.parent.name in mathematics) > 0.5 * sum(
        code.values()
    )


def test_folders_stand_above_those_that_import_them():
    place = {name: i for i, (name, _, _) in enumerate(ROWS)}
    for name in place:
        for path in (FOLDER / name).glob("*.py"):
            for other in re.findall(r"^from tinygen\.(\w+)", path.read_text("utf-8"), re.MULTILINE):
                assert place.get(other, -1) <= place[name], f"{path} imports {other}"


def test_every_file_of_the_library_has_tests_under_its_name_or_where_the_table_says():
    tests = Path(__file__).parent
    for name, _, _ in ROWS:
        for file in files(name):
            usual = f"{name}/test_{file}.py"
            assert (tests / TESTED_IN.get(f"{name}/{file}", usual)).exists(), usual
    usual = {n: tests / f"{n.replace('/', '/test_')}.py" for n in TESTED_IN}
    assert [n for n, path in usual.items() if path.exists()] == []


def test_no_two_test_files_have_one_name():
    names = [p.name for p in Path(__file__).parent.rglob("*.py") if p.name != "conftest.py"]
    assert sorted(names) == sorted(set(names))
