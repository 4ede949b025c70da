"""Many pictures, several at once, in order and in bounded memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from vdsr.errors import (
    BackendError,
    InputError,
    OutOfMemory,
    UnsupportedType,
    UsageError,
    VdsrError,
)
from vdsr.imaging.arrays import is_pillow
from vdsr.imaging.files.images import Goal, is_encoded, is_goal, name_of
from vdsr.inference.engine import EngineFor, Result
from vdsr.inference.order import Order
from vdsr.inference.pages import enlarge_pages
from vdsr.inference.pictures import TAKEN, opened

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

    # With defaults (PEP 696), which `typing` has from Python 3.13 on: a bare `Mapped` is any.
    from typing_extensions import TypeVar as DefaultTypeVar

    from vdsr.inference.pictures import Image

    Item = Image | tuple[Image, Goal]
    AnyResult = NDArray[Any] | PillowImage | Result
    ItemT_co = DefaultTypeVar("ItemT_co", bound=Item, default=Item, covariant=True)
    ResultT_co = DefaultTypeVar("ResultT_co", bound=AnyResult, default=AnyResult, covariant=True)
else:
    ItemT_co = TypeVar("ItemT_co", covariant=True)
    ResultT_co = TypeVar("ResultT_co", covariant=True)


@dataclass(frozen=True, kw_only=True, eq=False)
class Mapped(Generic[ItemT_co, ResultT_co]):
    """What became of one picture.

    Attributes:
        index: its place in the input, from 0.
        source: what was given: a picture, or a pair of a picture and its output.
        result: an array for an array or a picture file (of a gray one `[H, W]`), a Pillow
            image for such an image, a `Result` for a pair; None if it failed.
        error: why it failed, with its path, or its number if it has none; else None.
        model: name of the model it was made with; None if it failed.
        why: `auto` chose that; None where nothing was chosen.
    """

    index: int
    source: ItemT_co
    result: ResultT_co | None = None
    error: VdsrError | None = None
    model: str | None = None
    why: str | None = None


def map_pictures(
    images: Iterator[Item],
    open_engines: Callable[[], EngineFor],
    order: Order,
    *,
    in_flight: int,
    workers: int,
) -> Generator[Mapped, None, None]:
    """Enlarge pictures; see `Upscaler.map`.

    Args:
        images, in_flight: see `Upscaler.map`.
        open_engines: gives what enlarges each picture, when the first is asked for.
        order: what each picture is to become.
        workers: threads.

    Yields:
        One `Mapped` per picture, in order.
    """
    engine_for = open_engines()
    waiting: deque[Future[Mapped]] = deque()
    # Not `enumerate`, which holds a picture while the next one is waited for.
    count, ended = 0, False
    pool = ThreadPoolExecutor(workers, thread_name_prefix="vdsr-map")
    try:
        while True:
            while not ended and len(waiting) < in_flight:
                try:
                    item = next(images)
                except StopIteration:
                    ended = True
                except Exception as error:
                    # In its place: what was read before it is given back first.
                    ended = True
                    waiting.append(Future())
                    waiting[-1].set_exception(error)
                else:
                    waiting.append(pool.submit(_enlarge, engine_for, count, item, order))
                    count += 1
                    del item
            if not waiting:
                return
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _enlarge(engine_for: EngineFor, index: int, item: Item, order: Order) -> Mapped:
    name = _name(index, item)
    try:
        return _mapped(engine_for, index, item, order)
    except BackendError:  # closed or broken: the next picture would fare no better
        raise
    except VdsrError as error:
        return Mapped(index=index, source=item, error=_named(error, name))
    except MemoryError:
        shortage = OutOfMemory(f"{name}: it does not fit in memory")
        return Mapped(index=index, source=item, error=shortage)
    except Exception as error:
        error.add_note(f"while enlarging {name}")
        raise


def _mapped(engine_for: EngineFor, index: int, item: Item, order: Order) -> Mapped:
    result: NDArray[Any] | PillowImage | Result
    if isinstance(item, np.ndarray) and item.ndim == 4:
        raise InputError("a batch: give its pictures one by one")
    if isinstance(item, tuple | list):
        if len(item) != 2 or not is_goal(item[1]):
            raise UnsupportedType(f"a pair is (picture, output), not {item!r:.60}; {TAKEN}")
        if order.pages is not None and is_encoded(item[0]):
            result = enlarge_pages(engine_for, item[0], item[1], order)
            return Mapped(
                index=index, source=item, result=result, model=result.model, why=result.why
            )
        with opened(item[0], order.page) as picture:
            engine = engine_for(picture)
            result = engine.into_file(picture, item[1], order)
    else:
        with opened(item, order.page) as picture:
            engine = engine_for(picture)
            result = engine.into_memory(picture, order)
    name = engine.model.metadata.name
    return Mapped(index=index, source=item, result=result, model=name, why=engine.why)


def check_many(images: object) -> None:
    """Check that many pictures were given.

    Raises:
        UsageError: for a single one, which could be iterated over by letters or rows, and for
            what cannot be iterated over.
    """
    if isinstance(images, np.ndarray) or is_pillow(images) or is_encoded(images):
        raise UsageError(f"{_described(images)}: put it in a list")
    if not isinstance(images, Iterable):
        raise UsageError(f"map takes many pictures, not {type(images).__name__}")


def _described(image: object) -> str:
    if isinstance(image, str | os.PathLike):
        return f"{os.fspath(image)!r:.60} is one path"
    kind = "array" if isinstance(image, np.ndarray) else type(image).__name__
    return f"this is one picture ({kind})"


def _name(index: int, item: object) -> str:
    one = item[0] if isinstance(item, tuple | list) and item else item
    return name_of(one) if isinstance(one, str | os.PathLike) else f"picture {index}"


def _named(error: VdsrError, name: str) -> VdsrError:
    """The error with the picture in its text, without the frames that hold the picture."""
    if not str(error).startswith(f"{name}: "):
        error.args = (f"{name}: {error}",)
    error.__cause__ = error.__context__ = error.__traceback__ = None
    return error
