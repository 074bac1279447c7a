"""The benchmark's table, its doubts about its own numbers, and the libraries that it compares."""

import ast
import os
import sys

import numpy as np
import pytest
from programs import FOLDER, example


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)  # benchmark.py deletes it for good
    return example("benchmark")


def functions(library):
    tree = ast.parse((FOLDER / "workloads" / f"{library}_steps.py").read_text("utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_a_row_has_the_medians_of_the_rounds_and_the_ratio_to_each_peer(benchmark):
    times = {"tinygen": np.array([2.0, 3, 4]), "pytorch": np.array([4.0, 6, 7])}
    row = benchmark.row("conv", "a convolution", times, 1.0)
    assert (row["tinygen_s"], row["pytorch_s"], row["pytorch_ratio"]) == (3, 6, 0.5)
    assert row["pytorch_spread"] == pytest.approx((4 / 7) / (2 / 4))
    assert "tinygen_spread" not in row  # slower rounds of both libraries leave the ratio as it is


@pytest.mark.parametrize(("last", "cell"), [(2.3, "| 0.50 |"), (2.5, "| (0.50) |")])
def test_a_ratio_that_differs_between_rounds_is_in_brackets(benchmark, last, cell):
    times = {"tinygen": np.ones(3), "pytorch": np.array([2, 2, last])}
    for group in ("adam", "peers"):
        text = "\n".join(benchmark.tables([benchmark.row(group, "a step", times)]))
        assert cell in text
        assert ("In brackets: differs by more than 20% between rounds." in text) == (last > 2.4)


def test_without_a_peer_a_time_that_differs_between_rounds_is_in_brackets(benchmark):
    for group in ("adam", "peers"):
        row = benchmark.row(group, "a step", {"tinygen": np.array([1, 1, 1.3])})
        assert "| (1000.0 ms) |" in "\n".join(benchmark.tables([row]))


@pytest.mark.skipif(not hasattr(os, "getloadavg"), reason="Windows has no load average")
@pytest.mark.parametrize(("load", "busy"), [(0.4, False), (0.6, True)])
def test_a_busy_machine_is_reported(benchmark, monkeypatch, capsys, load, busy):
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0, 0))
    monkeypatch.setattr(benchmark, "WORKLOADS", {"nothing": lambda rng: iter(())})
    monkeypatch.setattr(benchmark.tg, "keep_memory", lambda: None)
    monkeypatch.setattr(sys, "argv", ["benchmark.py"])
    benchmark.main()
    assert ("The machine is busy" in capsys.readouterr().err) == busy


def test_libraries_that_are_not_installed_are_left_out_and_listed(benchmark, monkeypatch, capsys):
    monkeypatch.setattr(benchmark.importlib.util, "find_spec", lambda module: None)
    monkeypatch.setattr(benchmark, "gemm_speed", lambda: 1e9)
    for name, value in {"ROUNDS": 1, "TURN": 0, "BATCH": 2}.items():
        monkeypatch.setattr(benchmark, name, value)
    rows = list(benchmark.peers(np.random.default_rng(0)))
    assert [key for row in rows for key in row if key.endswith("_s")] == 2 * [
        "lower_bound_s",
        "tinygen_s",
    ]
    names = "PyTorch, JAX, DeZero, HIPS autograd, tinygrad"
    assert capsys.readouterr().err == f"not installed, so left out: {names}\n"


def test_every_library_has_both_steps_and_pytorch_has_all_of_tinygens(benchmark):
    for peer in benchmark.PEERS:
        assert functions(peer) >= {"dense_vae", "small_conv", "finish"}
    public = {name for name in functions("tinygen") if not name.startswith("_")}
    assert functions("pytorch") >= public
