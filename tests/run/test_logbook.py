"""The log of a run: truncated on resuming, repaired, and read back bit for bit."""

import csv
import math

import numpy as np
import pytest
from training_run import EPOCHS, main
from written_runs import assert_same_run, log

import tinygen as tg
from tinygen.run import Run, logbook


def test_rows_after_the_checkpoint_and_half_a_row_go_when_a_run_is_resumed(tmp_path, whole):
    folder = tmp_path / "run"
    main(folder, epochs=4)
    with open(folder / "log.csv", "a") as file:
        file.write("29,4.2,0.1,0.5,0.5,\n30,4.3,0.1,0.4,0.4,\n31,4.")
    main(folder, epochs=EPOCHS, resume=True)
    assert_same_run(folder, whole)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"a,b\n1,2\n"])
def test_a_damaged_log_is_put_aside_and_the_run_goes_on(content, tmp_path, whole):
    main(tmp_path / "run", epochs=4)
    (tmp_path / "run" / "log.csv").write_bytes(content)
    main(tmp_path / "run", epochs=EPOCHS, resume=True)
    assert log(tmp_path / "run") == log(whole)[28:]
    assert (tmp_path / "run" / "log-damaged.csv").read_bytes() == content


def test_a_number_that_comes_later_makes_a_column_and_leaves_the_others_empty(tmp_path):
    with Run(tmp_path / "run") as run:
        run.keep()
        for record in run.track(iter([3.0, 2.0, 1.0])):
            if record.step == 2:
                run.log(test=0.5)
    with open(tmp_path / "run" / "log.csv") as file:
        rows = list(csv.DictReader(file))
    assert [(row["step"], row["loss"], row["test"]) for row in rows] == [
        ("1", "3.0", ""),
        ("2", "2.0", "0.5"),
        ("3", "1.0", ""),
    ]
    read = np.genfromtxt(tmp_path / "run" / "log.csv", delimiter=",", names=True)
    np.testing.assert_array_equal(read["test"], [math.nan, 0.5, math.nan])
    np.testing.assert_array_equal(read["step"], [1, 2, 3])


def test_logged_floats_come_back_bit_for_bit(tmp_path):
    rng = np.random.default_rng(0)
    single = rng.standard_normal(50).astype(np.float32) * 10.0 ** rng.integers(-30, 30, 50)
    single, double = single.astype(np.float32), rng.standard_normal(50) * 1e-200
    with Run(tmp_path / "run") as run:
        run.keep()
        for _ in run.track(
            {"a": tg.Tensor(a), "b": b} for a, b in zip(single, double, strict=True)
        ):
            pass
    read = np.genfromtxt(tmp_path / "run" / "log.csv", delimiter=",", names=True)
    np.testing.assert_array_equal(read["a"].astype(np.float32), single)
    np.testing.assert_array_equal(read["b"], double)


def test_a_file_that_is_no_log_is_refused(tmp_path):
    (tmp_path / "log.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"log\.csv is not the log of a run: .*step.*epoch"):
        logbook.read(tmp_path / "log.csv")
