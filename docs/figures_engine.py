"""The figures of the chapters on the engine, computed as they are drawn."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from drawing import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, RED, SKY, bare, canvas, ink_on, numbers
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle

import tinygen as tg

# --- autograd.md ----------------------------------------------------------------------------------


def diamond() -> Figure:
    """y = x·x + x at x = 3: values go forward, derivatives come back and add up."""
    figure = canvas(8, 2.5)
    places = {"x": (0.0, 0.0), "z = x · x": (1.35, 0.62), "y = z + x": (2.7, 0.0)}
    values = {"x": 3, "z = x · x": 9, "y = z + x": 12}
    bars = {"x": "x̄ = 3 + 3 + 1 = 7", "z = x · x": "z̄ = 1", "y = z + x": "ȳ = 1"}
    edges = [
        ("x", "z = x · x", 0.28, "3"),
        ("x", "z = x · x", -0.12, "3"),
        ("x", "y = z + x", -0.18, "1"),
        ("z = x · x", "y = z + x", 0.12, "1"),
    ]
    for ax, backwards in zip(figure.subplots(1, 2), (False, True), strict=True):
        bare(ax).set(xlim=(-0.55, 3.25), ylim=(-0.5, 1.08), aspect="equal")
        ax.set_title("backward: derivatives" if backwards else "forward: values")
        colour = RED if backwards else BLUE
        for start, end, bend, local in edges:
            ends = (places[end], places[start]) if backwards else (places[start], places[end])
            ax.add_patch(
                FancyArrowPatch(
                    *ends,
                    arrowstyle="-|>",
                    mutation_scale=13,
                    color=colour,
                    linewidth=1.5,
                    shrinkA=21,
                    shrinkB=21,
                    connectionstyle=f"arc3,rad={bend if backwards else -bend}",
                )
            )
            if backwards:
                (a, b), (c, d) = ends
                ax.text(
                    (a + c) / 2 + bend * (d - b) / 2,
                    (b + d) / 2 - bend * (c - a) / 2,
                    local,
                    color=colour,
                    ha="center",
                    va="center",
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
                )
        for name, (a, b) in places.items():
            ax.plot(a, b, "o", markersize=30, markerfacecolor="white", markeredgecolor=GREY)
            ax.text(
                a,
                b,
                bars[name].split()[-1] if backwards else values[name],
                ha="center",
                va="center",
                color=colour,
                fontsize=12,
            )
            above = b > 0.3
            ax.text(
                a,
                b + (0.33 if above else -0.33),
                bars[name] if backwards else name,
                ha="center",
                va="bottom" if above else "top",
                fontsize=10,
            )
    return figure


def counted_calls(count: int) -> tuple[int, int]:
    """Calls of vjps on a chain of `count` diamonds x + x: path by path, and in tinygen."""
    calls = 0

    def vjp(g: tg.Tensor, _: tg.Tensor) -> tg.Tensor:
        nonlocal calls
        calls += 1
        return g

    def path_by_path(node: tg.Tensor) -> int:
        return sum(1 + path_by_path(x) for x, *_ in edges.get(id(node), ()))

    y = x = tg.Tensor(1.0, requires_grad=True)
    edges, kept = {}, [x]
    for _ in range(count):
        z = tg.record(y.data + y.data, (y, vjp), (y, vjp))
        edges[id(z)] = ((y, vjp), (y, vjp))
        kept.append(z)  # keeps ids unique
        y = z
    assert tg.grad(y, x).item() == 2.0**count
    return path_by_path(y), calls


def vjp_calls() -> Figure:
    """Local derivatives used on a chain of diamonds, path by path and in topological order."""
    figure = canvas(7, 3.6)
    ax = figure.subplots()
    n = np.arange(1, 16)
    naive, ours = zip(*(counted_calls(int(k)) for k in n), strict=True)
    ax.plot(n, naive, "o-", color=RED, markersize=4)
    ax.plot(n, ours, "o-", color=BLUE, markersize=4)
    ax.text(n[-1] + 0.3, naive[-1], f"path by path\n{naive[-1]:,}", color=RED, va="center")
    ax.text(n[-1] + 0.3, ours[-1], f"each node once\n{ours[-1]}", color=BLUE, va="center")
    ax.set(
        yscale="log",
        xlim=(0.5, 18.8),
        xticks=range(1, 16, 2),
        xlabel="diamonds in the chain",
        ylabel="local derivatives used",
    )
    ax.set_title("Each diamond doubles the paths, but adds only two edges")
    return figure


def derivatives() -> Figure:
    """A function, its first three derivatives, and its Taylor polynomials."""

    def f(x: tg.Tensor) -> tg.Tensor:
        return tg.sin(1.3 * x) * tg.exp(-x * x / 12)

    def tower(at: np.ndarray, order: int) -> list[np.ndarray]:
        x = tg.Tensor(at, requires_grad=True)
        y, values = f(x), []
        for _ in range(order + 1):
            values.append(y.numpy())
            y = tg.grad(y.sum(), x, create_graph=True)
        return values

    figure = canvas(10, 3.9)
    left, right = figure.subplots(1, 2)
    x = np.linspace(-5, 5, 401)
    lines = (("f", INK, 2.6), ("f ′", BLUE, 1.6), ("f ″", GREEN, 1.6), ("f ‴", RED, 1.6))
    for values, (name, colour, width) in zip(tower(x, 3), lines, strict=True):
        left.plot(x, values, color=colour, linewidth=width, label=name)
    left.legend(loc="lower right", ncols=4, handlelength=1.2, columnspacing=1.2)
    left.set(xlabel="x", ylabel="value", xlim=(-5, 5), ylim=(-3.5, 2.6))
    left.set_title("f(x) = sin 1.3x · exp(−x²/12) and three derivatives")

    at = 1.7
    right.plot(x, f(tg.Tensor(x)).numpy(), color=INK, linewidth=2.6)
    shades = {1: SKY, 2: ORANGE, 3: GREEN, 9: RED}
    total, factorial = np.zeros_like(x), 1.0
    for k, derivative in enumerate(tower(np.array([at]), max(shades))):
        factorial *= max(k, 1)
        total = total + derivative[0] / factorial * (x - at) ** k
        if k in shades:
            right.plot(x, total, color=shades[k], linewidth=1.6, label=f"order {k}")
    right.plot(at, f(tg.Tensor(at)).item(), "o", color=INK, markersize=7)
    right.legend(loc="lower left", handlelength=1.2)
    right.set(xlabel="x", xlim=(-5, 5), ylim=(-2.2, 1.4))
    right.set_title("Taylor polynomials at x = 1.7")
    return figure


# --- convolution.md -------------------------------------------------------------------------------


def patches() -> Figure:
    """A 5 × 5 image, its nine 3 × 3 patches as rows of a matrix, and the product with a filter."""
    image = np.array(
        [[0, 0, 1, 2, 0], [0, 3, 4, 0, 0], [0, 5, 6, 7, 0], [0, 0, 0, 8, 0], [0, 9, 8, 0, 0]], float
    )
    taps = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], float)
    matrix = tg.patches(image[None, :, :, None], 3).numpy().reshape(9, 9)
    result = tg.conv2d(image[None, :, :, None], taps[:, :, None, None]).numpy().reshape(3, 3)
    marked = {0: BLUE, 4: ORANGE, 8: GREEN}

    figure = canvas(10, 4.2)
    axes = figure.subplots(1, 4, width_ratios=(5, 9, 1, 3))
    ax = bare(axes[0])
    numbers(ax, image, np.full(image.shape, "#eeeeee", object))
    for n, colour in marked.items():
        i, j = divmod(n, 3)
        shift = 0.05 * (n // 4 - 1)
        ax.add_patch(Rectangle((j + shift, i + shift), 3, 3, fill=False, edgecolor=colour, lw=2.5))
    ax.set_title("image, 5 × 5")

    ax = bare(axes[1])
    tints = {BLUE: "#cfe5f3", ORANGE: "#fbe8c3", GREEN: "#c9ebe0"}
    colours = np.full((9, 9), "#f6f6f6", object)
    for n, colour in marked.items():
        colours[n] = tints[colour]
    numbers(ax, matrix, colours)
    for n, colour in marked.items():
        ax.add_patch(Rectangle((0, n), 9, 1, fill=False, edgecolor=colour, linewidth=2))
    ax.set_title("its patches, 9 × 9: one per row")

    ax = bare(axes[2])
    numbers(ax, taps.reshape(9, 1), np.full((9, 1), "#f0dce8", object))
    ax.set_title("filter")

    ax = bare(axes[3])
    colours = np.full((3, 3), "#f6f6f6", object)
    for n, colour in marked.items():
        colours[divmod(n, 3)] = tints[colour]
    numbers(ax, result, colours)
    for n, colour in marked.items():
        i, j = divmod(n, 3)
        ax.add_patch(Rectangle((j, i), 1, 1, fill=False, edgecolor=colour, linewidth=2))
    ax.set_title("result, 3 × 3")
    for ax, y, sign in ((axes[2], 4.5, "×"), (axes[3], 1.5, "=")):
        ax.text(-0.65, y, sign, fontsize=15, ha="center", va="center", color=GREY)
    return figure


def matrix_of(convolve: Callable[[np.ndarray], tg.Tensor], size: tuple[int, int]) -> np.ndarray:
    """The matrix of a linear map of images, column by column."""
    H, W = size
    units = np.eye(H * W).reshape(H * W, H, W, 1)
    return convolve(units).numpy().reshape(H * W, -1).T


def matrices() -> Figure:
    """A convolution as a matrix, and the transposed convolution as its transpose."""
    shades = [
        [BLUE, "#5ba4d4", "#b3d4ea"],
        ["#b97f00", ORANGE, "#f6d790"],
        ["#00694d", GREEN, "#99d5c2"],
    ]
    taps = list(itertools.chain(*shades))  # one hue per row of the filter
    row = np.arange(1.0, 5.0).reshape(1, 4, 1, 1)
    square = np.arange(1.0, 10.0).reshape(3, 3, 1, 1)
    flat = ((0, 0), (1, 1))
    four = [BLUE, ORANGE, GREEN, PURPLE]
    cases = {
        "row": (
            "filter of 4, stride 2, padding 1: 8 → 4",
            four,
            matrix_of(lambda x: tg.conv2d(x, row, (1, 2), flat), (1, 8)),
        ),
        "row back": (
            "transposed: 4 → 8",
            four,
            matrix_of(lambda y: tg.conv_transpose2d(y, row, (1, 2), flat), (1, 4)),
        ),
        "square": (
            "3 × 3 filter: 5 × 5 → 3 × 3",
            taps,
            matrix_of(lambda x: tg.conv2d(x, square), (5, 5)),
        ),
        "square back": (
            "transposed: 3 × 3 → 5 × 5",
            taps,
            matrix_of(lambda y: tg.conv_transpose2d(y, square), (3, 3)),
        ),
    }
    assert (cases["row back"][2] == cases["row"][2].T).all()
    assert (cases["square back"][2] == cases["square"][2].T).all()

    figure = canvas(10, 5.6)
    axes = figure.subplot_mosaic(
        [["row", "row back", "square back"], ["square", "square", "square back"]],
        width_ratios=(8, 4.4, 6.6),
        height_ratios=(8, 9.5),
    )
    for name, (title, colours, matrix) in cases.items():
        ax = axes[name]
        rows, columns = matrix.shape
        for i, j in itertools.product(range(rows), range(columns)):
            tap = int(matrix[i, j]) - 1
            colour = colours[tap] if tap >= 0 else "#f3f3f3"
            ax.add_patch(Rectangle((j, i), 1, 1, facecolor=colour, edgecolor="white", lw=0.8))
            if tap >= 0 and "row" in name:
                ax.text(
                    j + 0.5,
                    i + 0.5,
                    f"w{'₀₁₂₃'[tap]}",
                    ha="center",
                    va="center",
                    color=ink_on(colour),
                )
        bare(ax).set(xlim=(0, columns), ylim=(rows, 0), aspect="equal")
        ax.set_title(title, fontsize=10)
        ax.set_xlabel("pixels in", fontsize=9, color=GREY)
        ax.set_ylabel("pixels out", fontsize=9, color=GREY)
    key = bare(axes["square"].inset_axes([0.02, 0.04, 0.14, 0.36]))
    for k, l in itertools.product(range(3), range(3)):
        key.add_patch(Rectangle((l, k), 1, 1, facecolor=shades[k][l], edgecolor="white", lw=0.8))
    key.set(xlim=(0, 3), ylim=(3, 0), aspect="equal")
    key.set_title("the filter", fontsize=9, color=GREY, pad=3)
    key.patch.set_alpha(0)
    return figure


def phases() -> Figure:
    """Stride 2: which weights of the filter reach which pixels of the image."""
    colours = {(0, 0): BLUE, (0, 1): ORANGE, (1, 0): GREEN, (1, 1): PURPLE}
    figure = canvas(10, 4.4)
    grid = figure.add_gridspec(1, 3, width_ratios=(5, 9, 5.5))

    ax = bare(figure.add_subplot(grid[0]))
    for k, l in itertools.product(range(4), range(4)):
        colour = colours[k % 2, l % 2]
        ax.add_patch(Rectangle((l, k), 1, 1, facecolor=colour, edgecolor="white", linewidth=1.5))
        ax.text(
            l + 0.5, k + 0.5, f"{k},{l}", ha="center", va="center", fontsize=9, color=ink_on(colour)
        )
    ax.set(xlim=(0, 4), ylim=(4, 0), aspect="equal")
    ax.set_title("4 × 4 filter")

    ax = bare(figure.add_subplot(grid[1]))
    for i, j in itertools.product(range(8), range(8)):
        # pixel m receives from the weights k ≡ m + p (mod 2); here the padding p is 1
        colour = colours[(i + 1) % 2, (j + 1) % 2]
        ax.add_patch(Rectangle((j, i), 1, 1, facecolor=colour, edgecolor="white", linewidth=1.5))
    for i, j in itertools.product(range(4), range(4)):
        ax.plot(2 * j + 1, 2 * i + 1, "o", color="white", markersize=9, markeredgecolor=INK)
    ax.add_patch(Rectangle((1, 1), 4, 4, fill=False, edgecolor=INK, linewidth=2))
    ax.set(xlim=(-0.1, 8.1), ylim=(8.1, -0.1), aspect="equal")
    ax.set_title("8 × 8 image, stride 2, padding 1\n○ elements of y; one patch is framed")

    ax = bare(figure.add_subplot(grid[2]))
    for (a, b), colour in colours.items():
        for i, j in itertools.product(range(2), range(2)):
            k, l = a + 2 * (1 - i), b + 2 * (1 - j)
            x, y = 2.3 * b + j, 2.3 * a + i
            ax.add_patch(Rectangle((x, y), 1, 1, facecolor=colour, edgecolor="white", lw=1.5))
            ax.text(
                x + 0.5,
                y + 0.5,
                f"{k},{l}",
                ha="center",
                va="center",
                fontsize=9,
                color=ink_on(colour),
            )
    ax.set(xlim=(0, 4.3), ylim=(4.3, 0), aspect="equal")
    ax.set_title("four 2 × 2 filters of\nstride 1, in reverse order")
    return figure


def overlaps() -> Figure:
    """The number of elements of y that reach each pixel in a transposed convolution."""
    figure = canvas(9, 4.6)
    axes = figure.subplots(1, 2)
    for ax, K in zip(axes, (3, 4), strict=True):
        ones = np.ones((1, 6, 6, 1))
        counts = tg.conv_transpose2d(ones, np.ones((K, K, 1, 1)), stride=2).numpy()[0, :, :, 0]
        ramp = ["#f0f4f8", "#b5d3e8", "", "#0072B2"]
        tints = np.array([[ramp[int(c) - 1] for c in line] for line in counts], object)
        numbers(bare(ax), counts, tints, size=9)
        overlap = "2 divides 4: even inside the border" if K == 4 else "2 does not divide 3: uneven"
        ax.set_title(f"{K} × {K} filter, stride 2\n{overlap}")
    return figure


# --- own_operation.md -----------------------------------------------------------------------------


def marks() -> Figure:
    """Computed against measured gradients: each mistake leaves its own mark."""
    rng = np.random.default_rng(5)
    x, w, g = rng.normal(size=(6, 5)), rng.normal(size=(5, 5)), rng.normal(size=(6, 5))
    h = 1e-4
    measured = np.empty_like(w)
    for i, j in itertools.product(range(5), range(5)):
        step = np.zeros_like(w)
        step[i, j] = h
        measured[i, j] = (np.tanh(x @ (w + step)) - np.tanh(x @ (w - step))).ravel() @ g.ravel()
    measured /= 2 * h

    z = np.tanh(x @ w)
    right = x.T @ (g * (1 - z**2))
    cases = {
        "right": right,
        "sign flipped": -right,
        "a mean for a sum": right / 6,
        "transposed": right.T,
        "factor 1 − z² forgotten": x.T @ g,
        "one element wrong": np.where(np.arange(25).reshape(5, 5) == 7, right + 2.5, right),
    }
    figure = canvas(8.4, 6)
    axes = figure.subplots(2, 3, sharex=True, sharey=True)
    reach = 1.08 * max(np.abs(gradient).max() for gradient in cases.values())
    for n, (ax, (title, computed)) in enumerate(zip(axes.flat, cases.items(), strict=True)):
        ax.axline((0, 0), slope=1, color=GREY, linewidth=0.9)
        ax.plot(
            measured.ravel(),
            computed.ravel(),
            "o",
            markersize=5,
            alpha=0.85,
            color=RED if n else BLUE,
            markeredgecolor="white",
            markeredgewidth=0.5,
        )
        ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        ax.set_title(title)
        if n >= 3:
            ax.set_xlabel("measured gradient")
        if n % 3 == 0:
            ax.set_ylabel("computed gradient")
    return figure


# --- gradcheck.md ---------------------------------------------------------------------------------


def steps() -> Figure:
    """The error of three difference quotients against the step, and tinygen's first step."""

    def f(x: float) -> float:
        return float(np.exp(np.sin(3 * x)))

    x = 0.7
    exact = 3 * np.cos(3 * x) * f(x)
    h = 2.0 ** np.arange(-46, 0.5, 0.5)

    def central(h: float) -> float:
        return (f(x + h) - f(x - h)) / (2 * h)

    def richardson(h: float) -> float:
        c = [central(h), central(h / 2), central(h / 4)]
        once = [(4 * c[1] - c[0]) / 3, (4 * c[2] - c[1]) / 3]
        return (16 * once[1] - once[0]) / 15

    quotients = {
        "one-sided, O(h)": (RED, lambda h: (f(x + h) - f(x)) / h),
        "central, O(h²)": (ORANGE, central),
        "central, extrapolated from\nh, h/2 and h/4, O(h⁶)": (BLUE, richardson),
    }
    figure = canvas(8, 4.4)
    ax = figure.subplots()
    for name, (colour, quotient) in quotients.items():
        errors = np.array([abs(quotient(float(k)) - exact) / abs(exact) for k in h])
        ax.loglog(
            h,
            np.maximum(errors, 1e-17),
            "o-",
            color=colour,
            linewidth=1.2,
            markersize=3,
            label=name,
        )
    step = 2.0**-7 * x
    ax.axvline(step, color=INK, linewidth=1, linestyle=(0, (4, 3)))
    ax.text(step * 0.8, 2e1, "tinygen’s\nfirst step", ha="right", va="top", fontsize=9)
    ax.text(3e-12, 3e-1, "rounding:\nerror ∝ 1/h", color=GREY, fontsize=9)
    ax.text(2e-2, 1e-13, "truncation:\nerror ∝ hⁿ", color=GREY, fontsize=9)
    ax.set(xlabel="step h", ylabel="relative error", ylim=(1e-16, 1e2))
    ax.set_title("Derivative of exp(sin 3x) at x = 0.7, in float64")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3)
    return figure


def sides() -> Figure:
    """One-sided derivatives as the step shrinks: they meet, stay apart, or diverge."""
    h = 2.0 ** np.arange(-20.0, 1.0)
    cases = {
        "smooth: the sides meet\ntanh at 0.5": (lambda x: np.tanh(x), 0.5),
        "a kink: they stay apart\nrelu at 0": (lambda x: np.maximum(x, 0.0), 0.0),
        "a jump: one grows as 1/h\nstep at 0": (lambda x: np.where(x > 0, 1.0, 0.0), 0.0),
    }
    figure = canvas(10, 3.5)
    for n, (ax, (title, (f, x))) in enumerate(
        zip(figure.subplots(1, 3), cases.items(), strict=True)
    ):
        right, left = (f(x + h) - f(x)) / h, (f(x) - f(x - h)) / h
        ax.semilogx(h, right, "o-", color=BLUE, markersize=3.5, linewidth=1.2, label="right side")
        ax.semilogx(h, left, "o-", color=ORANGE, markersize=3.5, linewidth=1.2, label="left side")
        if n < 2:
            ax.set(ylim=(-0.12, 1.15))
        else:
            ax.set(yscale="symlog", ylim=(-0.4, 3e6), yticks=[0, 1, 1e2, 1e4, 1e6])
        if n == 1:
            ax.axhspan(0, 1, color=SKY, alpha=0.2, linewidth=0)
            ax.text(1e-3, 0.5, "accepted: any\nvalue between", ha="center", va="center", fontsize=9)
        ax.set(xlabel="step h")
        ax.set_title(title)
    figure.axes[0].set_ylabel("difference quotient")
    figure.axes[0].legend(loc="lower left")
    return figure


# --- backends.md ----------------------------------------------------------------------------------


def passes() -> Figure:
    """The order in which a formula of five operations works on a large array, plain and fused."""
    operations, blocks = 5, 8
    names = ("g · s", "1 − s", "x · (1 − s)", "1 + …", "product")
    colours = (SKY, BLUE, ORANGE, GREEN, PURPLE)
    figure = canvas(10, 3.6)
    titles = ("plain: one operation at a time", "fused: block by block", "fused, on two threads")
    for n, (ax, title) in enumerate(zip(figure.subplots(1, 3, sharey=True), titles, strict=True)):
        for op, block in itertools.product(range(operations), range(blocks)):
            if n == 0:
                time = op * blocks + block
            else:
                half = blocks // n
                time = (block % half) * operations + op
            label = names[op] if block == 0 else None
            ax.add_patch(
                Rectangle(
                    (time, block),
                    1,
                    1,
                    facecolor=colours[op],
                    edgecolor="white",
                    linewidth=0.8,
                    label=label,
                )
            )
        ax.set(xlim=(0, operations * blocks), ylim=(blocks, 0), xticks=[], yticks=[])
        ax.grid(False)
        ax.set_xlabel("time →")
        ax.set_title(title, fontsize=10)
    figure.axes[0].set_ylabel("← position in memory")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5)
    return figure


FIGURES = (
    diamond,
    vjp_calls,
    derivatives,
    patches,
    matrices,
    phases,
    overlaps,
    marks,
    steps,
    sides,
    passes,
)
