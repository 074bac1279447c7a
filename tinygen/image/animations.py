"""Moving pictures: a GIF of grids of images, such as samples through training or a denoising.

    film = Animation(most=60)
    for record in training:
        film.append(samples, f"step {record.step}")
        film.save("samples.gif")

One palette serves all frames, so that no colour flickers: the 256 greys, which are exact, or for
colour images the 256 that suit all frames together. The last frame is held, then it starts again.

Reading order: `Animation`, `animation`; then `_drawn` and `_palette`, the frames and their colours.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from tinygen._checks import whole
from tinygen._files import replacing
from tinygen._types import Array
from tinygen.image.layout import (
    GAP,
    MARGIN,
    SMALL,
    Sheet,
    Text,
    as_pixels,
    is_grey,
    padded,
    rendered,
    rgb,
    tiled,
    titled,
    written,
)
from tinygen.image.style import GREY, INK, PALE, Place, on_host, path_to

__all__ = ["Animation", "animation"]

WIDTH = 600  # pixels, unless one image's own are more
OWN = 16  # colours of the palette that are kept for paper and text
SAMPLE = 100_000  # pixels that the other colours are found from
GRAIN = 24  # the range of the pattern, of 255
BAYER = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]])


class Animation:
    """Frames that gather through a run of any length: `append` them, and `save` at any time

    A frame is a batch of images (N, H, W, C) with values from 0 to 1, drawn as a grid, or one
    picture (H, W, 3). At most `most` are kept, as bytes: when they are full, every second is
    dropped, and from then on only every second that comes is kept, then every fourth and so on. The
    first and the latest are always among those saved. `state_dict` has all frames in plain arrays,
    so that a resumed run goes on with what an earlier one saw.
    """

    def __init__(
        self, most: int = 100, *, columns: int | None = None, scale: int | None = None
    ) -> None:
        whole("Animation", 2, most=most)
        given = {"columns": columns, "scale": scale}
        whole("Animation", 1, **{name: n for name, n in given.items() if n is not None})
        self.most, self.columns, self.scale = int(most), columns, scale
        self.seen, self.every = 0, 1  # frames that came, and of how many one is kept
        self._kept: list[tuple[Array, str]] = []
        self._latest: tuple[Array, str] | None = None

    def append(self, frame: Any, text: str = "") -> None:
        """One more frame, with a text for its lower corner, such as the step."""
        x = on_host(frame)
        picture = x.ndim == 3 and x.shape[-1] == 3
        pixels, _ = as_pixels("Animation.append", x[None] if picture else x, "frame")
        first = self._kept[0][0].shape if self._kept else pixels.shape
        if pixels.shape != first:
            raise ValueError(
                f"Animation.append: expected `frame` {first} as the first was, got {pixels.shape}"
            )
        if is_grey(pixels):
            pixels = pixels[..., :1].copy()
            pixels = np.broadcast_to(pixels, first)  # a third of the memory
        self._latest = (pixels, str(text))
        if self.seen % self.every == 0:
            if len(self._kept) == self.most:
                self._kept = self._kept[::2]
                self.every *= 2
            if self.seen % self.every == 0:
                self._kept.append(self._latest)
        self.seen += 1

    def __len__(self) -> int:
        return len(self._frames())

    def _frames(self) -> list[tuple[Array, str]]:
        if self._latest is None or self._kept[-1] is self._latest:
            return self._kept
        return [*self._kept, self._latest]

    def save(
        self, where: Place, *, fps: float = 10, hold: float = 2.0, title: str | None = None
    ) -> None:
        """Write the GIF: `fps` frames a second, and the last for `hold` seconds. It loops."""
        path = path_to("Animation.save", where, ".gif")
        if not 0 < fps <= 50:  # a GIF counts in hundredths, and what is shorter than two is ignored
            raise ValueError(f"Animation.save: expected 0 < `fps` ≤ 50, got {fps!r}")
        if not 0 <= hold <= 600:
            raise ValueError(f"Animation.save: expected 0 ≤ `hold` ≤ 600 seconds, got {hold!r}")
        frames = self._frames()
        if not frames:
            raise ValueError("Animation.save: expected frames, got none; append some first")
        pictures = [self._drawn(k, title) for k in range(len(frames))]
        images = _in_one_palette(pictures)
        tick = 10 * max(2, round(100 / fps))
        durations = [tick] * (len(images) - 1) + [max(tick, 10 * round(100 * hold))]
        with replacing(path) as file:
            images[0].save(
                file,
                format="GIF",
                save_all=True,
                append_images=images[1:],
                loop=0,
                duration=durations,
                optimize=False,
                disposal=1,
            )

    def _drawn(self, k: int, title: str | None) -> Array:
        """Frame k with its text below and, on the lower edge, a line as long as k is far."""
        frames = self._frames()
        pixels, text = frames[k]
        N, W = pixels.shape[0], pixels.shape[2]
        columns = min(N, self.columns or math.ceil(math.sqrt(N)))
        scale = self.scale or min(8, max(1, WIDTH // (columns * (W + 1))))
        sheet = titled(Sheet(tiled(pixels, columns, scale)), title)
        if any(text for _, text in frames):
            sheet = padded(sheet, bottom=SMALL + MARGIN)
            sheet = written(sheet, Text(0, sheet.picture.shape[0] - 3, "ls", text))
        if len(frames) > 1:
            sheet = padded(sheet, bottom=2 * GAP)
            line = sheet.picture[-GAP:]
            line[:] = rgb(PALE)
            line[:, : math.ceil(line.shape[1] * (k + 1) / len(frames))] = rgb(GREY)
        return rendered(padded(sheet, *[MARGIN] * 4))

    def state_dict(self) -> dict[str, Array]:
        """All that was kept, by name: fit for `np.savez(file, **state)`."""
        frames = self._frames()
        grey = all(is_grey(pixels) for pixels, _ in frames)
        pixels = [each[..., :1] if grey else each for each, _ in frames]
        return {
            "seen": np.array(self.seen),
            "every": np.array(self.every),
            "kept": np.array(len(self._kept)),
            "frames": np.stack(pixels) if frames else np.zeros((0, 1, 1, 1, 1), np.uint8),
            "texts": np.array([text for _, text in frames], dtype=np.str_),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave. If anything does not fit, nothing is."""
        names = {"seen", "every", "kept", "frames", "texts"}
        if set(state) != names:
            raise ValueError(
                f"Animation.load_state_dict: expected {', '.join(sorted(names))}, got "
                f"{', '.join(sorted(state))}"
            )
        pixels, texts = np.asarray(state["frames"]), np.asarray(state["texts"])
        seen, every, kept = (int(state[name]) for name in ("seen", "every", "kept"))
        fits = pixels.ndim == 5 and pixels.dtype == np.uint8 and pixels.shape[-1] in (1, 3)
        if not fits or texts.shape != pixels.shape[:1] or not 0 <= len(pixels) - kept <= 1:
            raise ValueError(
                f"Animation.load_state_dict: expected {kept} uint8 `frames` "
                f"(F, N, H, W, C) and a text for each, got {pixels.dtype} "
                f"{pixels.shape} and {texts.shape}"
            )
        full = (*pixels.shape[1:4], 3)
        frames = [
            (np.broadcast_to(each, full), str(text))
            for each, text in zip(pixels.copy(), texts, strict=True)
        ]
        while kept > self.most:
            frames = frames[:kept:2] + frames[kept:]
            kept, every = (kept + 1) // 2, 2 * every
        self.seen, self.every, self._kept = seen, every, frames[:kept]
        self._latest = frames[-1] if frames else None


def animation(
    where: Place,
    frames: Iterable[Any],
    *,
    texts: Sequence[str] | None = None,
    fps: float = 10,
    hold: float = 2.0,
    columns: int | None = None,
    scale: int | None = None,
    title: str | None = None,
) -> None:
    """A GIF of all frames, each a batch of images (N, H, W, C) drawn as a grid, or one (H, W, 3)

    `texts` are for the frames' lower corner, one each. See `Animation` for what comes bit by bit.
    """
    pictures = list(frames)
    texts = [""] * len(pictures) if texts is None else [str(text) for text in texts]
    if len(texts) != len(pictures):
        raise ValueError(f"animation: expected {len(pictures)} `texts`, got {len(texts)}")
    film = Animation(max(2, len(pictures)), columns=columns, scale=scale)
    for frame, text in zip(pictures, texts, strict=True):
        film.append(frame, text)
    film.save(where, fps=fps, hold=hold, title=title)


# --- colours --------------------------------------------------------------------------------------


def _in_one_palette(pictures: list[Array]) -> list[Image.Image]:
    if all(is_grey(picture) for picture in pictures):
        greys = np.repeat(np.arange(256, dtype=np.uint8), 3).tobytes()
        images = [Image.fromarray(picture[..., 0]) for picture in pictures]
        for image in images:
            image.putpalette(greys)
        return images
    palette = _palette(pictures)
    return [
        Image.fromarray(_dithered(picture)).quantize(palette=palette, dither=Image.Dither.NONE)
        for picture in pictures
    ]


def _palette(pictures: list[Array]) -> Image.Image:
    """The colours that suit all frames together, and the greys of paper and text as they are.

    The last frame, which is held, counts as much as all others.
    """
    every = np.concatenate([picture.reshape(-1, 3) for picture in pictures])
    last = pictures[-1].reshape(-1, 3)
    pixels = np.concatenate([x[:: 1 + len(x) // SAMPLE] for x in (every, last)])
    pixels = pixels[(pixels != pixels[:, :1]).any(axis=1)]
    image = Image.fromarray(pixels[None]).quantize(256 - OWN)
    greys = np.linspace(rgb(INK)[0], 255, OWN).round().astype(np.uint8)
    found = (image.getpalette() or [])[: 3 * (256 - OWN)]
    palette = Image.new("P", (1, 1))
    palette.putpalette(bytes(found) + np.repeat(greys, 3).tobytes())
    return palette


def _dithered(picture: Array) -> Array:
    """Colours a little brighter or darker by a fixed pattern, so that gradients show no steps.

    Error diffusion would look better in one picture, but its grain differs from frame to frame.
    """
    height, width, _ = picture.shape
    pattern = np.tile((BAYER + 0.5) / BAYER.size - 0.5, (height // 4 + 1, width // 4 + 1))
    coloured = (picture != picture[..., :1]).any(axis=-1, keepdims=True)
    shifted = picture + GRAIN * pattern[:height, :width, None] * coloured
    return np.asarray(np.clip(np.rint(shifted), 0, 255), np.uint8)
