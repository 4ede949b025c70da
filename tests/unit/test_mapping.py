"""Many pictures at once: in order, each with its own failure, in bounded memory."""

from __future__ import annotations

import itertools
import os
import threading
import time
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vdsr
from networks import small_network, zero_network
from vdsr import Mapped, Result, Upscaler
from vdsr.errors import BackendError, InputError, OutOfMemory, OutputError, UsageError, VdsrError
from vdsr.evaluation.candidates import read_picture, write_picture
from vdsr.inference import backends
from vdsr.inference.engine import Engine
from vdsr.inference.mapping import map_pictures
from vdsr.inference.memory import MIB
from vdsr.inference.order import Order
from vdsr.inference.target import Target

PATIENCE = 20  # seconds, for what takes milliseconds
SIZES = [(40, 33, 3), (5, 7), (9, 9, 4), (1, 1, 3), (24, 17), (12, 30, 3), (8, 8, 2), (16, 16, 1)]


@pytest.fixture(scope="module")
def small() -> Iterator[Upscaler]:
    with Upscaler(small_network(), backend="openvino", threads=2) as upscaler:
        yield upscaler


def pictures(dtype: str = "uint8") -> list[np.ndarray]:
    found = []
    for i, size in enumerate(SIZES):
        x = np.random.default_rng(i).random(size)
        found.append((x * (np.iinfo(dtype).max if dtype != "float32" else 1)).astype(dtype))
    return found


class Stub:
    """A network that adds nothing, and calls `act` with the gray of its picture."""

    def __init__(self, act: Callable[[int], object]) -> None:
        self._act = act

    def run(self, y):
        self._act(round((float(y.flat[0]) * 255 - 16) * 255 / 219))
        return y

    def close(self) -> None:
        pass


def stubbed(
    images: Iterable[Any],
    act: Callable[[int], object] = int,
    *,
    in_flight: int = 2,
    workers: int | None = None,
) -> Generator[Mapped, None, None]:
    engine = Engine(
        model=zero_network(),
        choice=backends.Choice(backend="openvino", precision="fp32"),
        network=Stub(act),
        max_memory=64 * MIB,
        tile=None,
    )
    return map_pictures(
        iter(images),
        lambda: lambda picture: engine,
        Order(target=Target(scale=2)),
        in_flight=in_flight,
        workers=workers or in_flight,
    )


def gray(shade: int) -> np.ndarray:
    return np.full((4, 5), shade, np.uint8)


def shades(found: Iterable[Mapped]) -> list[int]:
    return [int(one.result[0, 0]) for one in found]


def map_threads() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name.startswith("vdsr-map")]


def eventually(holds: Callable[[], bool]) -> bool:
    """Whether something comes true that another thread is about to do."""
    end = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.001)
    return True


def test_the_package_names_it():
    assert vdsr.Mapped is Mapped
    assert "Mapped" in vdsr.__all__


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("in_flight", [None, 1, 3])
def test_arrays_become_what_upscale_makes_of_them(small: Upscaler, dtype: str, in_flight):
    given = pictures(dtype)
    found = list(small.map(given, scale=2, in_flight=in_flight))
    step = 1e-5 if dtype == "float32" else 1
    for i, (one, image) in enumerate(zip(found, given, strict=True)):
        expected = small.upscale(image, scale=2)
        assert (one.index, one.error) == (i, None)
        assert one.source is image
        assert one.result.dtype == expected.dtype
        assert one.result.shape == expected.shape
        assert np.abs(one.result.astype(float) - expected.astype(float)).max() <= step


@pytest.mark.parametrize("name", backends.BACKENDS)
def test_every_backend_maps(name: str):
    given = pictures()
    with Upscaler(small_network(), backend=name, threads=2) as upscaler:
        for one, image in zip(upscaler.map(given, scale=3), given, strict=True):
            assert np.abs(one.result.astype(int) - upscaler.upscale(image, scale=3)).max() <= 1


def test_paths_become_arrays(small: Upscaler, tmp_path: Path):
    given = [image for image in pictures() if image.ndim == 2 or image.shape[2] == 3]
    for i, image in enumerate(given):
        write_picture(tmp_path / f"{i}.png", image)
    paths = [tmp_path / f"{i}.png" for i in range(len(given))]
    # As text, and as what a folder is listed as.
    entries = sorted(os.scandir(tmp_path), key=lambda entry: entry.name)
    for items in ([str(path) for path in paths], paths, entries):
        found = list(small.map(items, scale=2))
        assert [one.source for one in found] == items
        for one, image in zip(found, given, strict=True):
            expected = small.upscale(image, scale=2)
            assert one.result.shape == expected.shape
            assert np.abs(one.result.astype(int) - expected).max() <= 1


def test_pairs_become_files(small: Upscaler, tmp_path: Path):
    image = pictures()[0]
    write_picture(tmp_path / "in.png", image)
    goals = [tmp_path / f"out{i}.png" for i in range(5)]
    pairs = [(tmp_path / "in.png", goal) for goal in goals]
    found = list(small.map(pairs, scale=2))
    expected = small.upscale(image, scale=2)
    for one, goal in zip(found, goals, strict=True):
        assert isinstance(one.result, Result)
        assert (one.result.output, one.result.width, one.result.height) == (str(goal), 66, 80)
        assert np.abs(read_picture(goal).astype(int) - expected).max() <= 1
    again = list(small.map(pairs, scale=2))
    assert all(isinstance(one.error, OutputError) for one in again)
    assert all(str(g) in str(one.error) for one, g in zip(again, goals, strict=True))
    assert all(one.error is None for one in small.map(pairs, scale=3, overwrite=True))
    assert read_picture(goals[-1]).shape == (120, 99, 3)


def test_options_for_files_reach_them(small: Upscaler, tmp_path: Path):
    write_picture(tmp_path / "in.png", pictures()[0])
    goals = [tmp_path / "fine", tmp_path / "coarse"]
    for goal, quality in zip(goals, (95, 5), strict=True):
        [one] = small.map(
            [(str(tmp_path / "in.png"), str(goal))], scale=2, format="jpeg", quality=quality
        )
        assert one.error is None
    assert goals[1].stat().st_size < goals[0].stat().st_size / 2
    assert goals[0].read_bytes().startswith(b"\xff\xd8\xff")


def test_an_empty_iterable(small: Upscaler):
    assert list(small.map([])) == []


def test_a_slow_picture_does_not_lose_its_place():
    quick = threading.Event()
    done = []

    def act(shade: int) -> None:
        if shade == 10:
            assert quick.wait(PATIENCE)
        done.append(shade)
        if shade == 30:
            quick.set()

    found = shades(stubbed(map(gray, (10, 20, 30, 40, 50)), act, in_flight=3))
    assert found == [10, 20, 30, 40, 50]
    assert done.index(30) < done.index(10)


def test_pictures_are_enlarged_at_the_same_time():
    together = threading.Barrier(3, timeout=PATIENCE)
    assert len(list(stubbed([gray(10)] * 6, lambda _: together.wait(), in_flight=3))) == 6


class Counted:
    """Endless pictures; knows how many were read, and how many of them are still there."""

    def __init__(self) -> None:
        self.read = 0
        self._held: list[weakref.ref[np.ndarray]] = []
        self.most = 0

    def __iter__(self) -> Counted:
        return self

    def __next__(self) -> np.ndarray:
        self.most = max(self.most, self.alive())
        self.read += 1
        image = gray(self.read % 256)
        self._held.append(weakref.ref(image))
        return image

    def alive(self) -> int:
        return sum(one() is not None for one in self._held)


@pytest.mark.parametrize("in_flight", [1, 2, 5])
def test_an_endless_iterable_is_read_no_further_than_needed(small: Upscaler, in_flight: int):
    images = Counted()
    found = small.map(images, scale=2, in_flight=in_flight)
    assert images.read == 0
    for i, one in enumerate(itertools.islice(found, 12)):
        assert one.index == i
        assert images.read == i + in_flight
    found.close()
    assert images.read == 11 + in_flight


@pytest.mark.parametrize("in_flight", [1, 3])
def test_pictures_that_were_given_back_are_let_go(in_flight: int):
    images = Counted()
    found = stubbed(images, in_flight=in_flight)
    for _ in range(10):
        one = next(found)
        assert one.error is None
        del one
        # A thread that has just given its result drops its picture a moment later.
        assert eventually(lambda: images.alive() < in_flight)
    assert images.most < in_flight
    found.close()
    assert eventually(lambda: images.alive() == 0)


def test_each_failure_is_its_own(small: Upscaler, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_picture(Path("good.png"), pictures()[0])
    whole = Path("good.png").read_bytes()
    Path("short.png").write_bytes(whole[: len(whole) // 2])
    Path("empty.png").touch()
    Path("text.png").write_text("no picture")
    Path("folder").mkdir()
    # What is given, its name in the message (None is its number), and what the message says.
    bad: list[tuple[Any, str | None, str]] = [
        ("short.png", "short.png", "cut short"),
        (Path("empty.png"), "empty.png", "is empty"),
        ("./text.png", "text.png", "not a picture"),
        ("folder", "folder", "a folder"),
        ("missing.png", "missing.png", "no such file"),
        (("missing.png", "out.png"), "missing.png", "no such file"),
        (("good.png", "folder"), "good.png", "no suffix"),
        (("good.png", "nowhere/out.png"), "good.png", "nowhere"),
        (("empty.png", "out.png"), "empty.png", "is empty"),
        (["empty.png", "out.png"], "empty.png", "is empty"),
        (("good.png",), "good.png", "a pair"),
        (np.full((3, 3), np.nan, np.float32), None, "NaN"),
        (np.zeros((3, 3), np.int16), None, "int16"),
        (np.zeros((0, 3), np.uint8), None, "shape"),
        (None, None, "not None"),
        ((), None, "not ()"),
    ]
    found = list(small.map([item for one in bad for item in (one[0], gray(9))], scale=2))
    assert [one.index for one in found] == list(range(2 * len(bad)))
    for one, (item, name, says) in zip(found[::2], bad, strict=True):
        assert one.source is item
        assert one.result is None
        assert isinstance(one.error, VdsrError)
        named = name or f"picture {one.index}"
        assert str(one.error).startswith(f"{named}: "), one.error
        assert str(one.error).count(f"{named}: ") == 1, one.error
        assert says in str(one.error), one.error
    for one in found[1::2]:
        assert one.error is None
        assert one.result.shape == (8, 10)
    assert not list(tmp_path.glob("out*"))


def test_a_name_that_stands_in_the_message_by_chance_is_given_all_the_same(
    small: Upscaler, tmp_path: Path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    write_picture(Path("sh"), pictures()[0])
    [one] = small.map(["sh"], width=10)
    assert isinstance(one.error, UsageError)
    assert str(one.error) == "sh: 33x40 px would shrink to 10x13: this program enlarges"


def test_failures_hold_nothing_of_the_picture(small: Upscaler):
    image = np.full((3, 3), np.nan, np.float32)
    held = weakref.ref(image)
    found = small.map([image], scale=2)
    del image
    error = next(found).error
    assert isinstance(error, InputError)
    found.close()
    assert eventually(lambda: held() is None)


def test_a_picture_that_does_not_fit_fails_alone():
    def act(shade: int) -> None:
        if shade == 20:
            raise MemoryError

    found = list(stubbed(map(gray, (10, 20, 30)), act))
    assert [one.error is None for one in found] == [True, False, True]
    assert isinstance(found[1].error, OutOfMemory)
    assert str(found[1].error).startswith("picture 1: ")


def test_pictures_in_work_share_the_memory(tmp_path: Path):
    write_picture(tmp_path / "in.png", np.zeros((8, 600), np.uint8))
    pairs = [(tmp_path / "in.png", tmp_path / f"out{i}.png") for i in range(2)]
    with Upscaler(small_network(), backend="openvino", threads=2, max_memory=3 * MIB) as upscaler:
        assert all(one.error is None for one in upscaler.map(pairs, scale=2, in_flight=1))
        found = list(upscaler.map(pairs, scale=2, in_flight=2, overwrite=True))
    assert all(isinstance(one.error, OutOfMemory) for one in found)
    assert all(str(one.error).startswith(f"{tmp_path / 'in.png'}: ") for one in found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"in_flight": 0}, "at least 1 picture in flight"),
        ({"scale": 17}, "at most 16"),
        ({"scale": 2, "width": 10}, "one of"),
        ({"restore": True, "scale": 2}, "restore keeps"),
        ({"fit": (0, 5)}, "at least 1 px"),
        ({"quality": 0}, "quality is 1..100"),
        ({"quality": 101, "format": "webp"}, "quality is 1..100"),
        ({"quality": 50, "format": "png"}, "lossless"),
        ({"format": "bmp"}, "unknown format 'bmp'"),
    ],
)
def test_options_are_refused_at_once(small: Upscaler, options: dict[str, Any], message: str):
    images = Counted()
    with pytest.raises(UsageError, match=message):
        small.map(images, **options)
    assert images.read == 0


@pytest.mark.parametrize("path", ["in.png", Path("in.png")])
def test_a_single_path_is_not_taken_for_many(small: Upscaler, path):
    with pytest.raises(UsageError, match=r"'in\.png' is one path: put it in a list"):
        small.map(path)


class Held:
    """Enlarging waits here until it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go = threading.Event()
        self.finished: list[int] = []

    def __call__(self, shade: int) -> None:
        if shade > 0:
            self.begun.release()
            assert self.go.wait(PATIENCE)
        self.finished.append(shade)


@pytest.mark.parametrize("how", ["close", "throw", "del"])
def test_closing_early_waits_for_what_has_begun(how: str):
    held, images = Held(), iter([gray(0), *map(gray, range(10, 90, 10))])
    for one in (found := stubbed(images, held, in_flight=6, workers=2)):
        assert one.index == 0
        break
    # Of six that were read, one was given back, two are in progress, and three wait.
    assert all(held.begun.acquire(timeout=PATIENCE) for _ in range(2))
    letting_go = threading.Timer(0.1, held.go.set)
    letting_go.start()
    if how == "close":
        found.close()
    elif how == "throw":
        with pytest.raises(KeyboardInterrupt):
            found.throw(KeyboardInterrupt)
    else:
        del found
    assert sorted(held.finished) == [0, 10, 20]
    assert map_threads() == []
    assert len(list(images)) == 3
    letting_go.join()


def test_a_map_that_was_never_begun_costs_nothing(small: Upscaler, monkeypatch):
    monkeypatch.setattr(backends, "open_backend", None)
    images = Counted()
    small.map(images, in_flight=2).close()
    assert images.read == 0
    assert map_threads() == []


def test_a_closed_upscaler_is_refused():
    upscaler = Upscaler(small_network(), backend="openvino", threads=2)
    upscaler.close()
    images = Counted()
    with pytest.raises(BackendError, match="closed"):
        next(upscaler.map(images))
    assert images.read == 0


@pytest.mark.parametrize("name", backends.BACKENDS)
def test_closing_the_upscaler_meanwhile_ends_the_map(name: str):
    upscaler = Upscaler(small_network(), backend=name, threads=2)
    found = upscaler.map(Counted(), scale=2, in_flight=3)
    assert next(found).error is None
    upscaler.close()
    # At most those in flight were done before.
    with pytest.raises(BackendError, match="closed"):
        for _ in range(5):
            assert next(found).error is None
    assert list(found) == []


def failing(count: int, error: BaseException) -> Iterator[np.ndarray]:
    yield from [gray(10)] * count
    raise error


@pytest.mark.parametrize("count", [0, 2, 7])
def test_what_the_iterable_raises_comes_in_its_place(count: int):
    found = stubbed(failing(count, PermissionError("locked")), in_flight=4)
    assert all(next(found).index == i for i in range(count))
    with pytest.raises(PermissionError, match=r"^locked$"):
        next(found)
    assert list(found) == []
    assert map_threads() == []


def test_an_iterable_that_failed_is_not_asked_again():
    class Stubborn:
        asked = 0

        def __iter__(self):
            return self

        def __next__(self):
            self.asked += 1
            raise ValueError("nothing")

    images = Stubborn()
    with pytest.raises(ValueError, match="nothing"):
        next(stubbed(images, in_flight=4))
    assert images.asked == 1


def test_ctrl_c_while_reading_ends_at_once():
    found = stubbed(failing(2, KeyboardInterrupt()), in_flight=4)
    with pytest.raises(KeyboardInterrupt):
        next(found)
    assert map_threads() == []


def test_errors_that_are_bugs_are_raised_in_their_place():
    def act(shade: int) -> None:
        if shade == 20:
            raise RuntimeError("a bug")

    found = stubbed(map(gray, (10, 20, 30, 40)), act)
    assert next(found).index == 0
    with pytest.raises(RuntimeError, match="a bug") as caught:
        next(found)
    assert caught.value.__notes__ == ["while enlarging picture 1"]
    assert list(found) == []
    assert map_threads() == []


def test_networks_are_opened_once_for_each_number(monkeypatch):
    opened: list[int] = []
    open_backend = backends.open_backend

    def counting(*args: Any, parallel: int = 1, **options: Any) -> backends.Backend:
        opened.append(parallel)
        return open_backend(*args, parallel=parallel, **options)

    monkeypatch.setattr(backends, "open_backend", counting)
    with Upscaler(small_network(), backend="openvino", threads=2) as upscaler:
        for in_flight in (1, 2, 5, None, 1):
            assert len(list(upscaler.map([gray(9)] * 3, scale=2, in_flight=in_flight))) == 3
        assert opened == [1, 2]
        networks = [upscaler._engines.first.network, *upscaler._engines._parallel.values()]
    for network in networks:
        with pytest.raises(BackendError, match="closed"):
            network.run(np.zeros((1, 1, 4, 4), np.float32))


def test_two_maps_at_once(small: Upscaler):
    given = pictures()
    pairs = zip(small.map(given, scale=2), small.map(given, scale=3), given, strict=True)
    for two, three, image in pairs:
        assert two.result.shape[0] == 2 * image.shape[0]
        assert three.result.shape[0] == 3 * image.shape[0]


@pytest.mark.parametrize("parallel", [2, 3])
@pytest.mark.parametrize("name", backends.BACKENDS)
def test_parallel_calls_give_what_single_ones_give(name: str, parallel: int):
    file = small_network()
    choice = backends.choose(file, name)
    arrays = [
        np.random.default_rng(i).random((1, 1, 9 + 5 * i, 40 - 3 * i), dtype=np.float32)
        for i in range(8)
    ]
    single = backends.open_backend(file, choice, threads=2)
    several = backends.open_backend(file, choice, threads=2, parallel=parallel)
    with ThreadPoolExecutor(2 * parallel + 1) as pool:
        for found, y in zip(pool.map(several.run, arrays * 3), arrays * 3, strict=True):
            assert np.abs(found - single.run(y)).max() <= 1e-5
    for network in (single, several):
        network.close()


@pytest.mark.parametrize("parallel", [1, 2])
def test_onnx_runtime_computes_no_more_at_once_than_asked(parallel: int):
    network: Any = backends.open_backend(
        small_network(),
        backends.Choice(backend="onnxruntime", precision="fp32"),
        threads=2,
        parallel=parallel,
    )
    lock, now, most = threading.Lock(), 0, 0

    class Session:
        def run(self, _: None, arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
            nonlocal now, most
            with lock:
                now += 1
                most = max(most, now)
            time.sleep(0.01)
            with lock:
                now -= 1
            return list(arrays.values())

    network._session = Session()
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(network.run, [np.zeros((1, 1, 4, 4), np.float32)] * 12))
    assert most == parallel
