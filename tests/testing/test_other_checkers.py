"""How many wrong gradients other checkers miss: three kinds that courses hand out, and ours.

docs/gradcheck.md and README.md show the counts.
"""

import os
import re
from pathlib import Path

import numpy as np
from mutants import ZOO

from tinygen import GradientError, gradcheck

ROOT = Path(__file__).resolve().parents[2]


def is_small_pair(m):
    """Plain functions, of few elements, that can be checked."""
    size = sum(np.size(x) for x in m.inputs(np.random.default_rng(0)))
    return m.vjp and size < 1000 and m.diagnosis not in ("nondeterministic", "float32", "coarse")


PAIRS = [m for m in ZOO if is_small_pair(m)]
OURS = range(20 if os.environ.get("TINYGEN_THOROUGH") else 4)  # test_gradcheck.py tries more
H = 1e-5


def derivative(f, inputs, k, index, v):
    """(⟨v, f(x + h)⟩ − ⟨v, f(x − h)⟩) / 2h, moving one element of input k"""
    ends = []
    for h in (H, -H):
        moved = [x.copy() for x in inputs]
        moved[k][index] += h
        ends.append(f(*moved))
    return float((v * (ends[0] - ends[1])).sum()) / (2 * H)


def agree(a, b, tolerance):
    return abs(a - b) <= tolerance * max(abs(a), abs(b), 1e-8)


def checks(f, vjp, inputs, v, elements, tolerance):
    """Whether the gradient passes at the given elements of each input."""
    gradients = vjp(v, *(x.copy() for x in inputs))
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    for k, (x, g) in enumerate(zip(inputs, gradients, strict=True)):
        if g is None or np.shape(g) != x.shape:
            return False
        for index in elements(x.shape):
            if not agree(float(g[index]), derivative(f, inputs, k, index, v), tolerance):
                return False
    return True


def one_element(m, inputs, rng):
    """One element of each input, the sum of the outputs, 1 %"""
    v = np.ones_like(m.f(*inputs))
    return checks(m.f, m.vjp, inputs, v, lambda s: [tuple(rng.integers(s))] if s else [()], 1e-2)


def all_elements(m, inputs, rng):
    """Every element, the sum of the outputs, 1e-5"""
    return checks(m.f, m.vjp, inputs, np.ones_like(m.f(*inputs)), np.ndindex, 1e-5)


def random_cotangent(m, inputs, rng):
    """Every element, a random combination of the outputs, 1e-5"""
    v = rng.normal(size=np.shape(m.f(*inputs)))
    return checks(m.f, m.vjp, inputs, v, np.ndindex, 1e-5)


def ours(m, inputs, rng):
    try:
        return bool(gradcheck(m.f, *inputs, vjp=m.vjp, rng=rng))
    except GradientError:
        return False


def missed(checker, seeds=range(20)):
    """How many of the wrong gradients pass with one seed at least."""
    found = 0
    for m in PAIRS:
        for seed in seeds:
            inputs = m.inputs(np.random.default_rng(seed))
            with np.errstate(all="ignore"):
                if checker(m, inputs, np.random.default_rng(seed + 100)):
                    found += 1
                    break
    return found


def test_the_counts_are_those_of_the_pages():
    counts = [missed(c) for c in (one_element, all_elements, random_cotangent)]
    counts.append(missed(ours, OURS))
    assert counts[-1] == 0
    for page in ("README.md", "docs/gradcheck.md"):
        text = (ROOT / page).read_text("utf-8")
        assert [int(n) for n in re.findall(r"^\| .+ \| (\d+) of 52 \|$", text, re.M)] == counts, (
            page
        )
    assert len(PAIRS) == 52
