"""Imports point one way, as the table below says, and every public name is reachable."""

import ast
import importlib
import inspect
import sys
from pathlib import Path

import pytest

import tinygen

FOLDER = Path(tinygen.__file__).parent
FILES = {path.stem: path for path in sorted(FOLDER.glob("*.py"))}

# module: the modules of ours that it may import
ENGINE = {"backend", "parallel", "graph", "tensor", "ops", "reductions", "arrange", "conv",
          "pooling", "normalise", "gradcheck"}  # fmt: skip
PARTS = {"initial", "module", "layers", "norms", "attention"}  # what `nn` gathers
TRAINS = {"checks", "module", "optim", "randomness", "rows"}  # what a training loop needs
MAY_IMPORT = {
    "graph": set(),
    "backend": set(),
    "parallel": {"backend"},
    "diagnosis": set(),
    "strategies": set(),
    "tensor": {"backend", "parallel", "graph"},
    "arrange": {"backend", "parallel", "tensor"},
    "ops": {"backend", "parallel", "graph", "tensor"},
    "reductions": {"backend", "tensor", "ops"},
    "conv": {"backend", "parallel", "tensor", "ops", "reductions", "arrange"},
    "pooling": {"backend", "tensor", "ops", "reductions", "arrange", "conv"},
    "normalise": {"backend", "parallel", "graph", "tensor", "ops", "reductions", "arrange"},
    "probe": {"backend", "tensor", "diagnosis"},
    "gradcheck": {"backend", "tensor", "diagnosis", "probe"},
    "checks": set(),
    "schedules": {"checks"},
    "stateful": {"backend", "tensor"},
    "optim": {"backend", "parallel", "checks", "tensor", "schedules", "stateful"},
    "initial": {"backend"},
    "randomness": set(),
    # data
    "files": set(),
    "fetch": {"files"},
    "mnist": {"fetch"},
    "points": {"backend", "checks", "randomness"},
    "digits": {"backend", "parallel", "points"},
    "shapes": {"backend", "parallel", "checks", "points"},
    "pictures": {"backend", "tensor"},
    "augment": {"backend", "checks", "randomness"},
    "batches": {"backend", "randomness", "tensor"},
    "data": {"augment", "batches", "digits", "fetch", "mnist", "pictures", "points", "shapes"},
    # pictures
    "style": {"backend", "files"},
    "pixels": {"checks", "files", "style"},
    "animation": {"checks", "files", "pixels", "style"},
    "plots": {"style"},
    "distributions": {"style"},
    "image": {"animation", "checks", "distributions", "pixels", "plots", "style"},
    # runs
    "interrupts": set(),
    "logbook": {"files"},
    "progress": {"batches"},
    "folder": {"backend", "files"},
    "checkpoint": {"files", "module", "randomness"},
    "run": {"backend", "batches", "checks", "checkpoint", "files", "folder", "interrupts",
            "logbook", "module", "optim", "progress", "rows"},
    "commandline": {"backend", "checkpoint", "data", "folder", "run"},
    "module": {"backend", "graph", "tensor"},
    "layers": ENGINE | {"checks", "initial", "module", "randomness"},
    "norms": ENGINE | {"checks", "layers", "module", "randomness"},
    "attention": ENGINE | {"initial", "layers", "module"},
    "nn": PARTS,
    "unet": ENGINE | PARTS | {"checks"},
    "models": ENGINE | PARTS | {"checks", "unet"},
    "classics": ENGINE | PARTS | {"nn", "models"},
    "rows": {"backend", "checks", "randomness", "tensor"},
    # what trains a model knows no architecture: it takes callables
    "gan_losses": ENGINE | {"checks", "randomness"},
    "gan": ENGINE | TRAINS | {"gan_losses"},
    "vae_terms": ENGINE | {"checks", "module"},
    "vae": ENGINE | TRAINS | {"vae_terms"},
    "vq": ENGINE | TRAINS | {"vae_terms"},
    "noise": {"backend", "checks"},
    "diffusion": ENGINE | TRAINS | {"noise"},
    "samplers": ENGINE | TRAINS | {"diffusion", "noise", "ode"},
    "restore": ENGINE | TRAINS | {"diffusion", "samplers"},
    "coupling": ENGINE | TRAINS,
    "ode": ENGINE | TRAINS,
    "flow": ENGINE | TRAINS | {"coupling", "ode"},
    "clouds": {"checks", "randomness", "rows"},
    "twosample": {"clouds"},
    "features": ENGINE | PARTS | TRAINS | {"checkpoint", "data", "fetch", "files"},
    "metrics": {"checks", "clouds", "features", "randomness", "rows", "vae"},
    "plane": ENGINE | PARTS | {"commandline", "image", "models", "points", "style"},
    "judge": {"features", "metrics", "rows", "run"},
    "__init__": set(FILES) - {"__init__", "commandline", "data", "image", "run", "strategies"},
}
NEEDS = {"strategies": {"hypothesis"}, "progress": {"tqdm"}} | {
    drawing: {"matplotlib", "PIL"}
    for drawing in ("animation", "distributions", "pixels", "plane", "plots", "style")
}
# may be imported when needed: what is optional, and what takes long to import
OPTIONAL = {"PIL", "concurrent", "fcntl", "hypothesis", "matplotlib", "msvcrt", "threadpoolctl",
            "tqdm"}  # fmt: skip

# without an underscore for other modules' sake, not for users
INTERNAL = {"backend", "diagnosis", "graph", "parallel", "probe", "tensor.as_alike",
            "tensor.as_float", "tensor.count_over", "tensor.kept_shape"}  # fmt: skip


def tree(name):
    return ast.parse(FILES[name].read_text("utf-8"))


def imported(node):
    """The modules that an import statement names, with ours as "tinygen.tensor"."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if node.module == "tinygen":
        return [f"tinygen.{alias.name}" for alias in node.names]
    return [node.module]


def imports(name):
    statements = [n for n in ast.walk(tree(name)) if isinstance(n, (ast.Import, ast.ImportFrom))]
    return [module for statement in statements for module in imported(statement)]


def ours(name):
    return {each.split(".")[1] for each in imports(name) if each.startswith("tinygen.")}


each_file = pytest.mark.parametrize("name", FILES)


# --- one way --------------------------------------------------------------------------------------


def test_every_module_stands_in_the_table():
    assert sorted(set(FILES) - set(MAY_IMPORT)) == []


@each_file
def test_a_module_imports_only_what_the_table_allows(name):
    assert sorted(ours(name) - MAY_IMPORT[name]) == []


def test_the_table_has_no_cycle():
    left = {name: set(others) for name, others in MAY_IMPORT.items()}
    while left:
        ready = [name for name, others in left.items() if not others & set(left)]
        assert ready, f"each of these imports another of them: {sorted(left)}"
        for name in ready:
            del left[name]


@each_file
def test_imports_are_absolute_and_name_what_they_take(name):
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            assert [a.name for a in node.names] != ["*"], f"line {node.lineno}: a star import"


@each_file
def test_imports_stand_at_the_top_unless_they_are_of_an_optional_package(name):
    for function in ast.walk(tree(name)):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            for node in ast.walk(function):
                if isinstance(node, (ast.Import, ast.ImportFrom)):
                    packages = {module.split(".")[0] for module in imported(node)}
                    assert packages <= OPTIONAL, f"line {node.lineno}: {packages - OPTIONAL}"


@each_file
def test_at_the_top_a_module_needs_nothing_but_numpy(name):
    packages = {
        module.split(".")[0]
        for node in tree(name).body
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for module in imported(node)
    }
    allowed = {"numpy", "tinygen"} | NEEDS.get(name, set())
    assert sorted(packages - allowed - sys.stdlib_module_names) == []


@each_file
def test_only_the_backend_knows_cupy(name):
    said = {n.id for n in ast.walk(tree(name)) if isinstance(n, ast.Name)}
    said |= {n.value for n in ast.walk(tree(name)) if isinstance(n, ast.Constant)}
    said |= {module.split(".")[0] for module in imports(name)}
    assert ({"cupy", "cupyx"} & said == {"cupy"}) == (name == "backend")


# --- every public name ----------------------------------------------------------------------------

ENGINE_FILES = sorted((ENGINE | {"diagnosis", "probe"}) & set(FILES))


def public(name):
    """What a module has for users: its __all__, or else all functions and classes it defines."""
    module = importlib.import_module(f"tinygen.{name}")
    if hasattr(module, "__all__"):
        return set(module.__all__)
    found = {
        each
        for each, value in vars(module).items()
        if (inspect.isfunction(value) or inspect.isclass(value))
        and value.__module__ == module.__name__
        and not each.startswith("_")
    }
    return set() if name in INTERNAL else {n for n in found if f"{name}.{n}" not in INTERNAL}


def test_every_name_in_all_exists_and_stands_there_once():
    assert [name for name in tinygen.__all__ if not hasattr(tinygen, name)] == []
    assert len(set(tinygen.__all__)) == len(tinygen.__all__)


def test_all_lists_every_name_of_the_package_that_is_no_module():
    bound = {n for n, v in vars(tinygen).items() if n[0] != "_" and not inspect.ismodule(v)}
    assert sorted(bound ^ set(tinygen.__all__)) == []


@pytest.mark.parametrize("name", ENGINE_FILES)
def test_every_name_in_a_modules_own_all_exists_and_is_sorted(name):
    module = importlib.import_module(f"tinygen.{name}")
    listed = list(getattr(module, "__all__", ()))
    assert [each for each in listed if not hasattr(module, each)] == []
    assert listed == sorted(listed)


@pytest.mark.parametrize("name", ENGINE_FILES)
def test_every_public_name_of_the_engine_is_reachable_from_the_package(name):
    module = importlib.import_module(f"tinygen.{name}")
    missing = [each for each in sorted(public(name)) if each not in tinygen.__all__]
    assert missing == []
    assert [n for n in public(name) if getattr(tinygen, n) is not getattr(module, n)] == []


@pytest.mark.parametrize("name", ENGINE_FILES)
def test_every_public_name_of_the_engine_has_a_docstring(name):
    module = importlib.import_module(f"tinygen.{name}")
    assert [n for n in public(name) if not (getattr(module, n).__doc__ or "").strip()] == []


def test_nn_gathers_every_public_name_of_its_parts():
    parts = [importlib.import_module(f"tinygen.{part}") for part in sorted(PARTS)]
    gathered = importlib.import_module("tinygen.nn")
    assert sorted(gathered.__all__) == sorted(name for part in parts for name in part.__all__)
    for part in parts:
        assert all(getattr(gathered, name) is getattr(part, name) for name in part.__all__)


@pytest.mark.parametrize("name", sorted({"nn", "models", "classics", "optim"} & set(FILES)))
def test_every_public_class_and_function_beyond_the_engine_has_a_docstring(name):
    module = importlib.import_module(f"tinygen.{name}")
    named = [(each, getattr(module, each)) for each in module.__all__]
    made = [(n, v) for n, v in named if inspect.isclass(v) or getattr(v, "__name__", "") == n]
    assert [n for n, v in made if not (v.__doc__ or "").strip()] == []
