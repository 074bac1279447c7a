"""The command-line options that the examples share.

    parser = commandline.parser(__doc__, out="runs/vae_mnist", epochs=10, batch_size=128, lr=1e-3)
    args = commandline.parse(parser, quick={"epochs": 1})

`--quick` and `--resume` change the defaults. Options on the command line override both.
"""

import contextlib
import math
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tinygen import distributed
from tinygen.autograd import backend
from tinygen.data import NotFound, Unavailable, UnknownWord, sets
from tinygen.optim import NotFinite
from tinygen.run.checkpoint import CheckpointError
from tinygen.run.folder import RunError, read_config

__all__ = ["add_subsets", "at_least", "choose", "main", "parse", "parser", "positive"]


def parser(
    description: str | None,
    *,
    out: str,
    data: str | None = "auto",
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
) -> ArgumentParser:
    """A parser of the shared options with these defaults; None leaves an option out."""
    first, _, rest = (description or "").strip().partition("\n\n")
    first = " ".join(first.split())
    p = ArgumentParser(None, None, first, rest, formatter_class=RawDescriptionHelpFormatter)

    def add(name: str, default: Any, of: Any, help: str, metavar: str | None = None) -> None:
        if default is not None:
            help = f"{help} (default: %(default)s)"
            p.add_argument(name, default=default, type=of, metavar=metavar, help=help)

    sets = "training data: auto, mnist, fashion, digits, shapes, or a folder of pictures; auto is"
    add("--data", data, str, f"{sets} MNIST if available, otherwise synthetic digits", "SET")
    add("--epochs", epochs, at_least(0), "number of passes over the training images")
    split = "images per step; `mpirun -n 2` splits them between 2 processes: may be faster"
    add("--batch-size", batch_size, at_least(1), split)
    add("--lr", lr, positive, "learning rate")
    add("--seed", 0, at_least(0), "random seed: the same seed gives the same run")
    chosen = "NumPy on the CPU or CuPy on a GPU (default: $TINYGEN_BACKEND, otherwise numpy)"
    p.add_argument("--backend", choices=backend.LIBRARIES, help=chosen)
    add("--out", Path(out), Path, "output folder; an older run in it is renamed")
    resumed = "continue the run in the output folder from its last checkpoint, with its settings"
    p.add_argument("--resume", action="store_true", help=resumed)
    add("--samples", 0, at_least(0), "also write N samples to samples.npz", "N")
    smoke = "smoke test: finishes in seconds, with poor results"
    p.add_argument("--quick", action="store_true", help=smoke)
    return p


def add_subsets(parser: ArgumentParser) -> None:
    """Add `--train N` and `--test-images N`, which limit the number of images."""
    for name, images in (("--train", "training"), ("--test-images", "held-out")):
        help = f"maximum number of {images} images (default: all)"
        parser.add_argument(name, type=at_least(2), metavar="N", help=help)


def parse(
    parser: ArgumentParser, argv: Sequence[str] | None = None, *, quick: Mapping[str, Any] = {}
) -> Namespace:
    """The settings of this run, with `--data auto` resolved and the backend of `--backend` set."""
    args, saved = parser.parse_args(argv), dict[str, Any]()
    if args.resume:
        saved = read_config(args.out)["settings"]
        names = vars(args).keys() & saved.keys() - {"out", "backend"}
        parser.set_defaults(**{name: saved[name] for name in names})
    elif args.quick:
        parser.set_defaults(**quick)
    args = parser.parse_args(argv)  # again, as options override the new defaults
    if "data" in args:  # a resumed run keeps the set that auto was when it began
        args.data = choose(saved.get("data", "auto") if args.data == "auto" else args.data)
    if args.backend:
        try:
            backend.use(args.backend)
        except RuntimeError as error:
            if distributed.rank():  # nobody would see the parser's message
                distributed.fail(str(error))
            parser.error(str(error))
    return args


def choose(name: str) -> str:
    """The set that `--data` names: for "auto" MNIST if available, otherwise "digits"."""
    wanted = "mnist" if name == "auto" else name
    try:
        if wanted in sets.SOURCES and not sets.have(wanted):
            sets.load(wanted, progress=True)
    except Unavailable as error:
        if name != "auto":
            raise
        reason = str(error).splitlines()[0].removeprefix("mnist: ")
        print(f"MNIST is unavailable: {reason}. Using synthetic digits.", end=" ", file=sys.stderr)
        print("For MNIST, set TINYGEN_DATA to a folder with its four files.", file=sys.stderr)
        return "digits"
    return wanted


def main(program: Callable[[], int | None]) -> None:
    """Run the program and exit with its status; expected errors are shown without a traceback."""
    backend.keep_memory()  # for speed; this affects the whole process
    distributed.size()  # from here on only rank 0 prints
    try:
        sys.exit(program())
    except KeyboardInterrupt:
        if distributed.size() > 1:  # the others would wait for this one
            distributed.fail("stopped by a signal")
        sys.exit(130)
    except (CheckpointError, NotFinite, NotFound, RunError, Unavailable, UnknownWord) as error:
        distributed.fail(f"{type(error).__name__}: {error}")


def at_least(least: float) -> Callable[[str], Any]:
    """An argparse type: a number ≥ `least`, and an integer if `least` is an int."""
    expected = f"{'whole number' if isinstance(least, int) else 'number'} ≥ {least:g}"
    return lambda text: _number(text, type(least), lambda x: least <= x < math.inf, expected)


def positive(text: str) -> float:
    """An argparse type: a number > 0."""
    return _number(text, float, lambda x: 0 < x < math.inf, "number > 0")


def _number(text: str, of: Any, accepts: Callable[[float], bool], expected: str) -> Any:
    with contextlib.suppress(ValueError):
        if accepts(value := of(text)):
            return value
    raise ArgumentTypeError(f"expected a {expected}, got {text!r}")
