"""Checkpoints: complete or absent, and never mistaken for another's."""

import io
import json
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tinygen as tg
from tinygen import data, nn, optim
from tinygen._files import replacing, save_arrays
from tinygen.run import checkpoint
from tinygen.run.checkpoint import CheckpointError


def parts(seed=0, width=4):
    rng = np.random.default_rng(seed)
    model = nn.Sequential(
        nn.Dense(3, width, rng=rng),
        nn.BatchNorm(width),
        nn.Dropout(0.5, rng=np.random.default_rng(seed + 10)),
    )
    optimizer = optim.Adam(model.parameters(), 0.1)
    x = tg.Tensor(tg.xp.asarray(rng.standard_normal((5, 3)), np.float32))
    optimizer.step(tg.grad(tg.mean(model(x)), model.parameters()))
    return {"model": model, "optimizer": optimizer, "rng": rng}


def states(of):
    return {
        f"{part}/{name}": np.asarray(array)
        for part, owner in of.items()
        for name, array in checkpoint.state(owner).items()
    }


def assert_equal(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


@pytest.fixture
def saved(tmp_path):
    checkpoint.save(tmp_path / "a.npz", parts(0), step=7, note="λ")
    return tmp_path / "a.npz"


def test_what_is_loaded_is_what_was_saved(saved):
    other = parts(1)
    about = checkpoint.load(saved, other)
    assert about["step"] == 7 and about["note"] == "λ"
    assert_equal(states(other), states(parts(0)))
    assert other["rng"].random() == parts(0)["rng"].random()
    assert other["model"][2].rng.random() == parts(0)["model"][2].rng.random()


def test_a_part_may_be_loaded_alone(saved):
    other = parts(1)
    before = states({"optimizer": other["optimizer"], "rng": other["rng"]})
    checkpoint.load(saved, {"model": other["model"]}, partly=True)
    assert_equal(states({"model": other["model"]}), states({"model": parts(0)["model"]}))
    assert_equal(states({"optimizer": other["optimizer"], "rng": other["rng"]}), before)


def test_a_part_that_is_not_there_or_does_not_fit_is_refused(saved):
    other = parts(1, width=5)["model"]
    before = states({"model": other})
    with pytest.raises(CheckpointError, match=r"\['ema'\], got \['model', 'optimizer', 'rng'\]"):
        checkpoint.load(saved, {"ema": other}, partly=True)
    with pytest.raises(CheckpointError, match=r"does not fit: model: .*state"):
        checkpoint.load(saved, {"model": other}, partly=True)
    assert_equal(states({"model": other}), before)


def test_nothing_in_it_needs_pickle(saved):
    with np.load(saved, allow_pickle=False) as file:
        assert {file[name].dtype.kind for name in file.files} <= set("fiuUb")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.pop("rng"), r"another run: expected \['model', 'optimizer'\], got .*'rng'"),
        (lambda p: p.update(ema=p["optimizer"]), r"another run: expected \[.*'ema'\], got "),
        (
            lambda p: p.update(rng=np.random.Generator(np.random.MT19937(0))),
            "does not fit: rng: .*PCG64.* MT19937",
        ),
        (
            lambda p: p.update(optimizer=optim.SGD(p["model"].parameters(), 0.1)),
            r"does not fit: optimizer: (?s:.*)unexpected: m\.0",
        ),
    ],
)
def test_a_checkpoint_of_another_run_is_refused_and_no_part_is_changed(saved, change, message):
    ours, content = parts(1), saved.read_bytes()
    change(ours)
    before = states(ours)
    with pytest.raises(CheckpointError, match=message):
        checkpoint.load(saved, ours)
    assert_equal(states(ours), before)
    assert saved.read_bytes() == content


def test_a_model_of_another_size_is_refused_by_the_names_of_its_arrays(saved):
    with pytest.raises(CheckpointError, match=r"model: (?s:.*)0\.weight: .*\(3, 5\).*\(3, 4\)"):
        checkpoint.load(saved, parts(0, width=5))


def test_the_generator_of_a_layer_must_be_there(saved):
    with_more = parts(0)
    with_more["model"].more = nn.Dropout(0.5, rng=np.random.default_rng(0))
    with pytest.raises(CheckpointError, match=r"model: 'more\.rng:generator'$"):
        checkpoint.load(saved, with_more)


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_damage_anywhere_is_noticed(saved, data):
    content = saved.read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        damaged = content[:at]
    else:
        damaged = bytearray(content)
        damaged[at] ^= data.draw(st.integers(1, 255))
    path = saved.parent / "damaged.npz"
    path.write_bytes(damaged)
    ours = parts(1)
    before = states(ours)
    try:
        checkpoint.load(path, ours)
    except CheckpointError as error:
        assert str(error).startswith(str(path))
        assert_equal(states(ours), before)
    else:  # a byte without effect, such as a date in the archive
        assert_equal(states(ours), states(parts(0)))


def test_a_damaged_header_before_more_bytes_than_are_read_is_noticed(tmp_path):
    """NumPy alone reads wrong numbers, and stops before their checksum."""
    weights = {"model": nn.Dense(64, 512, rng=np.random.default_rng(0))}
    checkpoint.save(tmp_path / "a.npz", weights)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    header = content.index(b"\x93NUMPY", content.index(b"weight.npy"))
    content[header + 8] ^= 22  # the header's length
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"weight\.npy|Bad CRC"):
        checkpoint.load(tmp_path / "a.npz", weights)


class Trap:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was opened",))


def write_pickle(path):
    path.write_bytes(pickle.dumps(Trap()))


def write_object_array(path):
    with open(path, "wb") as file:
        np.savez(
            file,
            about=np.array(json.dumps({"format": checkpoint.FORMAT, "parts": []})),
            trap=np.array([Trap()], dtype=object),
        )


def write_npy(path):
    with open(path, "wb") as file:
        np.save(file, np.ones(3))


def write_other_npz(path):
    with open(path, "wb") as file:
        np.savez(file, images=np.ones(3))


def write_other_zip(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("about.txt", "no array")


def write_other_about(path):
    with open(path, "wb") as file:
        np.savez(file, about=np.ones(3))


FOREIGN = [
    write_pickle,
    write_object_array,
    write_npy,
    write_other_npz,
    write_other_zip,
    write_other_about,
]


def test_what_would_have_to_be_pickled_is_not_saved(tmp_path):
    with pytest.raises(TypeError, match="`a`"):
        save_arrays(tmp_path / "a.npz", a=None)
    assert not (tmp_path / "a.npz").exists()


@pytest.mark.parametrize("write", FOREIGN)
def test_a_file_of_another_program_is_refused_and_left_alone(write, tmp_path):
    path = tmp_path / "a.npz"
    write(path)
    content = path.read_bytes()
    with pytest.raises(CheckpointError, match=r"a\.npz is damaged, .* checkpoint: "):
        checkpoint.load(path, parts())
    assert path.read_bytes() == content


def test_the_format_of_another_version_is_named(tmp_path):
    with open(tmp_path / "a.npz", "wb") as file:
        np.savez(file, about=np.array(json.dumps({"format": "tinygen checkpoint 9"})))
    with pytest.raises(CheckpointError, match="'tinygen checkpoint 1', got 'tinygen checkpoint 9'"):
        checkpoint.load(tmp_path / "a.npz", {})


def test_a_checkpoint_that_is_not_there_is_just_that(tmp_path):
    with pytest.raises(FileNotFoundError):
        checkpoint.load(tmp_path / "none.npz", {})


# --- writing --------------------------------------------------------------------------------------


def test_a_failure_while_writing_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    for error in (OSError, KeyboardInterrupt):
        with pytest.raises(error), replacing(path) as file:
            file.write(b"ne")
            assert path.read_text() == "old"
            raise error
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of NumPy 2.0
def test_a_failed_save_leaves_the_last_checkpoint(saved, monkeypatch):
    content = saved.read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(saved, parts(1))
    assert saved.read_bytes() == content
    assert list(saved.parent.iterdir()) == [saved]


def test_folders_are_made_and_permissions_are_the_usual(tmp_path):
    with replacing(tmp_path / "a" / "b.txt") as file:
        file.write(b"x")
    (tmp_path / "a" / "c.txt").write_text("x")
    ours, usual = (tmp_path / "a" / name for name in ("b.txt", "c.txt"))
    assert ours.stat().st_mode == usual.stat().st_mode


def test_sizes_are_looked_at_before_anything_is_read(tmp_path):
    path = tmp_path / "a.npz"
    checkpoint.save(path, parts(0))
    with zipfile.ZipFile(path) as archive:
        about = archive.read("about.npy")
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (2**39,)}
    )
    for content, how in (
        (header.getvalue(), zipfile.ZIP_STORED),  # 4 TiB
        (npy(np.zeros(10**7)), zipfile.ZIP_DEFLATED),
    ):
        with zipfile.ZipFile(path, "w", how) as archive:
            archive.writestr("about.npy", about)
            archive.writestr("model/w.npy", content)
        with pytest.raises(checkpoint.CheckpointError, match="compressed, or differs in size"):
            checkpoint.read(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", npy(np.zeros(3)))
    with pytest.raises(checkpoint.CheckpointError, match="has no `about`"):
        checkpoint.read(path)


def npy(array):
    file = io.BytesIO()
    np.lib.format.write_array(file, array)
    return file.getvalue()


# --- parts that several processes share (tests/distributed runs them) -----------------------------


def test_streams_has_each_generator_once_and_share_keeps_those_of_one_process(rng):
    parts = {
        "model": nn.Sequential(nn.Dense(2, 2, rng=rng), nn.Dropout(0.5, rng=rng)),
        "batches": data.Batches(np.zeros((4, 2)), 2, rng=np.random.default_rng(1)),
        "rng": rng,
    }
    (states,) = checkpoint.streams(parts)
    assert [json.loads(s) for s in states] == [
        np.random.default_rng(1).bit_generator.state,
        rng.bit_generator.state,
    ]
    assert checkpoint.share(parts, {"step": 3}) == {"step": 3}
    assert checkpoint.streams(parts) == [states]


def test_average_statistics_keeps_those_of_one_process():
    norm = nn.BatchNorm(2)
    norm(tg.xp.arange(6, dtype="f4").reshape(3, 2))
    before = norm.state_dict()
    checkpoint.average_statistics([norm])
    assert all(np.array_equal(array, before[name]) for name, array in norm.state_dict().items())
