"""Run an example program, or copy it to change it.

python -m tinygen                           list the programs
python -m tinygen vae_mnist --quick         run one, with its options
python -m tinygen --copy vae_mnist          copy it into this folder
"""

import ast
import difflib
import runpy
import shutil
import sys
from pathlib import Path

from tinygen._files import replacing

HERE = Path(__file__).resolve().parent
# a package has the programs in it, a clone beside it
FOLDER = next(filter(Path.is_dir, (HERE / "examples", HERE.parent / "examples")), HERE)


def main() -> None:
    words = sys.argv[1:]
    copies = words[:1] == ["--copy"]
    name, *rest = words[copies:] or ["--help"]
    if name in ("-h", "--help"):
        print(listing())
    elif copies:
        print(f"try: python {copy(program(name), Path(*rest[:1]))}")
    else:
        path = program(name)
        sys.argv[:] = [str(path), *rest]
        sys.path[0] = str(FOLDER)
        runpy.run_path(str(path), run_name="__main__")


def listing() -> str:
    """What this command does, and each program with the first sentence of its docstring"""
    lines = [(__doc__ or "").rstrip(), ""]
    for path in sorted(FOLDER.glob("*.py")):
        first = (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").partition("\n\n")[0]
        lines.append(f"{path.stem:20} {' '.join(first.split())}")
    return "\n".join(lines)


def program(name: str) -> Path:
    """The path of a program, asked for with or without `.py`"""
    names = [path.stem for path in FOLDER.glob("*.py")]
    stem = Path(name).name.removesuffix(".py")
    if stem in names:
        return FOLDER / f"{stem}.py"
    near = difflib.get_close_matches(stem, names)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    sys.exit(f"tinygen: no program {name!r}{hint} `python -m tinygen` lists them.")


def copy(path: Path, folder: Path) -> Path:
    """Copy a program into the folder, unless a different file has its name"""
    there, text = folder / path.name, path.read_bytes()
    if there.exists() and there.read_bytes() != text:
        sys.exit(f"tinygen: {there} exists and is different: rename it, or name another folder")
    with replacing(there) as file:
        file.write(text)
    if b"\nfrom workloads" in text:
        shutil.copytree(path.parent / "workloads", folder / "workloads", dirs_exist_ok=True)
    return there


if __name__ == "__main__":
    main()
