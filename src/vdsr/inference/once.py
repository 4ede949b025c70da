"""One picture in one call: an upscaler that is opened for it alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack, overload

import numpy as np
from numpy.typing import NDArray

from vdsr.imaging.files.images import Encoded, Goal
from vdsr.inference.engine import Result
from vdsr.inference.order import FileOptions, Order
from vdsr.inference.plan import OnProgress
from vdsr.inference.upscaler import Array, Upscaler, UpscalerOptions

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

    from vdsr.inference.pictures import Image


class AllOptions(FileOptions, UpscalerOptions, total=False):
    """What an `Upscaler` is opened with, and what is to become of one picture."""


@overload
def upscale(
    image: Array, *, progress: OnProgress | None = None, **options: Unpack[AllOptions]
) -> Array: ...


@overload
def upscale(
    image: NDArray[np.float64],
    *,
    progress: OnProgress | None = None,
    **options: Unpack[AllOptions],
) -> NDArray[np.float32]: ...


@overload
def upscale(
    image: PillowImage, *, progress: OnProgress | None = None, **options: Unpack[AllOptions]
) -> PillowImage: ...


@overload
def upscale(
    image: Encoded, *, progress: OnProgress | None = None, **options: Unpack[AllOptions]
) -> NDArray[Any]: ...


@overload
def upscale(
    image: Image,
    output: Goal,
    *,
    progress: OnProgress | None = None,
    **options: Unpack[AllOptions],
) -> Result: ...


def upscale(
    image: Image,
    output: Goal | None = None,
    *,
    progress: OnProgress | None = None,
    **options: Unpack[AllOptions],
) -> NDArray[Any] | PillowImage | Result:
    """Enlarge one picture: `vdsr.upscale("in.jpg", "out.png", scale=4)`.

    The model is loaded for this picture alone: for several, open an `Upscaler`.

    Args:
        image, output, progress: see `Upscaler.upscale`.
        options: those of `Upscaler.upscale`, and `model`, `backend`, `precision`,
            `threads`, `max_memory` and `tile` of `Upscaler`.

    Returns:
        See `Upscaler.upscale`.

    Raises:
        VdsrError: see `Upscaler` and `Upscaler.upscale`.
    """
    of_upscaler: Any = {
        name: value for name, value in options.items() if name in UpscalerOptions.__annotations__
    }
    rest: Any = {name: value for name, value in options.items() if name not in of_upscaler}
    # Whatever is wrong with the options is said before the model is loaded.
    Order.of(rest, caller="upscale")
    goal: Any = output  # with and without an output are overloads of their own
    with Upscaler(**of_upscaler) as upscaler:
        result: NDArray[Any] | PillowImage | Result = upscaler.upscale(
            image, goal, progress=progress, **rest
        )
        return result
