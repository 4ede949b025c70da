"""What lies beside a film's pictures, and what becomes of it: settled before any work."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vdsr.errors import UsageError, among
from vdsr.video.source import Film, opened

if TYPE_CHECKING:
    from av.stream import Stream

KINDS = ("audio", "subtitles", "attachments", "video", "data")
_KIND = {"audio": "audio", "subtitle": "subtitles", "attachment": "attachments", "video": "video"}
# Matroska holds covers as attachments of these names (matroska.org/technical/attachments.html).
_COVERS = {"mjpeg": ("cover.jpg", "image/jpeg"), "png": ("cover.png", "image/png")}
# Subtitles that are plain text in packets, and what each container holds of them.
_TEXTS = {"subrip", "mov_text", "webvtt", "text"}
_TEXT_OF = {"matroska": "subrip", "webm": "webvtt", "mp4": "mov_text", "mov": "mov_text"}
_MARKUP = re.compile(r"</?[A-Za-z][^<>]*>|\{\\[^{}]*\}")
# Tags that the reader or the writer of a container makes by itself.
_OWN_TAGS = re.compile(
    r"major_brand|minor_version|compatible_brands|encoder|DURATION.*|_STATISTICS.*|BPS.*"
    r"|NUMBER_OF_.*|vendor_id|creation_time",
    re.IGNORECASE,
)
_TIME_CODE = "timecode"
# What an MP4 or MOV holds as tags (libavformat/movenc.c); others are left out by it.
_MP4_TAGS = frozenset(
    re.findall(
        r"\w+",
        "title artist album_artist composer album date comment genre copyright grouping lyrics"
        " description synopsis show episode_id network keywords episode_sort season_number"
        " media_type hd_video gapless_playback compilation track disc tmpo sort_name sort_artist"
        " sort_album sort_album_artist sort_composer sort_show encoding_tool language"
        " handler_name timecode location year rotate encoder make model author performer",
    )
)


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A stream that is kept.

    Attributes:
        index: in the input.
        codec: `copy`, or the kind of subtitles that it is converted to.
        convert: from the packets' bytes before to those after; none are left out.
        attached: name and kind of the attachment that a cover becomes.
    """

    index: int
    codec: str = "copy"
    convert: Callable[[bytes], bytes] | None = None
    attached: tuple[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class StreamPlan:
    """What becomes of all that is not the pictures.

    Attributes:
        kept: streams that are kept; attachments, too.
        lost: in words, what is not.
    """

    kept: tuple[Kept, ...]
    lost: tuple[str, ...]


def plan_streams(
    film: Film, container: str, drop: tuple[str, ...], *, later: bool = False
) -> StreamPlan:
    """Settle what becomes of the other streams.

    Args:
        film: the film.
        container: of the goal, as FFmpeg names it.
        drop: kinds that are left out, of `KINDS`.
        later: whether the result begins later than the film.

    Raises:
        UsageError: for a stream that the container cannot hold, and that is not left out.
    """
    import av

    for kind in drop:
        if kind not in KINDS:
            raise UsageError(f"there is no {kind!r} to leave out: {among(kind, KINDS)}")
    kept: list[Kept] = []
    lost: list[str] = []
    with opened(film.path) as source, av.open(io.BytesIO(), "w", format=container) as goal:
        for stream in source.streams:
            if stream.index == film.index:
                continue
            kind = _KIND.get(stream.type, "data")
            if kind in drop:
                lost.append(f"left out, as asked for: {_told(stream)}")
            elif kind == "data":
                # Chapters and time codes are rebuilt from what is kept of them.
                if not (source.chapters() or _TIME_CODE in stream.metadata):
                    lost.append(f"left out: {_told(stream)}: nothing can write it again")
            elif is_cover(stream) and container not in ("matroska", "mp4"):
                lost.append(f"left out: {container} holds no cover: {_told(stream)}")
            else:
                kept.append(_kept(film.path, stream, container, goal))
        lost += _lost_tags(source, container)
        if later and any(_TIME_CODE in held.metadata for held in (source, *source.streams)):
            lost.append("left out: the time code, which is of the film's beginning")
    return StreamPlan(kept=tuple(kept), lost=tuple(lost))


def tags(metadata: dict[str, str], *, later: bool = False) -> dict[str, str]:
    """Tags without those that a container makes by itself, or that are of the film's beginning."""
    left = _OWN_TAGS if not later else re.compile(f"{_OWN_TAGS.pattern}|{_TIME_CODE}", re.I)
    return {k: v for k, v in metadata.items() if not left.fullmatch(k)}


def is_cover(stream: Stream) -> bool:
    """Whether a stream is one picture beside the film."""
    from av.stream import Disposition

    return stream.type == "video" and bool(stream.disposition & Disposition.attached_pic)


def cover_data(path: Path, index: int) -> bytes:
    """The file that a cover is."""
    with opened(path) as source:
        packets = source.demux(source.streams[index])
        return next((bytes(packet) for packet in packets if packet.size), b"")


def codec_name(stream: Stream) -> str:
    """What a stream is encoded in, as FFmpeg names it; empty if that is unknown."""
    context = stream.codec_context
    return context.codec.canonical_name if context is not None else ""


def _kept(path: Path, stream: Stream, container: str, goal: Any) -> Kept:  # noqa: ANN401
    import av

    name = codec_name(stream)
    if stream.type == "attachment":
        if container != "matroska":
            raise _refused(path, stream, container, "attachments")
        return Kept(index=stream.index)
    if is_cover(stream) and container == "matroska":
        own = (stream.metadata.get("filename", ""), stream.metadata.get("mimetype", ""))
        attached = own if all(own) else _COVERS.get(name, (f"cover.{name}", f"image/{name}"))
        return Kept(index=stream.index, attached=attached)
    if name in _TEXTS and stream.type == "subtitle":
        wanted = _TEXT_OF[container]
        if name == wanted == "mov_text":
            return Kept(index=stream.index, convert=_without_gaps)
        if name == wanted or (container == "matroska" and name == "webvtt"):
            return Kept(index=stream.index)
        return Kept(index=stream.index, codec=wanted, convert=_conversion(name, wanted))
    try:
        if name not in goal.supported_codecs:
            raise ValueError(name)
        goal.add_stream_from_template(stream)
    except (ValueError, av.error.FFmpegError) as error:
        raise _refused(path, stream, container, name) from error
    return Kept(index=stream.index)


def _refused(path: Path, stream: Stream, container: str, what: str) -> UsageError:
    kind = _KIND.get(stream.type, "data")
    return UsageError(
        f"{path}: {container} takes no {what}, which {_told(stream)} is: name a .mkv, which takes"
        f" it, or leave it out (drop {kind})"
    )


def _told(stream: Stream) -> str:
    told = [f"{stream.type} stream {stream.index}"]
    name = codec_name(stream) or stream.metadata.get("filename", "")
    language = stream.metadata.get("language", "")
    beside = ", ".join(filter(None, (name, language, stream.metadata.get("title", ""))))
    return f"{told[0]} ({beside:.60})" if beside else told[0]


def _lost_tags(source: Any, container: str) -> list[str]:  # noqa: ANN401
    if container not in ("mp4", "mov"):
        return []
    names = sorted(k for k in tags(source.metadata) if k.lower().split("-")[0] not in _MP4_TAGS)
    return [f"left out: {container} holds no tag {', '.join(names):.80}"] if names else []


def _without_gaps(data: bytes) -> bytes:
    """A sample of mov_text; none for the gap between two, which the writer makes by itself."""
    return data if int.from_bytes(data[:2], "big") else b""


def _conversion(before: str, after: str) -> Callable[[bytes], bytes]:
    def convert(data: bytes) -> bytes:
        text = data[2 : 2 + int.from_bytes(data[:2], "big")] if before == "mov_text" else data
        if not text:
            return b""
        if after == "mov_text":
            # Its styles are not written as markup.
            plain = _MARKUP.sub("", text.decode("utf-8", "replace")).encode()
            return len(plain).to_bytes(2, "big") + plain
        return text

    return convert
