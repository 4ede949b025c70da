"""Pictures into packets: one encoder for each segment."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from vdsr.errors import OutputError
from vdsr.video.formats import CODECS, Coding
from vdsr.video.source import COLOR_TAGS

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext


def configure(context: VideoCodecContext, coding: Coding) -> None:
    """Set an encoder up."""
    from av.codec.context import Flags

    context.width, context.height = coding.width, coding.height
    context.pix_fmt = coding.pix_fmt
    context.time_base = coding.time_base
    context.framerate = coding.rate
    context.flags |= Flags.frame_duration | Flags.global_header
    context.thread_count = coding.threads
    for name, value in zip(COLOR_TAGS, coding.color, strict=True):
        setattr(context, name, value)
    if coding.shape:
        context.sample_aspect_ratio = coding.shape
    context.options = dict(coding.options)
    if coding.codec == "hevc" and coding.container in ("mp4", "mov"):
        context.codec_tag = "hvc1"  # the only one that Apple's players take


def open_encoder(coding: Coding) -> VideoCodecContext:
    """An encoder that is ready for pictures.

    Raises:
        OutputError: if it refuses them.
    """
    import av
    from av.codec import CodecContext

    # SVT-AV1 talks to stderr of its own accord; this is how it is told not to.
    os.environ.setdefault("SVT_LOG", "1")
    context: Any = CodecContext.create(CODECS[coding.codec].encoder, "w")
    configure(context, coding)
    try:
        context.open()
    except (av.error.FFmpegError, ValueError) as error:
        raise OutputError(
            f"{CODECS[coding.codec].encoder} refuses {coding.width}x{coding.height} px of"
            f" {coding.pix_fmt}: {error}"
        ) from error
    opened: VideoCodecContext = context
    return opened
