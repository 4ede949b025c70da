"""Strips of a picture that actors share through storage: who has which, and what became of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vdsr.cluster import stored_strips
from vdsr.cluster.folder_storage import FolderStorage
from vdsr.cluster.stored_strips import Sharing
from vdsr.inference.shared_strips import SharedStrips, strip_path

PLAN: dict[str, Any] = {"source": "digest", "memory": 1, "strips": 5}


def strip(value: int) -> np.ndarray:
    return np.full((2, 3, 1), value, np.uint8)


def pair(tmp_path: Path) -> tuple[SharedStrips, SharedStrips]:
    """The strips as the picture's own actor, and as a helper on another machine, see them."""
    place = FolderStorage(tmp_path / "out")
    for name in ("mine", "theirs"):
        (tmp_path / name).mkdir(exist_ok=True)
    assert Sharing(place, "a/b.tif").found() is None
    own = Sharing(place, "a/b.tif").own(tmp_path / "mine", PLAN)
    own.clear(0)
    found = Sharing(place, "a/b.tif").found()
    assert found is not None
    plan, share = found
    assert plan == PLAN
    return own, share(tmp_path / "theirs", plan)


def test_each_makes_what_the_other_has_not(tmp_path: Path):
    own, helper = pair(tmp_path)
    assert own.claim(0)
    assert [helper.claim(i) for i in range(2)] == [False, True]
    assert not own.claim(1)
    assert own.adopt(1, strip_path(tmp_path / "mine", 1)) is None  # it is not made yet
    helper.publish(strip(1))
    own.publish(strip(0))
    for i in range(2):
        goal = strip_path(tmp_path / "mine", i)
        found = own.adopt(i, goal)
        assert found is not None
        assert found[0] == goal.read_bytes() == strip(i).tobytes()
    assert [helper.claim(i) for i in range(3)] == [False, False, True]


def test_what_a_helper_has_made_outlives_the_actor(tmp_path: Path):
    own, helper = pair(tmp_path)
    assert own.claim(0)
    own.publish(strip(0))  # stays on its machine, and is lost with it
    assert helper.claim(1) and helper.claim(2)
    helper.publish(strip(2))
    place = FolderStorage(tmp_path / "out")
    (tmp_path / "third").mkdir()
    third = Sharing(place, "a/b.tif").own(tmp_path / "third", PLAN)
    third.clear(0)
    assert [third.claim(i) for i in range(4)] == [True, True, False, True]
    found = third.adopt(2, strip_path(tmp_path / "third", 2))
    assert found is not None and found[0] == strip(2).tobytes()
    # Who helped the first has to ask again.
    with pytest.raises(FileNotFoundError):
        helper.claim(4)
    with pytest.raises(FileNotFoundError):
        helper.publish(strip(1))
    # Of another plan nothing is taken.
    (tmp_path / "other").mkdir()
    other = Sharing(place, "a/b.tif").own(tmp_path / "other", {**PLAN, "memory": 2})
    other.clear(0)
    assert other.claim(2)


def test_a_strip_whose_maker_has_died_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    own, helper = pair(tmp_path)
    assert helper.claim(0)
    assert not own.claim(0)
    assert own.claim(1)
    own.publish(strip(1))
    assert not own.claim(0)
    monkeypatch.setattr(stored_strips, "_LEAST_SECONDS", 0.0)
    own._longest = 1e-9
    assert own.claim(0)


def test_a_damaged_strip_is_made_again(tmp_path: Path):
    own, helper = pair(tmp_path)
    assert helper.claim(0)
    assert not own.claim(0)
    helper.publish(strip(0))
    place = FolderStorage(tmp_path / "out")
    (made,) = place.list(".vdsr/strips/a/b.tif/made")
    content = bytearray(place.read(f".vdsr/strips/a/b.tif/made/{made.name}") or b"")
    content[-1] ^= 1
    place.write(f".vdsr/strips/a/b.tif/made/{made.name}", bytes(content))
    assert own.adopt(0, strip_path(tmp_path / "mine", 0)) is None
    assert own.claim(0)
