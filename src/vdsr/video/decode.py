"""A film's pictures, one after the other, with what went wrong on the way."""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeVar

from vdsr.errors import InputError
from vdsr.video.source import Film, main_stream, opened
from vdsr.video.webp import is_webp, webp_frames

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

T = TypeVar("T")
# Seconds before what is wanted, in which the pictures are that it is predicted from.
_LEAD = 10
_ENCODERS = {"libx264", "libx265", "libsvtav1", "libvpx-vp9", "ffv1", "prores_ks", "swscaler"}


@dataclass(kw_only=True)
class Damage:
    """What was wrong with a film, as far as the decoder tells.

    Attributes:
        packets: that could not be decoded at all.
        marked: pictures that the decoder calls damaged.
        messages: of the decoder, and how often each came.
        times: pictures whose times were missing or not after those before.
        missing: pictures that the file declares, and that are not there.
    """

    packets: int = 0
    marked: int = 0
    messages: Counter[str] = field(default_factory=Counter)
    times: int = 0
    missing: int = 0

    def told(self) -> list[str]:
        """In words; nothing if nothing was wrong."""
        lines = []
        if self.missing:
            lines.append(f"{self.missing} pictures that the file declares are not there")
        if self.packets:
            lines.append(f"damage: {self.packets} packets could not be decoded")
        if self.marked:
            lines.append(f"damage: {self.marked} pictures were decoded from damaged data")
        if self.messages:
            text, _ = self.messages.most_common(1)[0]
            lines.append(
                f"damage: the decoder complained {self.messages.total()} times, mostly: {text:.100}"
            )
        if self.times:
            lines.append(f"{self.times} pictures had no time, or one that was past: recomputed")
        return lines


@dataclass(kw_only=True)
class Pictures:
    """The pictures of a film in order.

    Attributes:
        film: the film.
        deinterlace: whether interlaced pictures are made whole (bwdif).
        start, end: seconds, of what is wanted; None for all.
        damage: what went wrong so far.
    """

    film: Film
    deinterlace: bool = False
    start: Fraction | None = None
    end: Fraction | None = None
    damage: Damage = field(default_factory=Damage)

    def __iter__(self) -> Iterator[VideoFrame]:
        """The pictures; their times are in the film's time base, and grow.

        Raises:
            InputError: for interlaced pictures that are not to be made whole, and where the
                size changes within the film.
        """
        import av

        if is_webp(self.film.path):
            yield from self._timed(webp_frames(self.film.path))
            return
        level = av.logging.get_level()
        av.logging.set_level(av.logging.ERROR)
        try:
            with av.logging.Capture(local=True) as logs, opened(self.film.path) as container:
                yield from self._timed(self._whole(self._decoded(container, logs)))
        finally:
            av.logging.set_level(level)

    def _decoded(self, container: InputContainer, logs: list[Any]) -> Iterator[VideoFrame]:
        import av

        stream = main_stream(container)
        assert stream is not None  # `examine` found it
        # In this thread alone: what others say of damage cannot be listened to safely, and what
        # they make of it differs from run to run. The network takes most of the time anyway.
        stream.codec_context.thread_count = 1
        if self.start and not self.film.clocked:
            container.seek(int(self.start / self.film.time_base), stream=stream)
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except av.error.FFmpegError as error:
                self.damage.messages[f"the file ends early: {error.strerror}"] += 1
                break
            except IndexError:  # PyAV, at the end, where a stream began late
                break
            if packet is None:
                break
            if self._long_before(packet):
                continue
            try:
                yield from packet.decode()
            except av.error.FFmpegError:
                self.damage.packets += 1
            self._listen(logs)
        try:
            yield from _rest(stream)
        except av.error.FFmpegError:
            self.damage.packets += 1
        self._listen(logs)

    def _long_before(self, packet: Packet[Any]) -> bool:
        """Whether a packet need not be decoded; by `seek` these containers lose key pictures."""
        if not (self.start and self.film.clocked) or packet.dts is None:
            return False
        return packet.dts * packet.time_base - self.film.begin < self.start - _LEAD

    def _listen(self, logs: list[Any]) -> None:
        for _, name, text in logs:
            if name not in _ENCODERS:
                self.damage.messages[f"{name}: {' '.join(text.split())}"] += 1
        logs.clear()

    def _whole(self, frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
        """Pictures that are not interlaced, and of one size."""
        graph: Any = None
        for frame in frames:
            if (frame.width, frame.height) != (self.film.width, self.film.height):
                raise InputError(
                    f"{self.film.path}: its pictures change from {self.film.width}x"
                    f"{self.film.height} to {frame.width}x{frame.height} px: cut it there first"
                )
            self.damage.marked += bool(frame.is_corrupt)
            if not self.deinterlace:
                if frame.interlaced_frame:
                    raise InputError(interlaced(self.film))
                yield frame
                continue
            graph = graph or _bwdif(self.film, frame)
            graph.push(frame)
            yield from _pulled(graph)
        if graph is not None:
            graph.push(None)
            yield from _pulled(graph)

    def _timed(self, frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
        base, begin = self.film.time_base, self.film.begin
        step = max(1, round(1 / (self.film.rate * base)))
        last: int | None = None
        for frame in frames:
            if frame.pts is None or frame.time_base is None:
                pts = 0 if last is None else last + step
                self.damage.times += 1
            else:
                pts = round((frame.pts * frame.time_base - begin) / base)
                if last is not None and pts <= last:
                    pts = last + 1
                    self.damage.times += 1
            if frame.duration and frame.time_base:
                frame.duration = round(frame.duration * frame.time_base / base)
            frame.pts, frame.time_base, last = pts, base, pts
            if self.start is not None and pts * base < self.start:
                self.damage = Damage()  # before what is wanted
                continue
            if self.end is not None and pts * base >= self.end:
                return
            yield frame


def interlaced(film: Film) -> str:
    """What is said of an interlaced film that is not to be deinterlaced."""
    return (
        f"{film.path}: it is interlaced (its pictures are flagged so): deinterlace=True makes"
        " whole pictures of it first"
    )


def _rest(stream: VideoStream) -> list[VideoFrame]:
    # The demuxer's last packet, an empty one, has flushed the decoder as a rule.
    try:
        return stream.decode(None)
    except EOFError:
        return []


def _bwdif(film: Film, frame: VideoFrame) -> Any:  # noqa: ANN401
    """A filter graph that makes interlaced pictures whole, and leaves the others alone."""
    import av

    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=film.time_base
    )
    bwdif = graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced")
    sink = graph.add("buffersink")
    source.link_to(bwdif)
    bwdif.link_to(sink)
    graph.configure()
    return graph


def _pulled(graph: Any) -> Iterator[VideoFrame]:  # noqa: ANN401
    import av

    while True:
        try:
            yield graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return


def ahead(source: Iterable[T], most: int) -> Generator[T, None, None]:
    """The same items, up to `most` of them made ahead in a thread of its own.

    Closing it waits for the item in progress. An error of the source comes in its place.
    """
    held: queue.Queue[tuple[bool, Any]] = queue.Queue(most)
    ended = threading.Event()

    def offer(item: tuple[bool, Any]) -> bool:
        while not ended.is_set():
            try:
                held.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def run() -> None:
        items = iter(source)
        try:
            for item in items:
                if not offer((True, item)):
                    return
        except BaseException as error:  # handed on, whatever it is
            offer((False, error))
        else:
            offer((False, None))
        finally:
            if isinstance(items, Generator):
                items.close()

    thread = threading.Thread(target=run, name="vdsr-film", daemon=True)
    thread.start()
    try:
        while True:
            good, item = held.get()
            if good:
                yield item
            elif item is not None:
                raise item
            else:
                return
    finally:
        ended.set()
        thread.join()
