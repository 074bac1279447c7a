"""The table of foreign names: real replacements, and no other names than docs/names.md has."""

import re
from pathlib import Path

import pytest

import tinygen as tg
from tinygen import nn, optim
from tinygen._names import KNOWN

PAGE = (Path(tg.__file__).parents[1] / "docs" / "names.md").read_text("utf-8")
OURS = (tg, nn, optim, tg.Tensor, nn.Module, optim.Optimizer)
FOREIGN = r"""\b(?:nn|torch|optim|layers|ops|F|x|m|model|init|optimizers|optimizer|schedules
|lr_scheduler|swa_utils|activations|parametrizations)\.(\w+)""".replace("\n", "")


def test_the_page_has_every_name_of_the_table_and_the_table_those_of_the_page():
    assert [name for name in KNOWN if not re.search(rf"\b{name}\b", PAGE)] == []
    rows = [line.split("|")[1:3] for line in PAGE.splitlines() if line.startswith("| ")]
    names = {name for row in rows for name in re.findall(FOREIGN, " ".join(row))} - {"pt"}
    lacking = {n for n in names if not any(hasattr(ours, n) for ours in OURS)}
    assert lacking <= KNOWN.keys()


@pytest.mark.parametrize("name", KNOWN)
def test_a_replacement_exists(name):
    x, model = tg.Tensor([1.0]), nn.Module()
    spaces = {"tg": tg, "nn": nn, "optim": optim, "x": x, "model": model}
    for space, attribute in re.findall(r"\b(tg|nn|optim|x|model)\.(\w+)", KNOWN[name]):
        assert hasattr(spaces[space], attribute), KNOWN[name]
