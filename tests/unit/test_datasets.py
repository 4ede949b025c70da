"""Names that stand for pictures, and downloads from a server on this machine."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import io
import json
import os
import tarfile
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from vdsr.data import datasets
from vdsr.data.datasets import Source, data_home, fetch, open_dataset
from vdsr.data.download import _Redirects, download
from vdsr.errors import InputError, OutputError, UsageError

CONTENT = bytes(range(256)) * 3000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class _Server(http.server.ThreadingHTTPServer):
    """Serves `files`; breaks off after `break_after` bytes, as often as `breaks` says."""

    files: dict[str, bytes]
    breaks = 0
    break_after = 200_000
    ranges = True
    asked: list[str | None]


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        server = self.server
        asked = self.headers.get("Range")
        server.asked.append(asked)
        if self.path not in server.files:
            self.send_error(404)
            return
        data = server.files[self.path]
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        if asked and server.ranges:
            if start >= len(data):
                self.send_error(416)
                return
            self.send_response(206)
            data = data[start:]
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if server.breaks:
            server.breaks -= 1
            data = data[: server.break_after]
            self.close_connection = True
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = _Server(("127.0.0.1", 0), _Handler)
    server.files, server.asked = {"/file.bin": CONTENT}, []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VDSR_DATA", str(tmp_path / "home"))
    return tmp_path / "home"


def url(server: _Server, path: str = "/file.bin") -> str:
    return f"http://127.0.0.1:{server.server_port}{path}"


def archive(pictures: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, content in pictures.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def folder_of(path: Path, count: int) -> Path:
    path.mkdir()
    for i in range(count):
        (path / f"{i}.png").write_bytes(b"")
    return path


MOST = 10_000_000


def test_a_file_is_fetched_and_not_twice(server: _Server, tmp_path: Path):
    goal, seen = tmp_path / "new" / "file.bin", []
    for _ in range(2):
        download(url(server), goal, DIGEST, most=MOST, progress=lambda *step: seen.append(step))
    assert goal.read_bytes() == CONTENT
    assert server.asked == [None]
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [p.name for p in goal.parent.iterdir()] == ["file.bin"]


def test_a_broken_connection_goes_on_where_it_ended(server: _Server, tmp_path: Path):
    server.breaks = 2
    goal = tmp_path / "file.bin"
    download(url(server), goal, DIGEST, most=MOST, pause=0.0)
    assert goal.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=200000-", "bytes=400000-"]


def test_a_later_run_goes_on_and_a_server_without_ranges_starts_again(
    server: _Server, tmp_path: Path
):
    goal, part = tmp_path / "file.bin", tmp_path / "file.bin.part"
    part.write_bytes(CONTENT[:1000])
    server.ranges = False
    download(url(server), goal, DIGEST, most=MOST, pause=0.0)
    assert goal.read_bytes() == CONTENT
    assert server.asked == ["bytes=1000-"]


def test_what_keeps_breaking_is_kept_for_the_next_run(server: _Server, tmp_path: Path):
    server.breaks, server.break_after = 99, 1000
    goal = tmp_path / "file.bin"
    with pytest.raises(InputError, match=r"4000 of 768000 bytes: run the command again"):
        download(url(server), goal, DIGEST, most=MOST, pause=0.0)
    assert not goal.exists()
    assert (tmp_path / "file.bin.part").stat().st_size == 4000


def test_a_rest_that_is_too_long_is_thrown_away(server: _Server, tmp_path: Path):
    (tmp_path / "file.bin.part").write_bytes(b"x" * (len(CONTENT) + 5))
    download(url(server), tmp_path / "file.bin", DIGEST, most=MOST, pause=0.0)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


@pytest.mark.skipif(os.name != "posix", reason="links are made by anybody there alone")
@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_rest_that_is_a_link_is_not_followed(server: _Server, tmp_path: Path, link):
    """The name of what is unfinished can be foreseen: who made the link gains nothing."""
    other, goal = tmp_path / "other", tmp_path / "data" / "file.bin"
    other.write_bytes(CONTENT[:1000])
    goal.parent.mkdir()
    link(other, goal.with_name("file.bin.part"))
    download(url(server), goal, DIGEST, most=MOST, pause=0.0)
    assert goal.read_bytes() == CONTENT
    assert not goal.is_symlink()
    assert other.read_bytes() == CONTENT[:1000]
    assert server.asked == [None]


def test_another_content_is_refused_and_not_kept(server: _Server, tmp_path: Path):
    server.files["/file.bin"] = CONTENT[:-1] + b"x"
    with pytest.raises(InputError, match="checksum"):
        download(url(server), tmp_path / "file.bin", DIGEST, most=MOST, pause=0.0)
    assert list(tmp_path.iterdir()) == []


def test_addresses_that_lead_nowhere(server: _Server, tmp_path: Path):
    goal = tmp_path / "file.bin"
    with pytest.raises(InputError, match="404"):
        download(url(server, "/other"), goal, DIGEST, most=MOST, pause=0.0)
    assert len(server.asked) == 1
    with pytest.raises(InputError, match="http"):
        download("file:///etc/hostname", goal, DIGEST, most=MOST)
    with pytest.raises(InputError, match="cannot be fetched"):
        download("http://127.0.0.1:9/file.bin", goal, DIGEST, most=MOST, pause=0.0)


def test_a_goal_that_cannot_be_written(server: _Server, tmp_path: Path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot be written"):
        download(url(server), tmp_path / "file" / "goal", DIGEST, most=MOST)


@pytest.fixture
def set5(server: _Server, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Pictures of the archive that `set5` is fetched from."""
    pictures = {f"benchmark/Set5/HR/{i}.png": bytes([i]) * 50 for i in range(5)}
    others = {"benchmark/Set5/LR/0.png": b"low", "benchmark/Set5/HR/note.txt": b"no picture"}
    data = archive(pictures | others)
    server.files["/benchmark.tar"] = data
    source = Source(
        url=url(server, "/benchmark.tar"), sha256=hashlib.sha256(data).hexdigest(), megabytes=1
    )
    registered = replace(datasets.DATASETS["set5"], source=source)
    monkeypatch.setitem(datasets.DATASETS, "set5", registered)
    return pictures


def test_a_dataset_is_fetched_unpacked_and_found_by_name(server: _Server, set5, home: Path):
    with pytest.raises(InputError, match="vdsr data fetch set5"):
        open_dataset("set5")
    folder = fetch("Set5")
    assert folder == home / "datasets" / "set5"
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == {
        name.rpartition("/")[2]: content for name, content in set5.items()
    }
    assert fetch("set5") == folder
    assert len(server.asked) == 1
    found = open_dataset("set5")
    assert (found.name, [p.name for p in found.pictures]) == (
        "Set5",
        [f"{i}.png" for i in range(5)],
    )
    assert sorted(p.name for p in folder.parent.iterdir()) == ["set5"]


def test_an_archive_without_its_pictures(set5, monkeypatch: pytest.MonkeyPatch, home: Path):
    registered = replace(datasets.DATASETS["set5"], pictures=6)
    monkeypatch.setitem(datasets.DATASETS, "set5", registered)
    with pytest.raises(InputError, match="5 pictures in benchmark/Set5/HR, not 6"):
        fetch("set5")
    assert list((home / "datasets").iterdir()) == []


def test_the_network_of_fid_is_fetched(server: _Server, monkeypatch, home: Path):
    source = Source(url=url(server), sha256=DIGEST, megabytes=1)
    monkeypatch.setitem(datasets.NETWORKS, "inception", source)
    assert fetch("inception") == home / "networks" / "file.bin"
    assert (home / "networks" / "file.bin").read_bytes() == CONTENT


def test_nothing_else_has_a_name():
    with pytest.raises(UsageError, match="set5, set14, b100, urban100, inception"):
        fetch("imagenet")
    with pytest.raises(UsageError, match="no such folder, and no dataset"):
        open_dataset("imagenet")


def test_a_folder_given_once_is_remembered(tmp_path: Path, home: Path):
    folder = folder_of(tmp_path / "Set5", 5)
    assert open_dataset(str(folder)).name == "Set5"
    assert open_dataset("set5").pictures == open_dataset(str(folder)).pictures
    moved = folder.rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="not here"):
        open_dataset("set5")
    (home / "folders.json").write_text("[nonsense")
    open_dataset(str(moved.rename(folder)))
    assert json.loads((home / "folders.json").read_text()) == {"set5": str(folder)}


def test_only_whole_datasets_are_remembered(tmp_path: Path, home: Path):
    open_dataset(str(folder_of(tmp_path / "Set5", 4)))
    open_dataset(str(folder_of(tmp_path / "holiday", 5)))
    assert not home.exists()


def test_a_folder_without_pictures(tmp_path: Path):
    (tmp_path / "note.txt").write_text("")
    with pytest.raises(InputError, match="no pictures"):
        open_dataset(str(tmp_path))


def test_where_data_lie(monkeypatch: pytest.MonkeyPatch, home: Path, tmp_path: Path):
    assert data_home() == home
    monkeypatch.delenv("VDSR_DATA")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    assert data_home() == tmp_path / "share" / "vdsr"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_home() == tmp_path / ".local" / "share" / "vdsr"


class _Redirecting(http.server.BaseHTTPRequestHandler):
    """Leads to what is asked for behind a question mark, or never ends."""

    def do_GET(self) -> None:
        if self.path == "/endless":
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                for _ in range(1000):
                    self.wfile.write(bytes(100_000))
            return
        self.send_response(302)
        self.send_header("Location", self.path.partition("?")[2])
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def leading(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Redirecting)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("goal", ["ftp://127.0.0.1/a", "file:///etc/hostname", "gopher://x/"])
def test_no_server_leads_to_another_protocol(leading: str, goal: str, tmp_path: Path):
    with pytest.raises(InputError, match=r"leads to|cannot be fetched|answers 302"):
        download(f"{leading}/?{goal}", tmp_path / "a", DIGEST, most=MOST, pause=0.0)
    assert list(tmp_path.glob("a*")) == []


@pytest.mark.parametrize("goal", ["http://127.0.0.1/a", "HTTP://127.0.0.1/a", "ftp://127.0.0.1/a"])
def test_https_stays_https(goal: str):
    request = urllib.request.Request("https://127.0.0.1/b")
    with pytest.raises(InputError, match=r"leads to .*not safe"):
        _Redirects().redirect_request(request, io.BytesIO(), 302, "", {}, goal)
    kept = _Redirects().redirect_request(request, io.BytesIO(), 302, "", {}, "https://127.0.0.1/c")
    assert kept.full_url == "https://127.0.0.1/c"


def test_a_file_without_end_is_not_kept(leading: str, server: _Server, tmp_path: Path):
    with pytest.raises(InputError, match="more than the 1 MB that were expected"):
        download(f"{leading}/endless", tmp_path / "a", DIGEST, most=1_000_000, pause=0.0)
    with pytest.raises(InputError, match="more than the 0 MB"):
        download(url(server), tmp_path / "a", DIGEST, most=10, pause=0.0)
    assert list(tmp_path.glob("a*")) == []


def test_redirects_without_end(leading: str, tmp_path: Path):
    with pytest.raises(InputError, match="answers 302"):
        download(f"{leading}/??", tmp_path / "a", DIGEST, most=MOST, pause=0.0)
