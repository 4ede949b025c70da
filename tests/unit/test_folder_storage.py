"""A folder as one side of a job in storage: names, their order, who is first, whose is what."""

from __future__ import annotations

import os
import random
import sys
import threading
from pathlib import Path

import pytest

from vdsr.cluster.folder_storage import FolderStorage, local_path, place_at
from vdsr.cluster.stored import joined, split
from vdsr.errors import InputError, OutputError, UsageError
from vdsr.outputs import Part


def names(place: FolderStorage, *given: str | None) -> list[str]:
    return [one.name for one in place.list(*given)]


def key(name: str) -> bytes:
    return os.fsencode(name)


def test_names_come_in_the_order_of_their_bytes(tmp_path: Path):
    rng = random.Random(0)
    parts = ["a", "a-b", "a0", "a b", "é", "A", "b", "z~", ".h"]
    made = {"/".join(rng.choice(parts) for _ in range(rng.randint(1, 4))) for _ in range(150)}
    place = FolderStorage(tmp_path)
    kept = {name for name in made if not any(other.startswith(f"{name}/") for other in made)}
    for name in kept:
        place.write(name, b"x")
    ordered = sorted(kept, key=key)
    assert names(place) == ordered
    for after in (*rng.sample(ordered, 20), "a/", "a0", "", "zzz"):
        assert names(place, None, after) == [name for name in ordered if key(name) > key(after)]
    for below in ("a", "a/b", "nothing"):
        found = [name[len(below) + 1 :] for name in ordered if name.startswith(f"{below}/")]
        assert names(place, below) == found


def test_of_the_state_a_file_and_a_folder_may_be_of_one_name(tmp_path: Path):
    place = FolderStorage(tmp_path)
    for name in ("a", "a/b", "a-", "a0"):
        assert place.create(f".vdsr/done/{name}", name.encode())
    assert names(place, ".vdsr/done") == ["a", "a-", "a/b", "a0"]
    assert place.read(".vdsr/done/a/b") == b"a/b"
    place.delete(".vdsr/done/a")
    assert names(place, ".vdsr/done") == ["a-", "a/b", "a0"]
    place.delete_all(".vdsr/done")
    assert names(place) == []


def test_one_of_many_is_the_first(tmp_path: Path):
    place = FolderStorage(tmp_path)
    for i in range(30):
        barrier, won = threading.Barrier(8), []

        def race(worker: int, name: str = f".vdsr/leases/0/{i}/x") -> None:
            barrier.wait()  # noqa: B023 - joined below
            if place.create(name, str(worker).encode()):
                won.append(worker)  # noqa: B023

        threads = [threading.Thread(target=race, args=(worker,)) for worker in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert place.read(f".vdsr/leases/0/{i}/x") == str(won[0]).encode()


def test_others_may_write_into_what_is_deleted(tmp_path: Path):
    place = FolderStorage(tmp_path)
    failures = []

    def work(base: str) -> None:
        try:
            for i in range(8):
                place.create(f"{base}/{i}", b"x")
        except OutputError as error:
            failures.append(error)

    for i in range(50):
        base = f".vdsr/strips/{i}"
        place.write(f"{base}/plan", b"x")
        thread = threading.Thread(target=work, args=(base,))
        thread.start()
        place.delete_all(base)
        thread.join()
    assert not failures


def test_marks_are_of_the_output_that_they_were_put_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    place = FolderStorage(tmp_path / "out")
    made = tmp_path / "made"
    made.write_bytes(b"first")
    assert place.marks("a/b.png") is None
    place.upload("a/b.png", made, {"vdsr-source": "ä"})
    assert place.marks("a/b.png") == {"vdsr-source": "ä"}
    assert names(place) == [".vdsr/marks/a/b.png~", "a/b.png"]
    # Whoever dies between its marks and its place has changed nothing, however often.
    commit = Part.commit

    def die(part: Part) -> None:
        if part.goal.name == "b.png":
            raise KeyboardInterrupt
        commit(part)

    for i in range(3):
        made.write_bytes(b"another" + bytes(i))
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Part, "commit", die)
            place.upload("a/b.png", made, {"vdsr-source": f"new{i}"})
        assert f"new{i}".encode() in (place.read(".vdsr/marks/a/b.png") or b"")
        assert place.read("a/b.png") == b"first"
        assert place.marks("a/b.png") == {"vdsr-source": "ä"}
    place.upload("a/b.png", made, {"vdsr-source": "new"})
    assert place.marks("a/b.png") == {"vdsr-source": "new"}
    # What somebody else has put there has none.
    (tmp_path / "out/a/b.png").write_bytes(b"of others")
    assert place.marks("a/b.png") == {}


def test_an_input_that_is_replaced_has_another_tag(tmp_path: Path):
    path = tmp_path / "a.png"
    path.write_bytes(b"one")
    place = FolderStorage(tmp_path)
    (before,) = place.list()
    assert place.fetch("a.png", tmp_path / "got") == before
    assert (tmp_path / "got").read_bytes() == b"one"
    (tmp_path / "got").unlink()
    new = tmp_path / "new"
    new.write_bytes(b"two")
    os.utime(new, (1e9, 1e9))
    new.replace(path)
    (after,) = place.list()
    assert after.tag != before.tag
    assert after.changed >= before.changed  # although it bears an older time
    with pytest.raises(InputError, match="there is no such file"):
        place.fetch("b.png", tmp_path / "got")


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names there are Unicode")
def test_names_may_be_any_bytes(tmp_path: Path):
    place = FolderStorage(tmp_path)
    name = os.fsdecode(b"\xff\xfe/\xe9.png")
    place.write(name, b"x")
    assert names(place) == [name]
    assert place.read(name) == b"x"


@pytest.mark.parametrize("name", ["a//b", "../a", "a/./b", "", "/a", "a\0", "é" * 128])
def test_what_is_no_name_of_a_file(tmp_path: Path, name: str):
    place = FolderStorage(tmp_path)
    assert place.refusal(name)
    with pytest.raises(OutputError):
        place.write(name, b"x")
    assert list(tmp_path.iterdir()) == []


def test_links_to_folders_are_not_followed(tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/x").write_bytes(b"x")
    try:
        (tmp_path / "b").symlink_to(tmp_path / "a")
    except OSError:
        pytest.skip("there are no links here")
    assert "b/x" not in names(FolderStorage(tmp_path))


def test_addresses_of_files(tmp_path: Path):
    assert local_path("file:///a/b%20c") == "/a/b c"
    assert local_path("file://localhost/a") == "/a"
    assert os.fsencode(local_path("file:///a/%FF")) == b"/a/\xff"
    assert local_path("s3://a/b") == "s3://a/b"
    with pytest.raises(UsageError, match="file:///"):
        local_path("file://other/a")
    place = place_at(f"file://{tmp_path}")
    assert isinstance(place, FolderStorage)
    assert place.address == f"file://{tmp_path}"
    # However many slashes a path begins with, folder and name are told apart again.
    twice = place_at(f"file:///{tmp_path}")
    assert split(joined(twice, "a/b.png")) == (place.address, "a/b.png")
    with pytest.raises(InputError, match="there is no such folder"):
        list(place_at(f"file://{tmp_path}/none").list())
