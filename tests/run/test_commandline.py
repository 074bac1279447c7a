"""The command line of the examples: its messages, and the precedence of settings."""

import subprocess
import sys
from pathlib import Path

import pytest

from tinygen import data
from tinygen.autograd import backend
from tinygen.run import NotFinite, Run, commandline

QUICK = {"epochs": 1, "width": 4}


@pytest.fixture(autouse=True)
def nowhere(monkeypatch, tmp_path):
    """No data set is available, and no network."""
    for name in ("TINYGEN_DATA", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "empty"))
    monkeypatch.setenv("TINYGEN_OFFLINE", "1")


def parser(**more):
    p = commandline.parser(
        "Does this.\n\nAnd says more.",
        out="runs/x",
        **{"epochs": 10, "batch_size": 128, "lr": 1e-3, **more},
    )
    p.add_argument("--width", type=int, default=32)
    p.add_argument("--price", type=commandline.at_least(0.0), default=1.0)
    return p


def parse(*argv, **more):
    return vars(commandline.parse(parser(**more), argv, quick=QUICK))


def test_without_arguments_all_settings_are_the_defaults():
    assert parse() == {
        "data": "digits",
        "epochs": 10,
        "batch_size": 128,
        "lr": 1e-3,
        "seed": 0,
        "backend": None,
        "out": Path("runs/x"),
        "resume": False,
        "samples": 0,
        "quick": False,
        "width": 32,
        "price": 1.0,
    }


def test_a_part_of_the_images_may_be_asked_for():
    p = parser()
    commandline.add_subsets(p)
    args = commandline.parse(p, ["--train", "20"], quick={"test_images": 5})
    assert (args.train, args.test_images) == (20, None)
    with pytest.raises(SystemExit):
        commandline.parse(p, ["--test-images", "1"])


def test_auto_says_in_a_line_that_it_takes_drawn_digits_and_how_to_get_the_real_ones(capsys):
    assert parse("--data", "auto")["data"] == "digits"
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1 and "MNIST is unavailable" in shown and "TINYGEN_DATA" in shown


def test_a_published_set_that_is_unavailable_is_an_error_where_it_is_named():
    with pytest.raises(data.Unavailable, match=r"^fashion: "):
        parse("--data", "fashion")


@pytest.mark.parametrize(("name", "chosen"), [("auto", "mnist"), ("fashion", "fashion")])
def test_a_set_is_downloaded_with_a_bar_only_if_it_is_not_at_hand(name, chosen, monkeypatch):
    loaded = []
    monkeypatch.setattr(data.sets, "load", lambda *given, **also: loaded.append((given, also)))
    assert commandline.choose(name) == chosen
    assert loaded == [((chosen,), {"progress": True})]
    monkeypatch.setattr(data.sets, "have", lambda name: True)
    assert commandline.choose(name) == chosen and len(loaded) == 1


@pytest.mark.parametrize("name", ["digits", "shapes", "my/pictures"])
def test_any_other_set_is_the_one_that_is_named(name):
    assert commandline.choose(name) == name


def test_a_resumed_run_has_the_data_it_began_with_even_if_auto_would_be_others_now(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(data.sets, "have", lambda name: True)
    with Run(tmp_path / "r", parse("--out", str(tmp_path / "r"))) as run:
        assert run.settings["data"] == "mnist"
    monkeypatch.setattr(commandline, "choose", lambda name: {"auto": "digits"}.get(name, name))
    for argv in ([], ["--data", "auto"]):
        settings = parse("--out", str(tmp_path / "r"), "--resume", *argv)
        assert settings["data"] == "mnist"


def test_what_is_left_out_is_no_option():
    settings = parse(data=None, epochs=None, batch_size=None, lr=None)
    assert not {"data", "epochs", "batch_size", "lr"} & settings.keys()


def test_quick_brings_its_own_settings_but_what_is_typed_wins():
    assert (parse("--quick")["epochs"], parse("--quick")["width"]) == (1, 4)
    settings = parse("--quick", "--epochs", "10")  # although it is the default
    assert (settings["epochs"], settings["width"]) == (10, 4)


def test_a_resumed_run_has_its_own_settings_but_what_is_typed_wins(tmp_path):
    argv = ["--out", str(tmp_path / "r")]
    with Run(tmp_path / "r", parse(*argv, "--quick", "--lr", "0.5", "--samples", "3")):
        pass
    settings = parse(*argv, "--resume", "--epochs", "7")
    assert settings["lr"] == 0.5 and settings["width"] == 4 and settings["quick"]
    assert settings["epochs"] == 7 and settings["samples"] == 3 and settings["resume"]
    assert settings["out"] == tmp_path / "r"
    with Run(tmp_path / "r", settings, resume=True):
        pass


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--epochs", "-1"], "whole number ≥ 0"),
        (["--batch-size", "0"], "whole number ≥ 1"),
        (["--batch-size", "x"], "whole number ≥ 1"),
        *((["--lr", text], "number > 0") for text in ("0", "nan", "inf", "fast")),
        *((["--price", text], "number ≥ 0") for text in ("-0.1", "nan", "inf", "much")),
    ],
)
def test_bad_settings_are_refused_with_what_was_expected(argv, expected, capsys):
    with pytest.raises(SystemExit) as caught:
        parse(*argv)
    message = f"argument {argv[0]}: expected a {expected}, got '{argv[1]}'"
    assert caught.value.code == 2 and message in capsys.readouterr().err


def test_what_is_from_zero_may_be_zero_and_what_is_positive_anything_above():
    settings = parse("--price", "0", "--lr", "1e-300")
    assert (settings["price"], settings["lr"]) == (0, 1e-300)


def test_a_backend_that_can_not_be_had_is_an_error_of_the_command_line(capsys, monkeypatch):
    def use(library):
        raise RuntimeError("cupy backend: CuPy is not installed")

    monkeypatch.setattr("tinygen.autograd.backend.use", use)
    with pytest.raises(SystemExit):
        parse("--backend", "cupy")
    assert "error: cupy backend: CuPy is not installed" in capsys.readouterr().err


def test_help_names_every_option_with_its_default(capsys):
    with pytest.raises(SystemExit):
        parse("--help")
    shown = " ".join(capsys.readouterr().out.split())
    assert "Does this." in shown and "And says more." in shown
    for option in (
        "--data SET",
        "--epochs",
        "--batch-size",
        "--lr",
        "--seed",
        "--backend",
        "--out",
        "--resume",
        "--samples N",
        "--quick",
    ):
        assert option in shown
    for default in (
        "default: auto",
        "default: 10",
        "default: 128",
        "default: 0.001",
        "default: 0",
        "default: runs/x",
    ):
        assert f"({default})" in shown


@pytest.mark.parametrize("kind", [NotFinite, data.Unavailable])
def test_an_error_that_says_all_is_shown_without_a_traceback(kind):
    def program():
        raise kind("what is wrong")

    with pytest.raises(SystemExit) as caught:
        commandline.main(program)
    assert caught.value.code == f"{kind.__name__}: what is wrong"  # Python prints it; status 1


def test_a_program_begins_by_keeping_freed_memory(monkeypatch):
    called = []
    monkeypatch.setattr(backend, "keep_memory", lambda: called.append("memory"))
    with pytest.raises(SystemExit):
        commandline.main(lambda: called.append("program"))
    assert called == ["memory", "program"]


def test_any_other_error_is_shown_with_its_traceback():
    with pytest.raises(ZeroDivisionError):
        commandline.main(lambda: 1 // 0)


def test_ctrl_c_ends_a_program_without_a_traceback():
    code = (
        "from tinygen.run import commandline\ndef f(): raise KeyboardInterrupt\ncommandline.main(f)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
        check=False,
    )
    assert done.returncode == 130 and done.stderr == ""
