"""Pictures into packets: one encoder for each segment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vdsr.errors import OutputError
from vdsr.video.formats import CODECS, Coding
from vdsr.video.source import COLOR_TAGS

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext

    from vdsr.video.frames import Made
    from vdsr.video.spool import Segment, SegmentFile

# Of FFV1: more are more threads, and less is lost where a byte is damaged.
_SLICES = ("4", "6", "9", "12", "16", "24", "30")


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


@contextmanager
def usual_scheduling() -> Iterator[None]:
    """Take real-time priorities back that an encoder gives to this process's threads.

    SVT-AV1, run by root, makes its threads, and the one that opens it, SCHED_FIFO 99. Two
    threads that wait busily for others then hold up a machine of two cores for ever.
    """
    if not hasattr(os, "sched_setscheduler"):
        yield
        return
    policy, priority = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        try:
            threads = [int(task.name) for task in Path("/proc/self/task").iterdir()]
        except OSError:
            threads = [0]
        for thread in threads:
            # A thread may end meanwhile, and a container may forbid the call.
            with suppress(OSError):
                if os.sched_getscheduler(thread) == os.SCHED_FIFO:
                    os.sched_setscheduler(thread, policy, priority)


def fitted(coding: Coding) -> Coding:
    """The same with what depends on the size: FFV1 takes some numbers of slices only."""
    if coding.codec != "ffv1":
        return coding
    for slices in _SLICES:
        found = replace(coding, options={**coding.options, "slices": slices})
        with suppress(OutputError):
            open_encoder(found)
            return found
    return coding


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
        with usual_scheduling():
            context.open()
    except (av.error.FFmpegError, ValueError) as error:
        raise OutputError(
            f"{CODECS[coding.codec].encoder} refuses {coding.width}x{coding.height} px of"
            f" {coding.pix_fmt}: {error}"
        ) from error
    opened: VideoCodecContext = context
    return opened


def encode(file: SegmentFile, encoder: Any, made: Made) -> None:  # noqa: ANN401
    """Encode a picture into a segment."""
    frame = made.frame
    file.segment.frames.append((frame.pts or 0, frame.duration or 0))
    file.segment.computed += made.computed
    file.segment.kept += made.kept
    for packet in encoder.encode(frame):
        file.add(packet.pts, bytes(packet), key=packet.is_keyframe)


def ended(file: SegmentFile, encoder: Any) -> Segment:  # noqa: ANN401
    """Finish a segment with what the encoder still holds."""
    for packet in encoder.encode(None):
        file.add(packet.pts, bytes(packet), key=packet.is_keyframe)
    file.segment.extradata = bytes(encoder.extradata or b"").hex()
    return file.finish()
