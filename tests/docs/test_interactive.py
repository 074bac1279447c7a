"""docs/interactive.md: its data fit, and its script computes what tinygen computes."""

import json
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tinygen.flow import ode

DOCS = Path(__file__).resolve().parents[2] / "docs"
sys.path.insert(0, str(DOCS))
import figures_interactive as figures  # noqa: E402
import make_interactive as make  # noqa: E402

FOLDER = DOCS / "interactive"
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="Node.js is not installed")


def computed(expression):
    """The value of an expression of JavaScript, with mathematics.js as `m` and data.js as `DATA`"""
    program = f"""
        const m = require("./mathematics.js");
        require("./data.js");
        console.log(JSON.stringify({expression}));
    """
    command = [NODE, "-e", program]
    answer = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=True)
    return np.array(json.loads(answer.stdout), float)


# --- the data -------------------------------------------------------------------------------------


def test_packing_keeps_an_array_to_its_rounding():
    x = np.random.default_rng(0).normal(size=(3, 4, 2))
    kept = make.unpacked(json.loads(json.dumps(make.packed(x))))
    assert kept.shape == x.shape
    assert np.abs(kept - x).max() <= np.abs(x).max() / 32767 / 2 * 1.001
    assert (make.unpacked(make.packed(np.zeros(3))) == 0).all()


def test_a_script_is_read_as_it_was_written(tmp_path):
    content = {"a": {"T": 1000, "x": make.packed(np.arange(4.0))}}
    (tmp_path / "data.js").write_text(make.script(content), "utf-8")
    assert make.read(tmp_path) == json.loads(json.dumps(content))


def test_a_sprite_has_its_tiles_in_reading_order():
    images = np.linspace(0, 1, 6)[:, None, None] * np.ones((6, 2, 3))
    tiles = make.sprite(images, columns=3, greys=6)
    assert tiles.dtype == np.uint8 and tiles.shape == (4, 9)
    assert tiles[::2, ::3].tolist() == [[0, 51, 102], [153, 204, 255]]
    assert len(np.unique(make.sprite(np.random.default_rng(0).random((6, 9, 9)), 3, 4))) == 4


def test_the_stored_data_have_the_shapes_of_the_settings_and_are_small():
    content = make.read()
    x = make.unpacked(content["diffusion"]["x"])
    v = make.unpacked(content["flow"]["v"])
    assert x.shape == (make.FRAMES + 1, make.POINTS, 2)
    assert v.shape == (make.TIMES, make.SIDE, make.SIDE, 2)
    assert x[0].std() == pytest.approx(1, abs=0.1)  # noise
    with make.Image.open(FOLDER / "digits.png") as sprite:
        assert sprite.size == (28 * make.TILES,) * 2
    assert (FOLDER / "digits.png").stat().st_size < 200_000
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 400_000


def test_the_stored_flow_leads_noise_to_the_clusters():
    content = make.read()["flow"]
    f = figures.interpolated(make.unpacked(content["v"]), content["reach"])
    noise = np.random.default_rng(0).standard_normal((40, 2))
    times = np.linspace(0, 1, 21)
    ends = np.array([ode.solve(f, x, times) for x in noise])
    distances = np.linalg.norm(ends[:, None] - make.CLUSTERS["means"], axis=2).min(axis=1)
    assert np.median(distances) < 2 * make.CLUSTERS["std"]


# --- the script -----------------------------------------------------------------------------------


@needs_node
@pytest.mark.parametrize("lr", [0.001, 0.03, 0.079, 0.2, 1.0])
def test_the_optimisers_of_the_page_are_those_of_tinygen(lr):
    start, steps = figures.START, figures.STEPS
    names = json.dumps(list(figures.OPTIMISERS))
    paths = computed(f"{names}.map(name => m.descend(name, {lr}, {start}, {steps}))")
    for found, (name, (_, optimiser)) in zip(paths, figures.OPTIMISERS.items(), strict=True):
        expected = figures.path(partial(optimiser, lr=lr), figures.valley, start, steps)
        assert expected.dtype == np.float64
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6, err_msg=name)


@needs_node
@pytest.mark.parametrize("steps", [1, 4, 40])
def test_the_paths_of_the_page_are_those_of_tinygen(steps):
    content = make.read()["flow"]
    f = figures.interpolated(make.unpacked(content["v"]), content["reach"])
    start = np.array([-0.7, 1.1])
    field = "m.field(m.unpacked(DATA.flow).v, DATA.flow.reach)"
    solve = f"name => m.solve(name, {field}, {start.tolist()}, {steps})"
    paths = computed(f'["Euler", "Heun"].map({solve})')
    for found, step in zip(paths, (ode.euler, ode.heun), strict=True):
        expected = list(ode.path(f, start, np.linspace(0, 1, steps + 1), step))
        np.testing.assert_allclose(found, expected, atol=1e-9)
