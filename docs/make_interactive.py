"""Train the small models of docs/interactive.md, and write the data that its script shows.

    python docs/make_interactive.py

docs/interactive/ gets data.js, one object with all arrays, and digits.png, the decoded latent
plane. A page opened as a file may not read other files but may load scripts and images, so the
data are a script. Training takes about two minutes; the latent plane needs MNIST. The pictures of
the page, figures_interactive.py, are drawn from the same two files.

Reading order: `main`; the three models; the files.
"""

from __future__ import annotations

import base64
import json
from itertools import islice
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from drawing import STYLE, save
from PIL import Image
from threadpoolctl import threadpool_limits

from tinygen import data, diffusion, flow, models, nn, optim, vae
from tinygen.data import points_2d
from tinygen.diffusion import samplers

FOLDER = Path(__file__).parent / "interactive"
SEED, STEPS, BATCH_SIZE, LEARNING_RATE = 0, 3000, 256, 4e-3  # of the two networks in the plane
POINTS, FRAMES, SOLVER_STEPS = 500, 25, 200  # of the diffusion trajectory
REACH, SIDE, TIMES = 3.0, 31, 13  # the grid of the velocity: ±REACH, points per side, times
CLUSTERS = {"means": points_2d.ring_means(5, 1.7), "std": 0.25}  # the flow's data
EPOCHS, HIDDEN = 10, (400, 200)  # of the VAE
LATENT_REACH, TILES, GREYS = 2.5, 21, 24  # the grid of codes: ±LATENT_REACH, per side


# --- the three models -----------------------------------------------------------------------------


def optimised(network: nn.Module, steps: int, lr: float) -> tuple[optim.Adam, optim.EMA]:
    """Adam with a cosine schedule, and the average of the weights, to sample with"""
    parameters = dict(network.named_parameters())
    return optim.Adam(parameters, optim.cosine(lr, steps)), optim.EMA(parameters)


def trajectory() -> dict[str, Any]:
    """Points x_t of a pinwheel at evenly spaced times from T to 0: (FRAMES + 1, POINTS, 2)"""
    rng = np.random.default_rng(SEED)
    x = points_2d.pinwheel(100_000, rng=rng).points
    x = x / x.std()
    model = diffusion.Diffusion(models.PlaneMLP(rng=rng), diffusion.cosine(), "v")
    adam, average = optimised(model, STEPS, LEARNING_RATE)
    batches = islice(data.Batches(x, BATCH_SIZE, rng=rng), STEPS)
    for _ in diffusion.train(model, batches, adam, rng=rng, ema=average):
        pass
    with average.applied():
        noise = rng.standard_normal((POINTS, 2), np.float32)
        steps = [step.x for step in samplers.ddim(model, noise, steps=SOLVER_STEPS)]
    frames = np.stack([noise, *steps])[:: SOLVER_STEPS // FRAMES]
    return {"T": model.schedule.T, "x": packed(frames), "shown": far_travelled(frames)}


def far_travelled(frames: np.ndarray) -> list[int]:
    """In each of five sectors of the plane, the point that moved farthest from near the centre"""
    distance = np.linalg.norm(frames[-1] - frames[0], axis=1)
    distance[np.linalg.norm(frames[0], axis=1) > 1] = 0
    sector = np.arctan2(*frames[-1].T) % (2 * np.pi) // (2 * np.pi / 5)
    return [int(np.where(sector == k, distance, 0).argmax()) for k in range(5)]


def velocities() -> dict[str, Any]:
    """v(x, t) of a flow to clusters, on a grid: (TIMES, SIDE, SIDE, 2), rows by x₂"""
    rng = np.random.default_rng(SEED)
    x = points_2d.mixture(100_000, **CLUSTERS, rng=rng).points
    network = flow.UnitTime(models.PlaneMLP(rng=rng))
    adam, average = optimised(network, STEPS, LEARNING_RATE)
    batches = islice(data.Batches(x, BATCH_SIZE, rng=rng), STEPS)
    for _ in flow.train(network, batches, adam, rng=rng, ema=average):
        pass
    ticks = np.linspace(-REACH, REACH, SIDE, dtype=np.float32)
    grid = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
    with average.applied():
        f = flow.velocity(network)
        v = np.stack([f(grid, t) for t in np.linspace(0, 1, TIMES)])
    shown = points_2d.mixture(300, **CLUSTERS, rng=rng).points
    v = v.reshape(TIMES, SIDE, SIDE, 2)
    return {"reach": REACH, "v": packed(v), "data": packed(shown)}


def latent_plane() -> tuple[dict[str, Any], np.ndarray]:
    """Digits decoded from a grid of codes z, z₁ to the right and z₂ up: (TILES², 28, 28)"""
    rng = np.random.default_rng(SEED)
    train, _ = data.load("mnist")
    pixels = train.images[0].size
    encoder = nn.Sequential(nn.Flatten(), models.mlp([pixels, *HIDDEN, 4], rng=rng))
    decoder = nn.Sequential(models.mlp([2, *HIDDEN[::-1], pixels], rng=rng), nn.Reshape(28, 28, 1))
    model = vae.VAE(encoder, decoder, 2)
    batches = data.Batches(train.images, 128, rng=rng, epochs=EPOCHS)
    adam, average = optimised(model, batches.steps, 1e-3)
    for _ in vae.train(model, batches, adam, rng=rng):
        average.update()
    ticks = np.linspace(-LATENT_REACH, LATENT_REACH, TILES, dtype=np.float32)
    z = np.stack(np.meshgrid(ticks, ticks[::-1]), axis=-1).reshape(-1, 2)
    with average.applied():
        return {"reach": LATENT_REACH, "tiles": TILES}, model.generate(z)[..., 0]


# --- the files ------------------------------------------------------------------------------------


def packed(array: np.ndarray) -> dict[str, Any]:
    """An array as base64 of 16-bit integers: its elements are integer × scale."""
    scale = float(np.abs(array).max() / 32767) or 1.0
    whole = np.round(array / scale).astype("<i2")
    return {
        "shape": array.shape,
        "scale": scale,
        "base64": base64.b64encode(whole.tobytes()).decode(),
    }


def unpacked(array: dict[str, Any]) -> np.ndarray:
    whole = np.frombuffer(base64.b64decode(array["base64"]), "<i2")
    return whole.reshape(array["shape"]) * array["scale"]


def script(content: dict[str, Any]) -> str:
    """A line of JavaScript that assigns the object"""
    return f"globalThis.DATA = {json.dumps(content)};\n"


def read(folder: Path = FOLDER) -> dict[str, Any]:
    """The object of data.js"""
    return json.loads((folder / "data.js").read_text("utf-8").partition("=")[2].rstrip(";\n"))


def sprite(images: np.ndarray, columns: int, greys: int = GREYS) -> np.ndarray:
    """Images (N, H, W) in [0, 1] as tiles of one picture of uint8, row by row, with few greys"""
    N, H, W = images.shape
    rows = images.reshape(N // columns, columns, H, W).swapaxes(1, 2)
    tiles = rows.reshape(N // columns * H, columns * W)
    return np.round(np.round(tiles * (greys - 1)) * 255 / (greys - 1)).astype(np.uint8)


def main() -> None:
    import figures_interactive  # it reads the files that are written here

    with threadpool_limits(1, "blas"):
        plane, digits = latent_plane()
        content = {"diffusion": trajectory(), "flow": velocities(), "latent": plane}
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "data.js").write_text(script(content), "utf-8", newline="\n")
    Image.fromarray(sprite(digits, TILES)).save(FOLDER / "digits.png", optimize=True)
    with matplotlib.rc_context(STYLE):
        for draw in figures_interactive.FIGURES:
            save(draw(), FOLDER.parent / "figures" / f"{draw.__name__}.png")


if __name__ == "__main__":
    main()
