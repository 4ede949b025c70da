"""The film put together: the new pictures' packets, and all other streams as they were."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from typing import IO, TYPE_CHECKING, Any

from vdsr.errors import OutputError, VdsrError
from vdsr.video.encode import configure, usual_scheduling
from vdsr.video.formats import CODECS, CROPPING, Coding
from vdsr.video.matroska import describe, display_size
from vdsr.video.source import Film, opened
from vdsr.video.spool import Spool
from vdsr.video.streams import Kept, StreamPlan, cover_data, is_cover, tags

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet
    from av.stream import Stream

Timed = tuple[float, "Packet[Any]"]
Cut = tuple[Fraction | None, Fraction | None]


def write_film(
    file: IO[bytes],
    film: Film,
    coding: Coding,
    spool: Spool,
    plan: StreamPlan,
    cut: Cut,
) -> list[str]:
    """Write the container.

    Args:
        file: where to, open for writing, seekable.
        film: the input.
        coding: of the pictures.
        spool: their packets.
        plan: what becomes of the other streams.
        cut: seconds at which it begins and ends; all times are counted from the beginning.

    Returns:
        What could not be written, in words.

    Raises:
        OutputError: if the container refuses what it is given.
    """
    import av

    with opened(film.path) as source:
        try:
            moved = _write(file, source, film, coding, spool, plan, cut)
        except (av.error.FFmpegError, ValueError) as error:
            if isinstance(error, VdsrError):
                raise
            raise OutputError(f"{spool.goal}: {coding.container} refuses it: {error}") from error
    told = f"damage: {moved} packets beside the pictures had times that were past"
    return [told] * bool(moved) + _shown(file, coding)


def _write(
    file: IO[bytes],
    source: InputContainer,
    film: Film,
    coding: Coding,
    spool: Spool,
    plan: StreamPlan,
    cut: Cut,
) -> int:
    """Write it; returns how many packets had times before those of earlier ones."""
    import av
    from av.container import Flags

    with av.open(file, "w", format=coding.container) as goal:
        # Without random numbers in it: the same film gives the same bytes.
        any_goal: Any = goal
        any_goal.flags |= Flags.bitexact.value
        streams = _streams(source, goal, film, coding, plan, later=bool(cut[0]))
        video = streams[film.index]
        _describe(source, goal, cut)
        with usual_scheduling():
            goal.start_encoding()
        _check_extradata(spool, video)
        packets = _video_packets(spool, film, cut)
        others = _other_packets(source, film, plan, cut)
        latest: dict[int, Fraction] = {}
        moved = 0
        for index, packet in _by_time(packets, others):
            packet.stream = video if index is None else streams[index]
            if index is not None and not is_cover(source.streams[index]):
                moved += _moved(packet, latest.get(index))
                latest[index] = packet.dts * packet.time_base
            goal.mux(packet)
    return moved


def _moved(packet: Any, latest: Fraction | None) -> bool:  # noqa: ANN401
    """Whether a packet was before the one before it, as in damaged films: now it is not."""
    least = packet.dts if latest is None else -(-latest // packet.time_base)
    late = least > packet.dts
    packet.dts = max(packet.dts, int(least))
    if packet.pts is not None:
        packet.pts = max(packet.pts, packet.dts)
    return bool(late)


def _shown(file: IO[bytes], coding: Coding) -> list[str]:
    """Tell Matroska the shape of the px, and what is not of the picture."""
    crop = (coding.pad_right, coding.pad_bottom)
    shape = coding.shape or Fraction(1)
    if coding.container not in CROPPING or (shape == 1 and crop == (0, 0)):
        return []
    size = (coding.width, coding.height)
    shown = display_size(size[0] - crop[0], size[1] - crop[1], shape)
    if describe(file, size, shown, crop):
        return []
    return [f"the container has no room for the shape of px: {shape}; cut off {crop}"]


def _streams(
    source: InputContainer,
    goal: OutputContainer,
    film: Film,
    coding: Coding,
    plan: StreamPlan,
    *,
    later: bool,
) -> dict[int, Any]:
    """The streams of the goal, by the index of the input's, in its order."""
    kept = {one.index: one for one in plan.kept}
    made: dict[int, Any] = {}
    for stream in source.streams:
        if stream.index == film.index:
            new: Any = goal.add_stream(CODECS[coding.codec].encoder, rate=coding.rate)
            configure(new.codec_context, coding)
            new.time_base = coding.time_base
            if film.matrix is not None:
                new.set_display_matrix(list(film.matrix))
        elif stream.index not in kept:
            continue
        elif stream.type == "attachment":
            any_stream: Any = stream
            goal.add_attachment(
                any_stream.name or stream.metadata.get("filename", "attachment"),
                any_stream.mimetype or stream.metadata.get("mimetype", "application/octet-stream"),
                any_stream.data,
            )
            continue
        elif (attached := kept[stream.index].attached) is not None:
            goal.add_attachment(*attached, cover_data(film.path, stream.index))
            continue
        else:
            new = _copied(goal, stream, kept[stream.index])
        for name, value in tags(stream.metadata, later=later).items():
            new.metadata[name] = value
        new.disposition = stream.disposition
        made[stream.index] = new
    return made


def _copied(goal: OutputContainer, stream: Stream, kept: Kept) -> Stream:
    if kept.codec == "copy":
        return goal.add_stream_from_template(stream)
    return goal.add_mux_stream(kept.codec, time_base=Fraction(1, 1000))


def _describe(source: InputContainer, goal: OutputContainer, cut: Cut) -> None:
    goal.metadata.update(tags(source.metadata, later=bool(cut[0])))
    chapters = []
    for one in source.chapters():
        base = one["time_base"] or Fraction(1)
        first, last = one["start"] * base, one["end"] * base
        begin, end = max(first, cut[0] or first), min(last, cut[1] or last)
        if begin < end:
            shift = cut[0] or Fraction(0)
            times = {"start": round((begin - shift) / base), "end": round((end - shift) / base)}
            chapters.append({**one, **times})
    if chapters:
        goal.set_chapters(chapters)  # type: ignore[arg-type]


def _check_extradata(spool: Spool, video: Any) -> None:  # noqa: ANN401
    held = {bytes.fromhex(segment.extradata) for segment in spool.done}
    made = bytes(video.codec_context.extradata or b"")
    if held not in ({b""}, {made}):
        raise OutputError(
            f"{spool.goal}: it was begun with another encoder: redo=True does it all again"
        )


def _video_packets(spool: Spool, film: Film, cut: Cut) -> Iterator[Timed]:
    """The pictures' packets: each decoded before it is shown, in order, with its duration."""
    from av import Packet

    frames = [frame for segment in spool.done for frame in segment.frames]
    order = [pts for pts, _ in frames]
    following = dict(pairwise(order))
    usual = max(1, round(1 / (film.rate * film.time_base)))
    step = order[1] - order[0] if len(order) > 1 else usual
    last = frames[-1][1] or (order[-1] - order[-2] if len(order) > 1 else usual)
    if cut == (None, None) and film.end is not None and film.end > order[-1] * film.time_base:
        # What a decoder calls the duration of a picture is, in MP4, that of another one.
        last = max(1, round(film.end / film.time_base) - order[-1])
    places = {pts: i for i, pts in enumerate(order)}
    index = [packet for segment in spool.done for packet in segment.packets]
    delay = max(n - places[pts] for n, (pts, _, _) in enumerate(index))
    shift = round((cut[0] or 0) / film.time_base)
    for n, ((pts, _, key), data) in enumerate(zip(index, spool.data(), strict=True)):
        packet: Packet[Any] = Packet(data)
        packet.pts = pts - shift
        dts = order[n - delay] if n >= delay else order[0] - (delay - n) * step
        packet.dts = dts - shift
        packet.duration = following[pts] - pts if pts in following else last
        packet.time_base = film.time_base
        packet.is_keyframe = key
        yield float(packet.dts * film.time_base), packet


def _other_packets(
    source: InputContainer, film: Film, plan: StreamPlan, cut: Cut
) -> Iterator[tuple[float, int, Any]]:
    """The packets of the other streams, as they come."""
    kept = {one.index: one for one in plan.kept if one.attached is None}
    streams = [s for s in source.streams if s.index in kept and s.type != "attachment"]
    if not streams:
        return
    if cut[0] and not film.clocked:
        source.seek(int(cut[0] * 1_000_000))
    for packet in _with_dts(_demuxed(source, streams)):
        index = packet.stream_index
        cover = is_cover(packet.stream)
        if packet.dts is None:
            if packet.pts is None and not cover:
                continue
            packet.dts = packet.pts = packet.pts or 0
        _count_from(film.begin, packet)
        fitted = packet if cover else _fitted(packet, kept[index], cut)
        if fitted is not None:
            yield float((fitted.dts or 0) * fitted.time_base), index, fitted


def _demuxed(source: InputContainer, streams: list[Any]) -> Iterator[Any]:
    import av

    try:
        for packet in source.demux(*streams):
            if packet.size or packet.pts is not None:  # else it is the end of a stream
                yield packet
    except (av.error.FFmpegError, IndexError):  # see `Pictures`, which tells of it
        return


def _with_dts(packets: Iterator[Any]) -> Iterator[Any]:
    """Packets with times of decoding, which Matroska does not tell of a video's first ones."""
    held: dict[int, list[Any]] = {}
    for packet in packets:
        first = held.setdefault(packet.stream_index, [])
        if packet.dts is None and packet.pts is not None and packet.stream.type == "video":
            first.append(packet)
            continue
        for i, one in enumerate(first):
            one.dts = packet.dts - (len(first) - i) * (packet.duration or 1)
            yield one
        first.clear()
        yield packet
    for first in held.values():
        yield from first


def _count_from(begin: Fraction, packet: Any) -> None:  # noqa: ANN401
    shift = round(begin / packet.time_base)
    packet.dts -= shift
    if packet.pts is not None:
        packet.pts -= shift


def _fitted(
    packet: Any,  # noqa: ANN401
    kept: Kept,
    cut: Cut,
) -> Any:  # noqa: ANN401
    """A packet within the cut, converted where it must be; None if nothing is left."""
    from av import Packet

    time = (packet.dts if packet.pts is None else packet.pts) * packet.time_base
    start, end = cut
    data = b""
    if (start is not None and time < start) or (end is not None and time >= end):
        return None
    if kept.convert is not None:
        data = kept.convert(bytes(packet))
        if not data:
            return None
    if kept.codec != "copy":
        new: Packet[Any] = Packet(data)
        new.pts, new.dts, new.duration = packet.pts, packet.dts, packet.duration
        new.time_base, new.is_keyframe = packet.time_base, True
        packet = new
    if start:
        shift = round(start / packet.time_base)
        packet.pts = None if packet.pts is None else packet.pts - shift
        packet.dts -= shift
    return packet


def _by_time(
    video: Iterator[Timed], others: Iterator[tuple[float, int, Any]]
) -> Iterator[tuple[int | None, Any]]:
    """Both, in the order of time; None is the pictures' stream."""
    picture, other = next(video, None), next(others, None)
    while picture is not None or other is not None:
        if other is None or (picture is not None and picture[0] <= other[0]):
            assert picture is not None  # one of them is there
            yield None, picture[1]
            picture = next(video, None)
        else:
            yield other[1], other[2]
            other = next(others, None)
