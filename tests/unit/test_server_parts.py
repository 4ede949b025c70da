"""Parts of the server by themselves: turns, rates, names, forms, tokens."""

from __future__ import annotations

import pytest

pytest.importorskip("fastapi", reason="needs 'vdsr[serve]'")

import numpy as np

import networks
from vdsr.errors import UsageError
from vdsr.inference.engines import Engines
from vdsr.server.fair import FairQueue
from vdsr.server.guard import Rates
from vdsr.server.network import FairNetwork
from vdsr.server.settings import ServerSettings, read_tokens
from vdsr.server.uploads import shown_name


def test_a_small_picture_goes_before_a_giant_and_nobody_waits_for_ever():
    queue: FairQueue[str] = FairQueue()
    for i in range(5):
        queue.push(f"giant {i}", "a", 1000)
    queue.push("small", "b", 10)
    assert queue.pop() == "small"
    assert queue.pop() == "giant 0"
    for i in range(300):  # small ones without end
        queue.push(f"small {i}", "b", 10)
    order = [queue.pop() for _ in range(300)]
    assert "giant 1" in order
    assert order.index("giant 1") > 90


def test_two_flows_get_the_same_px():
    queue: FairQueue[tuple[str, int]] = FairQueue()
    for _ in range(100):
        queue.push(("a", 300), "a", 300)
    for _ in range(300):
        queue.push(("b", 100), "b", 100)
    got = {"a": 0, "b": 0}
    for _ in range(200):
        flow, pixels = queue.pop() or ("", 0)
        got[flow] += pixels
    assert got["a"] == pytest.approx(got["b"], abs=300)
    assert queue.pop(lambda item: item[0] == "c") is None


def test_what_waits_long_comes_before_what_is_small_and_late():
    queue: FairQueue[int] = FairQueue()
    queue.push(-1, "giant", 1000)
    for i in range(500):  # each a flow of its own, without end
        queue.push(i, i, 10)
        if queue.pop() == -1:
            break
    assert 50 < i < 400


def test_rates():
    rates = Rates(2.0)
    assert [rates.wait("a", 0.0) > 0 for _ in range(21)] == [False] * 20 + [True]
    assert rates.wait("b", 0.0) == 0
    assert rates.wait("a", 0.5) == 0
    assert Rates(None).wait("a", 0.0) == 0


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\x\\photo.jpg", "photo.jpg"),
        ("a\0b\r\nSet-Cookie: c.png", "abSet-Cookie c.png"),
        ("...", "picture"),
        (None, "picture"),
        ("山.png", "山.png"),
        ("x" * 500 + ".png", "x" * 116 + ".png"),
    ],
)
def test_names_are_only_shown(name, shown):
    assert shown_name(name) == shown


def test_tokens_of_a_file(tmp_path):
    path = tmp_path / "tokens"
    path.write_text("# comment\n\nlong-enough-to-be-one\n")
    assert len(read_tokens(path)) == 1
    for text in ("", "short\n"):
        path.write_text(text)
        with pytest.raises(UsageError):
            read_tokens(path)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_what_is_local(tmp_path, host):
    assert ServerSettings(folder=tmp_path, host=host).is_local
    assert not ServerSettings(folder=tmp_path, host="0.0.0.0").is_local
    with pytest.raises(UsageError):
        ServerSettings(folder=tmp_path, max_queue=0)


def test_tiles_of_all_lanes_are_run_and_a_closed_network_says_so():
    engines = Engines(
        networks.small_network(), "openvino", "fp32", threads=2, max_memory=None, tile=None
    )
    network = FairNetwork(engines, 2)
    y = np.random.default_rng(0).random((1, 1, 40, 50), np.float32)
    wanted = engines.first.network.run(y)
    for small in (True, False):
        assert np.array_equal(network.run(y, 0, "a", small=small), wanted)
    network.close()
    with pytest.raises(UsageError):
        network.run(y, 0, "a", small=True)
    engines.close()
