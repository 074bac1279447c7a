"""What the ranks of test_ranks.py do: `mpirun -n 2 python trained.py SCENARIO FOLDER`.

Each rank writes FOLDER/RANK.npz; FOLDER/run is a run.
"""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

import tinygen as tg
from tinygen import data, distributed, nn, optim
from tinygen.run import EarlyStopping, Run, commandline

ROWS, SIZE = 24, 12  # 12 can be shared by 2 and 3 ranks


def collective(folder):
    """The results of all functions, for arrays that depend on the rank"""
    r, n = distributed.rank(), distributed.size()
    rng = np.random.default_rng(r)
    a = [rng.standard_normal((3, 5)).astype("f"), np.float32(1e8 if r == 0 else 1.25).reshape(())]
    a += [rng.standard_normal(7), np.empty(0, np.float32)]
    means = distributed.average([tg.xp.asarray(x) for x in a])
    text = distributed.broadcast({"words": np.array(["a", "bcd"]), "rank": r}, root=n - 1)
    state = {f"given{i}": x for i, x in enumerate(a)}
    state |= {f"mean{i}": tg.to_numpy(x) for i, x in enumerate(means)}
    return (
        state
        | text
        | {"largest": distributed.largest(r, -r, 0.5), "nothing": distributed.average([])}
    )


def batches(folder):
    """The rows of each batch over two epochs, when 23 rows and batches of 7 can't be shared"""
    rows = np.arange(23.0)
    seen = data.Batches(rows, 7, rng=np.random.default_rng(distributed.rank()), epochs=2)
    parts = [tg.to_numpy(x.data) for x in seen]
    return {f"{i}": part for i, part in enumerate(parts)} | {"steps": seen.steps}


def trained(folder, resume=False, steps=8, draw=False, diverge=False, act=lambda step: None):
    """A small network after `steps` steps, in float64, with noise in the loss if `draw`"""
    rng = np.random.default_rng([3, distributed.rank()])  # the state of rank 0 must replace others
    x = np.random.default_rng(0).standard_normal((ROWS, 4))
    model = nn.Sequential(nn.Dense(4, 8, rng=rng), nn.Tanh(), nn.Dense(8, 1, rng=rng)).astype("d")
    if draw:
        model.layers.insert(2, nn.Dropout(0.5, rng=rng))
    adam = optim.Adam(dict(model.named_parameters()), 0.05, weight_decay=0.1)
    rows = data.Batches(x, SIZE, rng=rng)
    noise = []
    with Run(folder / "run", {"lr": 0.05}, resume=resume) as run:
        run.keep(model=model, adam=adam, rows=rows, rng=rng)
        for batch in run.track(rows):
            z = rng.standard_normal(len(batch)) if draw else 0.0
            noise.append(z)
            loss = tg.mean((model(batch)[:, 0] - tg.sin(3 * batch[:, 0]) - tg.xp.asarray(z)) ** 2)
            adam.step(tg.grad(loss, adam.params))
            if diverge and distributed.rank():
                model.layers[0].bias.data = model.layers[0].bias.data + 1.0
            run.log(loss=loss)
            act(run.step)
            if run.step == steps:
                break
    return model.state_dict() | {"noise": np.array(noise)}


def resumed(folder):
    return trained(folder, resume=True, draw=True)


def begun(folder):
    return trained(folder, steps=5, draw=True)


def whole(folder):
    return trained(folder, draw=True)


def diverging(folder):
    return trained(folder, diverge=True)


def endless(folder):
    return trained(folder, steps=10**9, act=lambda step: time.sleep(0.02))


def failing(folder):
    """Rank 1 fails; the others would wait for it forever"""

    def act(step):
        if step == 3 and distributed.rank() == 1:
            raise ArithmeticError("rank 1 has had enough")

    return trained(folder, act=act)


def killed(folder):
    def act(step):
        if step == 3 and distributed.rank() == distributed.size() - 1:
            os.kill(os.getpid(), signal.SIGKILL)

    return trained(folder, act=act)


def alike(folder):
    """An error that all ranks have"""
    raise ValueError("all ranks have this error")


def statistics(folder):
    """Running statistics of a batch norm; the ranks stop together, by the decision of one"""
    rng = np.random.default_rng(0)
    norm, rows = nn.BatchNorm(2), data.Batches(np.arange(48.0).reshape(24, 2), 12, rng=rng)
    stop = EarlyStopping(3)
    with Run(folder / "run") as run:
        run.keep(norm=norm.astype("d"), rows=rows, stop=stop)
        for x in run.track(rows):
            norm(x)
            stop(run.step if distributed.rank() else -run.step)
    return norm.state_dict() | {"step": run.step}


def leaving(folder):
    """Rank 1 leaves the loop after step 5, while the statistics of the ranks differ"""
    norm = nn.BatchNorm(2).astype("d")
    rows = data.Batches(np.random.default_rng(0).random((24, 2)), 12, rng=np.random.default_rng(0))
    with Run(folder / "run") as run:
        run.keep(norm=norm, rows=rows)
        for x in run.track(rows):
            norm(x)
            if distributed.rank() and run.step == 5:
                break
    return norm.state_dict() | {"step": run.step}


def signalled(folder):
    """Rank 1 gets a signal before the loop"""
    with Run(folder / "run") as run:
        run.keep(rng=np.random.default_rng(0))
        if distributed.rank():
            os.kill(os.getpid(), signal.SIGINT)
        for _ in run.track(range(3)):
            pass
    return {}


def unlike(folder):
    """The ranks have other settings"""
    with Run(folder / "run", {"lr": 1 + distributed.rank(), "out": "a"}) as run:
        run.keep(rng=np.random.default_rng(0))
    return {}


def main():
    scenario, folder = globals()[sys.argv[1]], Path(sys.argv[2])
    np.savez(folder / f"{distributed.rank()}.npz", **scenario(folder))


if __name__ == "__main__":
    commandline.main(main)
