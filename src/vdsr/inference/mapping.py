"""Many pictures, several at once, in order and in bounded memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vdsr.errors import BackendError, InputError, OutOfMemory, VdsrError
from vdsr.imaging.files import PictureReader
from vdsr.inference.engine import Enlarger, FileOptions, Result
from vdsr.inference.target import Target

AnyPath = str | os.PathLike[str]
Item = NDArray[Any] | AnyPath | tuple[AnyPath, AnyPath]


@dataclass(frozen=True, kw_only=True, eq=False)
class Mapped:
    """What became of one picture.

    Attributes:
        index: its place in the input, from 0.
        source: what was given: an array, a path, or a pair of paths.
        result: an array for an array or a path (of a gray file `[H, W]`), a `Result` for
            a pair; None if it failed.
        error: why it failed, with its path, or its number if it is an array; else None.
    """

    index: int
    source: Item
    result: NDArray[Any] | Result | None = None
    error: VdsrError | None = None


def map_pictures(
    images: Iterator[Item],
    open_enlarger: Callable[[], Enlarger],
    target: Target,
    options: FileOptions,
    *,
    in_flight: int,
    workers: int,
) -> Generator[Mapped, None, None]:
    """Enlarge pictures; see `Upscaler.map`.

    Args:
        images, target, options, in_flight: see `Upscaler.map`.
        open_enlarger: gives what enlarges, when the first picture is asked for.
        workers: threads.

    Yields:
        One `Mapped` per picture, in order.
    """
    enlarger = open_enlarger()
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
                    waiting.append(pool.submit(_enlarge, enlarger, count, item, target, options))
                    count += 1
                    del item
            if not waiting:
                return
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _enlarge(
    enlarger: Enlarger, index: int, item: Item, target: Target, options: FileOptions
) -> Mapped:
    name = _name(index, item)
    try:
        return Mapped(
            index=index, source=item, result=_result(enlarger, item, name, target, options)
        )
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


def _result(
    enlarger: Enlarger, item: Item, name: str, target: Target, options: FileOptions
) -> NDArray[Any] | Result:
    match item:
        case np.ndarray():
            return enlarger.array(item, target)
        case (str() | os.PathLike() as path, str() | os.PathLike() as goal):
            return enlarger.file(Path(path), Path(goal), target, options)
        case str() | os.PathLike():
            samples = np.concatenate(list(PictureReader(Path(item)).strips()))
            return enlarger.array(samples[..., 0] if samples.shape[2] == 1 else samples, target)
    raise InputError(f"{name}: an array, a path or a pair of paths is taken, not {item!r:.60}")


def _name(index: int, item: object) -> str:
    path = item[0] if isinstance(item, tuple | list) and item else item
    # As errors write it: without `./` and the like.
    return str(Path(path)) if isinstance(path, str | os.PathLike) else f"picture {index}"


def _named(error: VdsrError, name: str) -> VdsrError:
    """The error with the picture in its text, without the frames that hold the picture."""
    if not str(error).startswith(f"{name}: "):
        error.args = (f"{name}: {error}",)
    error.__cause__ = error.__context__ = error.__traceback__ = None
    return error
