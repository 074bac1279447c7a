"""Write docs/reference.md: every public name, with the first line of its docstring.

    python docs/make_reference.py

Packages and files come in the order of tinygen/README.md, names in that of their file.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tinygen as tg
from tinygen._files import replacing

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reference.md"
HEAD = """# Every public name

[Index](index.md) · before: [Names in PyTorch and Keras](names.md) · next: [Questions people
ask](faq.md)

Names without a package are in `tinygen` itself: `exp` is `tinygen.exp`, `vae.elbo` is
`tinygen.vae.elbo`. In equations z is the output, and a bar denotes a cotangent: x̄ is the gradient
with respect to x. [A script](make_reference.py) writes this page; [a
test](../tests/docs/test_reference.py) requires that it is up to date, and that some test uses each
name.
"""
CHAPTERS = {  # package: title, chapters
    "autograd": ("Tensors, gradients, operations", ["autograd", "convolution", "backends"]),
    "testing": ("Checking gradients", ["gradcheck", "own_operation"]),
    "nn": ("Layers", ["layers", "layers_deeper"]),
    "distributed": ("Several processes", ["distributed"]),
    "optim": ("Optimisers", ["optimisers"]),
    "models": ("Networks", ["unet", "gan", "text_to_image"]),
    "vae": ("Variational autoencoders", ["vae", "vae_deeper"]),
    "gan": ("Generative adversarial networks", ["gan", "gan_deeper"]),
    "flow": ("Flow matching", ["flow", "flow_deeper"]),
    "diffusion": ("Diffusion models", ["diffusion", "diffusion_deeper", "clocks"]),
    "data": ("Data", ["data_and_runs", "text_to_image"]),
    "image": ("Pictures", ["data_and_runs"]),
    "run": ("Runs", ["data_and_runs"]),
    "metrics": ("Measuring samples", ["measuring"]),
    "assignments": ("Assignments", ["teaching", "assignments"]),
}
INNER = {"autograd/geometry", "autograd/interop", "autograd/fast_conv", "image/style"}
INNER |= {"testing/differences"}
INNER |= {f"assignments/{file}" for file in "source student wire allowed child grading".split()}
INNER |= {f"assignments/{file}" for file in "trial handout __main__".split()}
NOTES = {  # of names that have no docstring
    "xp": "The array library in use, NumPy or CuPy: `xp.exp`, `xp.zeros`, …",
    "Array": "Type hint: an array of NumPy or CuPy",
    "ArrayLike": "Type hint: a Tensor, an array, a number, or a sequence of numbers",
    "Rng": "Type hint: NumPy's random generator",
    "Shape": "Type hint: a tuple of ints",
    "nn.lecun_normal": "N(0, 1/n), n the fan-in: the default (LeCun et al. 1998)",
    "nn.lecun_uniform": "U(±√(3/n)), of variance 1/n",
    "nn.glorot_normal": "N(0, 2/(n + m)), m the fan-out (Glorot & Bengio 2010)",
    "nn.glorot_uniform": "U(±√(6/(n + m))), of variance 2/(n + m)",
    "nn.he_normal": "N(0, 2/n): before a ReLU (He et al. 2015)",
    "nn.he_uniform": "U(±√(6/n)), of variance 2/n",
    "nn.pytorch_uniform": "U(±1/√n), of variance 1/(3n), as PyTorch's Linear and Conv2d",
    "nn.zeros": "0: for a last layer, so that a residual branch begins as the identity",
    "optim.Schedule": "Type hint: a function from the step, counted from 0, to the learning rate",
    "data.synthetic_digits.SKELETONS": "For each digit, the strokes of several ways to write it",
    "data.SHAPES": "The signed distance of each kind of shape, by name",
    "data.ARRANGEMENTS": "The arrangements of one shape or two, with the shapes' centres",
    "data.COLOURS": "The colours of shapes in scenes, by name",
    "data.SIZES": "The smallest and largest radius of small and of large shapes",
    "data.VOCABULARY": "All words of captions, in one string",
    "data.points_2d.SETS": "The seven sets of points, by name",
    "image.trajectories.REACH": "How far pictures extend from the origin",
    "image.trajectories.SHADE": "The grey of points behind arrows and lines",
    "gan.LOSSES": "The losses by name, from `minimax` to `wasserstein`",
}


def text() -> str:
    parts = [HEAD]
    for package, files in packages():
        title, chapters = CHAPTERS[package]
        links = ", ".join(f"[{page_title(c)}]({c}.md)" for c in chapters)
        parts.append(f"## {title}\n\n{links}\n")
        for file in files:
            if found := names(package, file):
                rows = [row(*each) for each in found]
                link = f"[{file}.py](../tinygen/{package}/{file}.py)"
                parts.append("\n".join([f"| {link} | |", "|---|---|", *rows]) + "\n")
    return "\n".join(parts)


def packages() -> Iterator[tuple[str, list[str]]]:
    """Each package with its files that have public names, in the order of the map"""
    text = (ROOT / "tinygen" / "README.md").read_text("utf-8")
    for package in re.findall(r"^\| \[(\w+)\]\(\1\) \|", text, re.MULTILINE):
        files = dict.fromkeys(re.findall(rf"\]\({package}/(\w+)\.py\)", text))
        yield package, [file for file in files if f"{package}/{file}" not in INNER]


def page_title(page: str) -> str:
    return (ROOT / "docs" / f"{page}.md").read_text("utf-8").partition("\n")[0].removeprefix("# ")


def names(package: str, file: str) -> list[tuple[str, Any]]:
    """(shortest path, value) of a file's public names: those of `__all__`, or that it defines."""
    module = importlib.import_module(f"tinygen.{package}.{file}")
    defined = [
        n for n, v in vars(module).items() if getattr(v, "__module__", "") == module.__name__
    ]
    found = []
    for name in getattr(module, "__all__", [n for n in defined if not n.startswith("_")]):
        value = getattr(module, name)
        places = {"": tg, f"{package}.": importlib.import_module(f"tinygen.{package}")}
        prefix = next((p for p, m in places.items() if getattr(m, name, None) is value), None)
        found.append((f"{package}.{file}.{name}" if prefix is None else prefix + name, value))
    return found


def row(path: str, value: Any) -> str:
    documented = inspect.isclass(value) or inspect.isroutine(value)
    line = NOTES.get(path) or " ".join((inspect.getdoc(value) or "").partition("\n\n")[0].split())
    assert line and (documented or path in NOTES), f"{path} has no docstring: add a note"
    return f"| `{path}` | {line.replace('|', chr(92) + '|')} |"


def main() -> None:
    with replacing(PAGE) as file:
        file.write(text().encode())


if __name__ == "__main__":
    main()
