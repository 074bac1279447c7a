"""Animations: a GIF of image grids, such as samples during training or denoising.

    film = Animation(most=60)
    for record in training:
        film.append(samples, f"step {record.step}")
        film.save("samples.gif")

All frames share one palette, so that colours do not flicker: 256 exact greys, or the 256 best
colours for all frames together.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from tinygen._batch import host
from tinygen._checks import expect, whole
from tinygen._files import replacing
from tinygen._types import Array, ArrayLike
from tinygen.image.grids import FONT, GAP, HEAD, MARGIN, as_pixels, tiled
from tinygen.image.style import GREY, INK, PathLike, path_to

__all__ = ["Animation", "animation"]

WIDTH = 600  # in pixels, unless the images alone are wider
HOLD = 2000  # ms that the last frame is shown


class Animation:
    """The frames of a run of any length: `append` them, and `save` at any time

    A frame is a batch of images (N, H, W, C) with values from 0 to 1, shown as a grid, or one
    picture (H, W, 3). To keep at most `most`, every second one is dropped whenever they are full,
    but never the first or the latest. `state_dict` lets a resumed run add to them.
    """

    def __init__(self, most: int = 100, *, columns: int = 0) -> None:
        whole("Animation", 2, most=most)
        self.most, self.columns = most, columns
        self.seen, self.every = 0, 1  # frames appended; one in `every` is kept
        self._frames: list[tuple[Array, str]] = []  # those kept, and the latest

    def append(self, frame: ArrayLike, text: str = "") -> None:
        """Add a frame, with a text for its lower corner, such as the step."""
        x = host(frame)
        x = x[None] if x.ndim == 3 and x.shape[-1] == 3 else x
        pixels, _ = as_pixels("Animation.append", x, "frame")
        (N, H, W, _), size = (self._frames[0][0] if self._frames else pixels).shape, pixels.shape
        if size[:3] != (N, H, W):
            raise ValueError(f"Animation.append: expected `frame` ({N}, {H}, {W}, C), got {size}")
        del self._frames[math.ceil(self.seen / self.every) :]  # the latest, unless it is to be kept
        if self.seen == self.most * self.every:
            self._frames, self.every = self._frames[::2], 2 * self.every
        if (pixels == pixels[..., :1]).all():  # grey: a third of the memory
            pixels = pixels[..., :1].copy()
        self._frames.append((pixels, str(text)))
        self.seen += 1

    def __len__(self) -> int:
        return len(self._frames)

    def save(self, where: PathLike, *, fps: float = 10, title: str = "") -> None:
        """Write a looping GIF of `fps` frames per second, at most 50; the last stays for 2 s."""
        path = path_to("Animation.save", where, ".gif")
        expect("Animation.save", "> 0", fps=fps)
        if not self._frames:
            raise ValueError("Animation.save: expected frames, got none; append some first")
        first, *others = in_one_palette([self._drawn(k, title) for k in range(len(self))])
        tick = 10 * max(2, round(100 / fps))  # ms; a GIF counts in hundredths of a second
        durations = [tick] * len(others) + [max(tick, HOLD)]
        loop: dict[str, Any] = {"save_all": True, "append_images": others, "loop": 0}
        with replacing(path) as file:
            first.save(file, format="GIF", duration=durations, optimize=False, disposal=1, **loop)

    def _drawn(self, k: int, title: str) -> Image.Image:
        """Frame k with its text and a progress bar below."""
        pixels, text = self._frames[k]
        N, _, W, _ = pixels.shape
        columns = min(N, self.columns or math.ceil(math.sqrt(N)))
        scale = min(8, max(1, WIDTH // (columns * (W + 1))))
        array = tiled(pixels, columns, scale)
        tiles = Image.fromarray(array if array.shape[-1] == 3 else array[..., 0])
        lines = textwrap.wrap(title, max(16, tiles.width // 8))
        top = MARGIN + HEAD * len(lines)
        foot = top + tiles.height + (HEAD if any(text for _, text in self._frames) else 0) + GAP
        size = tiles.width + 2 * MARGIN, foot + GAP + MARGIN
        frame = Image.new(tiles.mode, size, "white")
        frame.paste(tiles, (MARGIN, top))
        draw = ImageDraw.Draw(frame)
        draw.text((size[0] / 2, MARGIN), "\n".join(lines), INK, FONT, "ma", align="center")
        draw.text((MARGIN, foot - GAP - 3), text, INK, FONT, "ls")
        end = MARGIN + math.ceil(tiles.width * (k + 1) / len(self)) - 1
        draw.rectangle((MARGIN, foot, end, foot + GAP - 1), GREY)
        return frame

    def state_dict(self) -> dict[str, Array]:
        """The kept frames, as arrays for `np.savez(file, **state)`."""
        C = max((pixels.shape[-1] for pixels, _ in self._frames), default=1)
        frames = [np.broadcast_to(pixels, (*pixels.shape[:3], C)) for pixels, _ in self._frames]
        return {
            "seen": np.array(self.seen),
            "every": np.array(self.every),
            "frames": np.stack(frames) if frames else np.zeros((0, 1, 1, 1, 1), np.uint8),
            "texts": np.array([text for _, text in self._frames], np.str_),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the frames of `state_dict`; after an error nothing has changed."""
        seen, every = int(state["seen"]), int(state["every"])
        texts = np.asarray(state["texts"]).tolist()
        frames = list(zip(np.array(state["frames"]), texts, strict=True))
        while (kept := math.ceil(seen / every)) > self.most:
            frames, every = frames[:kept:2] + frames[kept:], 2 * every
        self.seen, self.every, self._frames = seen, every, frames


def animation(
    where: PathLike, frames: Iterable[ArrayLike], *, fps: float = 10, title: str = ""
) -> None:
    """A GIF of all frames, each a batch of images (N, H, W, C) shown as a grid, or one (H, W, 3)"""
    pictures = list(frames)
    film = Animation(max(2, len(pictures)))
    for frame in pictures:
        film.append(frame)
    film.save(where, fps=fps, title=title)


def in_one_palette(frames: list[Image.Image]) -> list[Image.Image]:
    """Grey frames unchanged; colour frames in one palette of 256 colours."""
    if all(frame.mode == "L" for frame in frames):
        return frames
    frames = [frame.convert("RGB") for frame in frames]
    few = math.isqrt(len(frames)) + 1  # the last frame counts as much as the others together
    parts = [np.asarray(frame)[::few, ::few] for frame in frames] + [np.asarray(frames[-1])]
    pixels = np.concatenate([part.reshape(-1, 3) for part in parts])
    palette = Image.fromarray(pixels[None]).quantize(256)
    return [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
