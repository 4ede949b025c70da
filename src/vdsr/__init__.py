"""Faithful super-resolution with VDSR.

    import vdsr

    vdsr.upscale("in.jpg", "out.png", scale=4)

    with vdsr.Upscaler() as upscaler:          # open once, use many times
        enlarged = upscaler.upscale(array, scale=2)
        for one in upscaler.map(paths, scale=2):   # several at once, in order
            ...

Importing this package loads nothing heavy; numpy, libvips and the inference
backend are loaded when the first name below is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vdsr.version import __version__

if TYPE_CHECKING:
    from vdsr.inference.engine import Result as Result
    from vdsr.inference.mapping import Mapped as Mapped
    from vdsr.inference.upscaler import Upscaler as Upscaler
    from vdsr.inference.upscaler import upscale as upscale

__all__ = ["Mapped", "Result", "Upscaler", "__version__", "upscale"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - module attributes are of any type
    if name in ("Mapped", "Result", "Upscaler", "upscale"):
        from vdsr.inference import upscaler

        return getattr(upscaler, name)
    raise AttributeError(f"module 'vdsr' has no attribute {name!r}")
