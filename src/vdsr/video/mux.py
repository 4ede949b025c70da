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
from vdsr.video.streams import Kept, StreamPlan, tags

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
            _write(file, source, film, coding, spool, plan, cut)
        except (av.error.FFmpegError, ValueError) as error:
            if isinstance(error, VdsrError):
                raise
            raise OutputError(f"{spool.goal}: {coding.container} refuses it: {error}") from error
    return _shown(file, coding)


def _write(
    file: IO[bytes],
    source: InputContainer,
    film: Film,
    coding: Coding,
    spool: Spool,
    plan: StreamPlan,
    cut: Cut,
) -> None:
    import av
    from av.container import Flags

    with av.open(file, "w", format=coding.container) as goal:
        # Without random numbers in it: the same film gives the same bytes.
        any_goal: Any = goal
        any_goal.flags |= Flags.bitexact.value
        streams = _streams(source, goal, film, coding, plan)
        video = streams[film.index]
        _describe(source, goal, cut)
        with usual_scheduling():
            goal.start_encoding()
        _check_extradata(spool, video)
        packets = _video_packets(spool, film, cut)
        others = _other_packets(source, film, plan, cut)
        for index, packet in _by_time(packets, others):
            packet.stream = video if index is None else streams[index]
            goal.mux(packet)


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
    source: InputContainer, goal: OutputContainer, film: Film, coding: Coding, plan: StreamPlan
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
        else:
            new = _copied(goal, stream, kept[stream.index])
        for name, value in tags(stream.metadata).items():
            new.metadata[name] = value
        new.disposition = stream.disposition
        made[stream.index] = new
    return made


def _copied(goal: OutputContainer, stream: Stream, kept: Kept) -> Stream:
    if kept.codec == "copy":
        return goal.add_stream_from_template(stream)
    return goal.add_mux_stream(kept.codec, time_base=Fraction(1, 1000))


def _describe(source: InputContainer, goal: OutputContainer, cut: Cut) -> None:
    goal.metadata.update(tags(source.metadata))
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
            f"{spool.goal}: it was begun with another encoder: redo=True does all anew"
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
    import av

    kept = {one.index: one for one in plan.kept}
    streams = [s for s in source.streams if s.index in kept and s.type != "attachment"]
    if not streams:
        return
    if cut[0] and not film.clocked:
        source.seek(int(cut[0] * 1_000_000))
    packets = source.demux(*streams)
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError:  # said of the pictures already
            return
        if packet is None:
            return
        if packet.size == 0 and packet.pts is None:  # the end of a stream
            continue
        index = packet.stream_index
        cover = packet.stream.type == "video"
        if packet.dts is None:
            if packet.pts is None and not cover:
                continue
            packet.dts = packet.pts = packet.pts or 0
        _count_from(film.begin, packet)
        fitted = packet if cover else _fitted(packet, kept[index], cut)
        if fitted is not None:
            yield float((fitted.dts or 0) * fitted.time_base), index, fitted


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
