"""The public names of a package: what its `__init__.py` imports by name or by star."""

import ast
import importlib
import inspect


def public_names(package):
    """Names of functions, classes and constants; no modules."""
    if hasattr(package, "__all__"):
        return [n for n in package.__all__ if not inspect.ismodule(getattr(package, n))]
    names = []
    for node in ast.parse(inspect.getsource(package)).body:
        if isinstance(node, ast.ImportFrom) and node.module not in ("typing", "tinygen._names"):
            listed = [alias.name for alias in node.names]
            names += importlib.import_module(node.module).__all__ if listed == ["*"] else listed
    return [n for n in names if not inspect.ismodule(getattr(package, n))]
