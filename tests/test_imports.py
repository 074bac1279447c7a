"""Imports go in one direction, as in the table below, and every public name is reachable."""

import ast
import importlib
import inspect
import sys
from pathlib import Path

import pytest
from public import public_names

import tinygen

FOLDER = Path(tinygen.__file__).parent
FILES = {
    ".".join(path.relative_to(FOLDER).with_suffix("").parts): path
    for path in sorted(FOLDER.rglob("*.py"))
    if "assignments" not in path.parts or path.parent.name == "assignments"  # not the examples
}

# package: the packages that it imports. Those that train a model import no architecture
TRAINS = {"_batch", "_checks", "autograd", "nn", "optim"}
IMPORTS = {
    "_checks": set(),
    "_files": set(),
    "_html": set(),
    "_names": set(),
    "_types": set(),
    "autograd": {"_names"},
    "distributed": {"autograd"},
    "_batch": {"_checks", "autograd"},
    "testing": {"autograd"},
    "strategies": {"testing"},
    "nn": {"_checks", "_html", "_names", "autograd"},
    "optim": {"_checks", "_names", "autograd", "distributed"},
    "models": {"_checks", "autograd", "nn"},
    "vae": TRAINS,
    "gan": TRAINS,
    "flow": TRAINS,
    "diffusion": TRAINS | {"flow"},  # its samplers' equation is solved by flow.ode
    "data": {"_checks", "_files", "autograd", "distributed"},
    "image": {"_batch", "_checks", "_files"},
    "run": TRAINS | {"_files", "_html", "data", "distributed"},
    "metrics": TRAINS | {"_html", "data", "run"},
    "assignments": {"_files", "testing"},
    "__main__": {"_files"},  # it runs the example programs
    "__init__": {"_names", "autograd", "testing"},  # the others are loaded on first use
}
PACKAGES = sorted({name.partition(".")[0] for name in FILES})
NEEDS = {"testing.strategies": {"hypothesis"}, "run.logbook": {"tqdm"}} | {
    f"image.{drawing}": {"matplotlib", "PIL"}
    for drawing in ("animations", "distributions", "grids", "plots", "style", "trajectories")
}
# may be imported in functions, because they are optional or slow to import
OPTIONAL = {
    "PIL",
    "concurrent",
    "fcntl",
    "hypothesis",
    "matplotlib",
    "mpi4py",
    "msvcrt",
    "resource",
    "scipy",
    "threadpoolctl",
    "tqdm",
}


def tree(name):
    return ast.parse(FILES[name].read_text("utf-8"))


def imported(node):
    """The modules that an import statement names, with ours as "tinygen.autograd"."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if node.module == "tinygen":
        return [f"tinygen.{alias.name}" for alias in node.names]
    return [node.module]


def imports(name):
    statements = [n for n in ast.walk(tree(name)) if isinstance(n, (ast.Import, ast.ImportFrom))]
    return [module for statement in statements for module in imported(statement)]


def ours(name):
    """Our packages that a file imports, except its own and those for type hints only."""
    file = tree(name)
    typed = {
        id(statement)
        for node in ast.walk(file)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for statement in ast.walk(node)
    }
    statements = [
        n
        for n in ast.walk(file)
        if isinstance(n, (ast.Import, ast.ImportFrom)) and id(n) not in typed
    ]
    modules = [module for statement in statements for module in imported(statement)]
    packages = {module.split(".")[1] for module in modules if module.startswith("tinygen.")}
    return packages - {name.partition(".")[0], "_types"}


each_file = pytest.mark.parametrize("name", FILES)


# --- one direction --------------------------------------------------------------------------------


def test_every_package_stands_in_the_table():
    assert set(PACKAGES) == set(IMPORTS)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_what_the_table_says_and_nothing_else(package):
    names = [name for name in FILES if name.partition(".")[0] == package]
    assert {other for name in names for other in ours(name)} == IMPORTS[package]


def test_the_table_has_no_cycle():
    left = {name: set(others) for name, others in IMPORTS.items()}
    while left:
        ready = [name for name, others in left.items() if not others & set(left)]
        assert ready, f"each of these imports another of them: {sorted(left)}"
        for name in ready:
            del left[name]


@each_file
def test_no_file_is_longer_than_one_sitting(name):
    assert len(FILES[name].read_text("utf-8").splitlines()) <= 400


@each_file
def test_imports_are_absolute_and_name_what_they_take(name):
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            star = [a.name for a in node.names] == ["*"]
            gathers = name.endswith("__init__") or name == "strategies"
            assert gathers or not star, f"line {node.lineno}: a star import"


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
    assert ({"cupy", "cupyx"} & said == {"cupy"}) == (name == "autograd.backend")


@each_file
def test_only_runs_ranks_and_downloads_write_to_the_terminal(name):
    said = {n.id for n in ast.walk(tree(name)) if isinstance(n, ast.Name)}
    said |= {n.attr for n in ast.walk(tree(name)) if isinstance(n, ast.Attribute)}
    writes = {"print", "stderr", "stdout"} & said
    may = ("__main__", "run.", "assignments.", "distributed.ranks", "data.fetch")
    assert not writes or name.startswith(may)


def test_no_private_name_of_another_library_is_used():
    nodes = [node for name in FILES for node in ast.walk(tree(name))]
    defined = {n.name for n in nodes if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    attributes = [n for n in nodes if isinstance(n, ast.Attribute)]
    defined |= {n.attr for n in attributes if isinstance(n.ctx, ast.Store)}
    used = {n.attr for n in attributes}
    used |= {alias.name for n in nodes if isinstance(n, ast.ImportFrom) for alias in n.names}
    public = {"_asdict", "_replace"}  # of NamedTuple: documented
    private = {name for name in used if name.startswith("_") and not name.endswith("__")}
    assert private - defined - public <= {name for name in PACKAGES if name.startswith("_")}


# --- every public name ----------------------------------------------------------------------------

LAZY = sorted(tinygen.PACKAGES)


def test_the_packages_are_attributes_that_are_loaded_on_first_use(python):
    code = (
        "import sys, tinygen as tg; "
        "early = [n for n in tg.PACKAGES if f'tinygen.{n}' in sys.modules]; "
        "assert all(getattr(tg, n).__name__ == f'tinygen.{n}' for n in tg.PACKAGES); "
        "assert set(tg.PACKAGES) <= set(dir(tg)); print(early, tg.gradcheck.__name__)"
    )
    assert python(code) == "[] gradcheck"


def test_an_unknown_attribute_is_an_error_that_names_it():
    with pytest.raises(AttributeError, match="tinygen has no attribute 'vea'"):
        tinygen.vea  # noqa: B018


def test_every_folder_is_listed_and_no_other():
    folders = {path.parent.name for path in FOLDER.glob("*/__init__.py")}
    assert folders == set(LAZY) - {"strategies"} | {"autograd", "testing"}


def test_every_name_in_all_exists_and_stands_there_once():
    assert [name for name in tinygen.__all__ if not hasattr(tinygen, name)] == []
    assert len(set(tinygen.__all__)) == len(tinygen.__all__)


@pytest.mark.parametrize("package", ["autograd", "testing", *LAZY])
def test_a_package_gathers_the_public_names_of_its_files(package):
    gathered = importlib.import_module(f"tinygen.{package}")
    names = public_names(gathered)
    assert names
    assert len(set(names)) == len(names)
    made = {n: getattr(gathered, n) for n in names}
    made = {n: value for n, value in made.items() if getattr(value, "__name__", "") == n}
    assert [n for n, value in made.items() if not (value.__doc__ or "").strip()] == []


@each_file
def test_the_names_that_a_file_lists_are_there_and_in_order(name):
    module = importlib.import_module(f"tinygen.{name}".removesuffix(".__init__"))
    names = getattr(module, "__all__", []) if not name.endswith("__init__") else []
    assert [n for n in names if not hasattr(module, n)] == []
    assert names == sorted(set(names), key=lambda n: (not n.isupper(), n[0].islower(), n))


def test_every_public_name_of_the_engine_is_reachable_from_the_top():
    names = tinygen.autograd.__all__
    assert [name for name in names if name not in tinygen.__all__] == []
    assert all(getattr(tinygen, name) is getattr(tinygen.autograd, name) for name in names)


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith(("nn.", "optim."))])
def test_a_public_name_of_a_layer_or_optimiser_is_reachable_from_its_package(name):
    module = importlib.import_module(f"tinygen.{name}".removesuffix(".__init__"))
    package = importlib.import_module(f"tinygen.{name.partition('.')[0]}")
    own = [n for n in getattr(module, "__all__", ()) if not inspect.ismodule(getattr(module, n))]
    assert [n for n in own if getattr(package, n, None) is not getattr(module, n)] == []
