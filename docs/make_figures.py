"""Draw every figure of the book.

    python docs/make_figures.py [--out DIR]

figures_pacgan.py, figures_results.py and figures_interactive.py read files; all other figures are
computed as they are drawn. Shared code is in drawing.py.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import figures_data
import figures_diffusion
import figures_engine
import figures_gan
import figures_images
import figures_interactive
import figures_layers
import figures_optim
import figures_own_model
import figures_pacgan
import figures_results
import figures_vae
import matplotlib
from drawing import STYLE, save

FIGURES = (
    *figures_engine.FIGURES,
    *figures_layers.FIGURES,
    *figures_optim.FIGURES,
    *figures_data.FIGURES,
    *figures_images.FIGURES,
    *figures_vae.FIGURES,
    *figures_gan.FIGURES,
    *figures_diffusion.FIGURES,
    *figures_own_model.FIGURES,
    *figures_pacgan.FIGURES,
    *figures_results.FIGURES,
    *figures_interactive.FIGURES,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    figures = Path(__file__).parent / "figures"
    parser.add_argument("--out", type=Path, default=figures, help="output folder")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(STYLE):
        for draw in FIGURES:
            save(draw(), out / f"{draw.__name__}.png")


if __name__ == "__main__":
    main()
