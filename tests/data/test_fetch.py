"""Files from folders, and from mirrors that misbehave in every way we could think of."""

import gzip
import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import misbehaving
import pytest
from misbehaving import CONTENT, PACKED

from tinygen import _files
from tinygen.data import Unavailable, fetch
from tinygen.data.fetch import Source

CHECKSUMS = {
    "one": "sha256:" + hashlib.sha256(CONTENT["one"]).hexdigest(),
    "two": "md5:" + hashlib.md5(CONTENT["two"]).hexdigest(),
}
HERE = Path(__file__).parent

# how each mirror fails, and the message
FAILURES = {
    "missing": "404",
    "forbidden": "403",
    "busy": "503",
    "page": "it is a web page, not the file",
    "empty": "its checksum is wrong",
    "short": f"it is cut short: {len(PACKED['one'])} of 1048576 bytes",
    "cut": "its checksum is wrong",
    "damaged": "Error -3 while decompressing",
    "other": "its checksum is wrong",
    "bomb": "its checksum is wrong",
    "large": "it is cut short: 0 of 1099511627776 bytes",
    "endless": "its checksum is wrong",
    "broken pieces": "IncompleteRead",
    "stalled": "timed out",
    "dripping": "stalled: less than 10000 bytes in 0.4 s",
    "silent": "timed out",
    "hang up": "Remote end closed connection without response",
    "nonsense": "hello",
    "circle": "redirect",
}


@pytest.fixture(scope="module")
def server():
    with misbehaving.Server() as running:
        yield running


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """An empty cache, no user folder, no proxy, and short timeouts."""
    for name in list(os.environ):
        if name.startswith("TINYGEN_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(fetch, "TIMEOUT", 0.4)
    monkeypatch.setattr(fetch, "LIMIT", 1 << 20)


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache" / "tinygen" / "set"


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A user folder with one for the set."""
    monkeypatch.setenv("TINYGEN_DATA", str(tmp_path / "mine"))
    (tmp_path / "mine" / "set").mkdir(parents=True)
    return tmp_path / "mine" / "set"


def source(*mirrors):
    return Source("set", mirrors, CHECKSUMS)


def get(*mirrors, progress=False):
    return fetch.fetch(source(*mirrors), progress=progress)


def listing(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def put(folder, contents):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)


# --- a working mirror -----------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["good", "unpacked", "hop", "pieces"])
def test_files_are_downloaded_once_and_kept_unpacked(server, cache, way):
    assert get(server.url(way)) == CONTENT
    assert {name: (cache / name).read_bytes() for name in listing(cache)} == CONTENT
    before = len(server.asked)
    assert get(server.url(way)) == CONTENT
    assert len(server.asked) == before


def test_a_mirror_is_asked_for_the_packed_file_with_or_without_a_slash_at_its_end(server):
    server.asked.clear()
    server.headers.clear()
    get(server.url("good").rstrip("/"))
    assert server.asked == ["/good/one.gz", "/good/two.gz"]
    assert {each["User-Agent"] for each in server.headers} == {"tinygen"}


def test_progress_is_a_bar_of_bytes_and_nothing_is_shown_unless_asked_for(
    server, capsys, cache, monkeypatch
):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    get(server.url("unpacked"))
    assert capsys.readouterr() == ("", "")
    for name in listing(cache):
        (cache / name).unlink()
    get(server.url("unpacked"), progress=True)
    out, shown = capsys.readouterr()
    assert out == "" and re.search(r"one from 127\.0\.0\.1:\d+: 100%.* 60\.0k/60\.0k", shown)


def test_without_a_terminal_progress_shows_nothing(server, capsys, cache, monkeypatch):
    get(server.url("unpacked"), progress=True)
    assert capsys.readouterr() == ("", "")
    for name in listing(cache):
        (cache / name).unlink()
    monkeypatch.setattr(sys, "stderr", None)  # as in a program without a console
    assert get(server.url("unpacked"), progress=True) == CONTENT


def test_a_proxy_is_asked_where_one_is_set(server, monkeypatch):
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    server.asked.clear()
    assert get("http://nowhere.invalid/good/") == CONTENT
    assert server.asked[0] == "http://nowhere.invalid/good/one.gz"


# --- mirrors that fail ----------------------------------------------------------------------------


@pytest.mark.parametrize("way", FAILURES)
def test_after_any_failure_the_next_mirror_is_asked(server, cache, way):
    assert get(server.url(way), server.url("good")) == CONTENT
    assert listing(cache) == ["one", "two"]


@pytest.mark.parametrize("way", FAILURES)
def test_where_every_mirror_fails_the_error_says_how_and_nothing_is_left(server, tmp_path, way):
    began = time.monotonic()
    with pytest.raises(Unavailable) as caught:
        get(server.url(way))
    line = next(line for line in str(caught.value).split("\n") if server.url(way) in line)
    assert FAILURES[way] in line
    assert listing(tmp_path) == []
    assert time.monotonic() - began < 5


def test_a_refused_connection_and_an_unknown_host_are_named_and_take_no_time(monkeypatch):
    monkeypatch.setattr(fetch, "TIMEOUT", 20.0)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    began = time.monotonic()
    with pytest.raises(Unavailable) as caught:
        get(nowhere, "http://nowhere.invalid/")
    assert re.search(f"tried {nowhere}: .*Connection refused", str(caught.value))
    assert re.search(
        r"tried http://nowhere.invalid/: .*(known|resolution|getaddrinfo)", str(caught.value)
    )
    assert time.monotonic() - began < 5


def test_a_server_without_tls_behind_https_is_a_failure_like_any_other(server):
    assert get(server.url("good", "https"), server.url("good")) == CONTENT
    with pytest.raises(Unavailable, match="SSL"):
        fetch.fetch(Source("other", (server.url("good", "https"),), CHECKSUMS))


@pytest.mark.parametrize("url", ["nonsense", "http://", "http://[", "ftp9://a/b", ""])
def test_a_mirror_that_is_no_url_is_a_failure_like_any_other(server, url):
    assert get(url, server.url("good")) == CONTENT


def test_after_one_file_failed_everywhere_no_other_is_asked_for(server):
    server.asked.clear()
    with pytest.raises(Unavailable):
        get(server.url("missing"), server.url("page"))
    assert server.asked == ["/missing/one.gz", "/page/one.gz"]


def test_the_mirror_that_gave_one_file_is_asked_first_for_the_next(server):
    server.asked.clear()
    get(server.url("missing"), server.url("good"))
    assert server.asked == ["/missing/one.gz", "/good/one.gz", "/good/two.gz"]


@pytest.mark.parametrize("value", ["1", "yes"])
def test_offline_no_mirror_is_asked(server, monkeypatch, value):
    monkeypatch.setenv("TINYGEN_OFFLINE", value)
    server.asked.clear()
    with pytest.raises(Unavailable, match=r"^set: one .*\(.*TINYGEN_OFFLINE\)"):
        get(server.url("good"))
    assert server.asked == []


@pytest.mark.parametrize("value", ["", "0"])
def test_offline_may_be_set_to_no(server, monkeypatch, value):
    monkeypatch.setenv("TINYGEN_OFFLINE", value)
    assert get(server.url("good")) == CONTENT


@pytest.mark.filterwarnings("ignore:.* can't be used")
def test_the_error_says_all_that_was_tried_and_three_ways_on(server, cache, mine):
    put(mine, {"one": b"", "one.gz": b"\x1f\x8bno"})
    put(cache, {"one": b"<html>"})
    with pytest.raises(Unavailable) as caught:
        get(server.url("missing"), server.url("page"))
    first, *lines = str(caught.value).split("\n")
    assert re.fullmatch(r"set: one .*\(.*404.*; it is a web page, .*\)", first)
    assert lines[:3] == [f"  looked in {folder}" for folder in (mine, cache, mine.parent)]
    for line, place, reason in zip(
        lines[3:],
        [mine / "one", mine / "one.gz", cache / "one", server.url("missing"), server.url("page")],
        ["checksum", "decompressing", "web page", "404", "web page"],
        strict=False,
    ):
        assert line.startswith(f"  tried {place}: ") and reason in line
    remedies = "\n".join(lines[8:])
    for words in ("one, two,", str(mine), "TINYGEN_DATA", "data.digits", "--data digits"):
        assert words in remedies
    assert isinstance(caught.value, OSError)


def test_its_first_line_says_each_reason_once(server):
    with pytest.raises(Unavailable) as caught:
        get(server.url("missing"), server.url("missing").rstrip("/"))
    assert str(caught.value).split("\n")[0].count("404") == 1


def test_without_a_folder_of_the_users_the_cache_is_the_place_to_put_files(cache):
    with pytest.raises(Unavailable, match=r"\(no mirror is known\)") as caught:
        get()
    assert f"with or without .gz, into {cache}\n" in str(caught.value)


# --- folders --------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("place", ["a folder for the set", "loose", "the cache"])
def test_files_are_found_raw_or_packed_wherever_they_may_be(mine, cache, packed, place):
    folder = {"a folder for the set": mine, "loose": mine.parent, "the cache": cache}[place]
    put(folder, {f"{n}.gz": PACKED[n] for n in PACKED} if packed else CONTENT)
    assert fetch.at_hand(source())
    assert get() == CONTENT
    assert len(listing(mine.parent)) + len(listing(cache)) == 2  # nothing was written


def test_files_may_be_in_several_folders(mine, cache):
    put(mine, {"two.gz": PACKED["two"]})
    assert not fetch.at_hand(source())
    put(cache, {"one": CONTENT["one"]})
    assert fetch.at_hand(source())
    assert get() == CONTENT


def test_downloads_go_to_the_folder_that_the_user_named(server, mine, cache):
    assert get(server.url("good")) == CONTENT
    assert listing(mine) == ["one", "two"]
    assert not cache.exists()


def test_a_folder_that_the_user_named_is_made_and_may_begin_with_a_tilde(
    server, tmp_path, monkeypatch
):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.setenv("TINYGEN_DATA", "~/deep/down")
    assert get(server.url("good")) == CONTENT
    assert listing(tmp_path / "home" / "deep" / "down" / "set") == ["one", "two"]


@pytest.mark.parametrize("unset", [None, "", "not/absolute"])
def test_without_xdg_the_cache_is_in_the_home(server, tmp_path, monkeypatch, unset):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    if unset is None:
        monkeypatch.delenv("XDG_CACHE_HOME")
    else:
        monkeypatch.setenv("XDG_CACHE_HOME", unset)
    get(server.url("good"))
    assert listing(tmp_path / ".cache" / "tinygen" / "set") == ["one", "two"]


BAD = {
    "empty": b"",
    "short": CONTENT["one"][:-1],
    "cut": PACKED["one"][:99],
    "damaged": PACKED["one"][:-8] + bytes(8),
    "page": b"<html>",
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_bad_file_in_the_cache_is_named_and_fetched_again(server, cache, bad):
    put(cache, {"one": bad, "two": CONTENT["two"]})
    assert not fetch.at_hand(source())
    with pytest.warns(UserWarning, match=re.escape(f"{cache / 'one'} can't be used: ")) as said:
        assert get(server.url("good")) == CONTENT
    assert len(said) == 1
    assert (cache / "one").read_bytes() == CONTENT["one"]
    assert get() == CONTENT


def test_a_file_with_a_wrong_md5_is_not_used(server, cache):
    put(cache, {"one": CONTENT["one"], "two": b"no"})
    assert not fetch.at_hand(source())
    with pytest.warns(UserWarning, match="two can't be used"):
        assert get(server.url("good")) == CONTENT


def test_a_bad_file_in_the_cache_does_not_keep_the_good_one_from_the_users_folder(
    server, mine, cache
):
    put(cache, {"one": b"bad"})
    with pytest.warns(UserWarning, match="one can't be used"):
        assert get(server.url("good")) == CONTENT
    assert listing(mine) == ["one", "two"]
    assert (cache / "one").read_bytes() == b"bad"


@pytest.mark.parametrize("name", ["one", "one.gz"])
@pytest.mark.parametrize("loose", [False, True])
def test_a_bad_file_of_the_users_is_named_and_never_written_over(server, mine, cache, name, loose):
    folder = mine.parent if loose else mine
    put(folder, {name: b"mine"})
    text = re.escape(f"{folder / name} can't be used: its checksum is wrong")
    with pytest.warns(UserWarning, match=text):
        assert get(server.url("good")) == CONTENT
    assert (folder / name).read_bytes() == b"mine"
    assert fetch.at_hand(source())


def test_beside_a_bad_file_the_good_one_is_found(cache):
    put(cache, {"one": b"bad", "one.gz": PACKED["one"], "two": CONTENT["two"]})
    assert fetch.at_hand(source())
    with pytest.warns(UserWarning, match="one can't be used"):
        assert get() == CONTENT


def test_another_sets_loose_files_do_not_hide_what_is_in_the_cache(mine, cache):
    put(mine.parent, {"one": b"of another set", "two": b"of another set"})
    put(cache, CONTENT)
    assert get() == CONTENT  # without a warning


@pytest.mark.filterwarnings("ignore:.* can't be used")
@pytest.mark.parametrize("ways", [[], ["endless"]])
def test_what_never_ends_takes_no_memory(server, cache, ways):
    put(cache, {"one.gz": gzip.compress(bytes(1 << 26))})
    tracemalloc.start()
    with pytest.raises(Unavailable):
        get(*map(server.url, ways))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


def test_a_folder_in_the_files_place_is_said_to_be_one(server, mine, cache):
    (mine / "one").mkdir()
    with pytest.warns(UserWarning, match="one can't be used: Is a directory"):
        assert get(server.url("good")) == CONTENT
    assert listing(cache) == ["one"]


def test_where_no_folder_takes_it_the_file_is_used_and_that_is_said(server, tmp_path, monkeypatch):
    put(tmp_path, {"file": b""})  # not even root can create a folder in a file
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    place = tmp_path / "file" / "tinygen" / "set"
    with pytest.warns(UserWarning, match=re.escape(f"in {place} (Not a directory)")) as said:
        assert get(server.url("good")) == CONTENT
    assert len({str(each.message) for each in said}) == 1  # Python shows the same only once
    assert listing(tmp_path) == ["file"]


def test_where_the_users_folder_takes_nothing_the_cache_does(server, tmp_path, monkeypatch, cache):
    put(tmp_path, {"file": b""})
    monkeypatch.setenv("TINYGEN_DATA", str(tmp_path / "file"))
    assert get(server.url("good")) == CONTENT
    assert listing(cache) == ["one", "two"]


def test_a_full_disk_leaves_nothing_half_written(server, tmp_path, monkeypatch):
    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_files.os, "fsync", full)
    with pytest.warns(UserWarning, match=r"\(No space left on device\)"):
        assert get(server.url("good")) == CONTENT
    assert listing(tmp_path) == []


# --- interrupted, killed, or concurrent -----------------------------------------------------------


@pytest.mark.parametrize(
    ("owner", "where"),
    [
        (fetch.urllib.request.OpenerDirector, "open"),
        (misbehaving.http.client.HTTPResponse, "read1"),
        (_files.os, "fsync"),
    ],
)
def test_an_interrupt_is_no_failure_of_a_mirror_and_leaves_nothing(
    server, tmp_path, monkeypatch, owner, where
):
    def interrupted(*args, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(owner, where, interrupted)
    server.asked.clear()
    with pytest.raises(KeyboardInterrupt):
        get(server.url("pieces"), server.url("good"))
    assert not any("good" in path for path in server.asked)
    assert listing(tmp_path) == []


PROGRAM = """
import sys
from tinygen.data import fetch
from test_fetch import CONTENT, source
import os, signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have switched it off
real = os.replace
def slowly(*paths):
    print("writing", flush=True)
    time.sleep(float(sys.argv[2]))
    real(*paths)
os.replace = slowly
try:
    assert fetch.fetch(source(sys.argv[1])) == CONTENT
except KeyboardInterrupt:
    sys.exit(3)
"""


def start(url, pause):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, url, str(pause)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=HERE,
    )


def test_two_programs_at_once_do_each_other_no_harm(server, cache):
    programs = [start(server.url("good"), 0.2) for _ in range(2)]
    outputs = [program.communicate(timeout=60) for program in programs]
    assert [program.returncode for program in programs] == [0, 0], outputs
    assert {name: (cache / name).read_bytes() for name in listing(cache)} == CONTENT


@pytest.mark.skipif(os.name == "nt", reason="Windows has other signals")
@pytest.mark.parametrize(
    ("number", "left", "status"), [(signal.SIGINT, 0, 3), (signal.SIGKILL, 1, -signal.SIGKILL)]
)
def test_a_program_stopped_or_killed_while_it_writes_leaves_no_file_under_the_final_name(
    server, cache, number, left, status
):
    with start(server.url("good"), 30) as program:
        assert program.stdout.readline() == "writing\n"
        assert [name.endswith(".part") for name in listing(cache)] == [True]
        program.send_signal(number)
        program.communicate(timeout=60)
    assert program.returncode == status
    assert [name.endswith(".part") for name in listing(cache)] == [True] * left
    assert get(server.url("good")) == CONTENT
