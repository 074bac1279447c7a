"""The command line that the examples share: few options, the same everywhere, in plain words.

    parser = commandline.parser(__doc__, out="runs/vae_mnist", epochs=10, batch_size=128, lr=1e-3)
    parser.add_argument("--beta", type=float, default=1.0, help="the weight of the KL term")
    args = commandline.parse(parser, quick={"epochs": 1})

`--quick` and `--resume` bring settings of their own: the smallest that still shows everything, and
those of the run that is resumed. What is typed wins over both.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tinygen.autograd import backend
from tinygen.data import NotFound, Unavailable, mnist
from tinygen.optim import NotFinite
from tinygen.run.checkpoint import CheckpointError
from tinygen.run.folder import RunError, read_config

__all__ = ["add_subsets", "at_least", "choose", "from_zero", "main", "parse", "parser", "positive"]


def parser(
    description: str | None,
    *,
    out: str,
    data: str | None = "auto",
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
) -> argparse.ArgumentParser:
    """The shared options, with these defaults; one whose default is None is left out."""
    first, _, rest = (description or "").strip().partition("\n\n")
    p = argparse.ArgumentParser(
        description=" ".join(first.split()),
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if data is not None:
        p.add_argument(
            "--data",
            default=data,
            metavar="SET",
            help="training data: auto, mnist, fashion, digits, shapes, or a folder with "
            "pictures of your own. auto is MNIST if it is available, otherwise "
            f"built-in synthetic digits (default: {data})",
        )
    if epochs is not None:
        p.add_argument(
            "--epochs",
            type=at_least(0),
            default=epochs,
            help=f"passes over the training images (default: {epochs})",
        )
    if batch_size is not None:
        p.add_argument(
            "--batch-size",
            type=at_least(1),
            default=batch_size,
            help=f"images per step (default: {batch_size})",
        )
    if lr is not None:
        p.add_argument("--lr", type=positive, default=lr, help=f"learning rate (default: {lr})")
    p.add_argument(
        "--seed",
        type=at_least(0),
        default=0,
        help="random seed: the same seed gives the same run (default: 0)",
    )
    p.add_argument(
        "--backend",
        choices=backend.LIBRARIES,
        help="compute with NumPy on the processor, or with CuPy on a GPU "
        "(default: $TINYGEN_BACKEND, else numpy)",
    )
    p.add_argument(
        "--out",
        type=Path,
        default=Path(out),
        help=f"output folder; an older run in it is renamed (default: {out})",
    )
    p.add_argument(
        "--resume",
        action="store_true",
        help="continue the run in that folder, with its settings, from its last checkpoint",
    )
    p.add_argument(
        "--samples",
        type=at_least(0),
        default=0,
        metavar="N",
        help="also write N samples to samples.npz (default: 0)",
    )
    p.add_argument(
        "--quick", action="store_true", help="smoke test: finishes in seconds, with poor results"
    )
    return p


def add_subsets(parser: argparse.ArgumentParser) -> None:
    """Options for a part of the images: `--train N` and `--test-images N`."""
    parser.add_argument(
        "--train", type=at_least(2), metavar="N", help="training images, at most (default: all)"
    )
    parser.add_argument(
        "--test-images",
        type=at_least(2),
        metavar="N",
        help="held-out images, at most (default: all)",
    )


def parse(
    parser: argparse.ArgumentParser,
    argv: Sequence[str] | None = None,
    *,
    quick: Mapping[str, Any] | None = None,
) -> argparse.Namespace:
    """The settings of this run; `--backend` is chosen, and what `--data auto` stands for.

    `quick` are the settings that `--quick` changes.
    """
    unset = object()
    settings = vars(parser.parse_args([]))
    marked = parser.parse_args(argv, argparse.Namespace(**dict.fromkeys(settings, unset)))
    typed = {name: value for name, value in vars(marked).items() if value is not unset}
    if typed.get("resume"):
        if typed.get("data") == "auto":
            del typed["data"]  # what it was when the run began
        saved = read_config(typed.get("out", settings["out"]))["settings"]
        settings |= {
            name: value
            for name, value in saved.items()
            if name in settings and name not in ("out", "backend")
        }
    elif typed.get("quick"):
        settings |= quick or {}
    settings |= typed
    if "data" in settings:
        settings["data"] = choose(settings["data"])
    if settings["backend"]:
        try:
            backend.use(settings["backend"])
        except RuntimeError as error:
            parser.error(str(error))
    return argparse.Namespace(**settings)


def choose(name: str) -> str:
    """The set that `--data` names: for "auto" MNIST if it is available, otherwise "digits".

    If it must be downloaded, it is downloaded here, with a progress bar.
    """
    wanted = "mnist" if name == "auto" else name
    try:
        if wanted in mnist.SOURCES and not mnist.have(wanted):
            mnist.load(wanted, progress=True)
    except Unavailable as error:
        if name != "auto":
            raise
        reason = str(error).splitlines()[0].removeprefix("mnist: ")
        print(
            f"MNIST is unavailable: {reason}. Using built-in synthetic digits instead; for the "
            f"real ones set TINYGEN_DATA to a folder with MNIST's four files.",
            file=sys.stderr,
            flush=True,
        )
        return "digits"
    return wanted


def main(program: Callable[[], int | None]) -> None:
    """Run the program, and end with its exit status.

    The process belongs to the program, so `keep_memory` is called for its speed. An error that says
    all that there is to say is shown without the traceback; Ctrl-C ends quietly.
    """
    backend.keep_memory()
    try:
        sys.exit(program())
    except KeyboardInterrupt:
        sys.exit(130)
    except (CheckpointError, NotFinite, NotFound, RunError, Unavailable) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)


def at_least(least: int) -> Callable[[str], int]:
    """An option's type: a whole number from `least` on."""

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(
                f"expected a whole number from {least} on, got {text!r}"
            )
        return value

    return number


def positive(text: str) -> float:
    """An option's type: a number above 0."""
    return _number(text, "above 0", lambda x: x > 0)


def from_zero(text: str) -> float:
    """An option's type: a number from 0 on."""
    return _number(text, "from 0 on", lambda x: x >= 0)


def _number(text: str, where: str, holds: Callable[[float], bool]) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and holds(value)):
        raise argparse.ArgumentTypeError(f"expected a number {where}, got {text!r}")
    return value
