"""The files of a run, read back, and compared with another's."""

import numpy as np
from training_run import EPOCHS, ROWS, SIZE

from tinygen.run import logbook

STEPS = -(-ROWS // SIZE) * EPOCHS


def log(folder):
    """Every row, without seconds, as text: equal texts are equal numbers, bit for bit."""
    columns, rows = logbook.read(folder / "log.csv")
    return [[row[name] for name in columns if name != "seconds"] for row in rows]


def arrays(path):
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files if name != "about"}


def assert_same_run(folder, whole):
    assert log(folder) == log(whole)
    ours, expected = arrays(folder / "checkpoint.npz"), arrays(whole / "checkpoint.npz")
    assert ours.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(ours[name], array, err_msg=name)
