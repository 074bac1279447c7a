"""What every test shares: hypothesis profiles, a generator, Python in a process of its own.

`TINYGEN_BACKEND=strict pytest` runs the tests on the stand-in of strict.py, `TINYGEN_PLAIN=1` on
the plain path of a CPU, `TINYGEN_THOROUGH=1` draws more examples for each property. Nothing here
imports tinygen: it reads its environment when it is imported, and a test of what that import does
needs a process where nobody has done it yet.
"""

import os
import subprocess
import sys
from pathlib import Path

import hypothesis
import numpy as np
import pytest

os.environ.setdefault("MPLBACKEND", "Agg")  # before matplotlib is imported: no window

# these work in plain NumPy on the host, whatever the backend, as do most of the blocks in docs/: to
# try them on one is enough
HOST = [
    "augment",
    "fetch",
    "image_folder",
    "mnist",
    "points_2d",
    "sets",
    "synthetic_digits",
    "synthetic_shapes",
]
if os.environ.get("TINYGEN_BACKEND", "numpy") != "numpy":
    collect_ignore = ["assignments", "docs", *(f"data/test_{name}.py" for name in HOST)]

ROOT = Path(__file__).parent.parent
# a process that a test starts finds tinygen, and the stand-in, as the test itself does
PLACES = [str(ROOT), str(ROOT / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])]
os.environ["PYTHONPATH"] = os.pathsep.join(PLACES)

hypothesis.settings.register_profile(
    "default",
    deadline=None,  # a busy machine is no failure
    max_examples=10,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile(
    "thorough", hypothesis.settings.get_profile("default"), max_examples=200
)
hypothesis.settings.load_profile("thorough" if os.environ.get("TINYGEN_THOROUGH") else "default")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def python(tmp_path):
    """Run code in a fresh Python, with keywords as environment; the last line it writes."""

    def run(code, path=(), timeout=120, **environment):
        kept = {k: v for k, v in os.environ.items() if not k.startswith("TINYGEN_")}
        places = os.pathsep.join([*map(str, path), *PLACES])
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            env=kept | {"PYTHONPATH": places} | environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return (done.stdout if done.returncode == 0 else done.stderr).strip().rpartition("\n")[2]

    return run
