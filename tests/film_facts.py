"""What a film holds, as PyAV sees it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vdsr import Upscaler
from vdsr.video.film import FilmResult
from vdsr.video.source import examine

av = pytest.importorskip("av", reason="needs PyAV: pip install 'vdsr[video]'")

TAGS = ("color_range", "colorspace", "color_primaries", "color_trc")


def run(upscaler: Upscaler, film: Path, goal: Path, **options: Any) -> FilmResult:
    result = upscaler.video(film, goal, **{"scale": 2, **options})
    assert isinstance(result, FilmResult)
    return result


def facts(path: Path) -> dict[str, Any]:
    """What PyAV sees of a film, in seconds."""
    with av.open(path) as file:
        video: Any = file.streams.video[0]
        frames = list(file.decode(video))
        first = frames[0]
        side = {s.type.name: bytes(s) for s in first.side_data}
        found = {
            "size": (first.width, first.height),
            "pixels": first.format.name,
            "times": [f.pts * f.time_base for f in frames],
            "tags": tuple(int(getattr(first, tag)) for tag in TAGS),
            "shape": video.sample_aspect_ratio or Fraction(1),
            "rotation": first.rotation,
            "matrix": side.get("DISPLAYMATRIX"),
            "mastering": side.get("MASTERING_DISPLAY_METADATA"),
            "light": side.get("CONTENT_LIGHT_LEVEL"),
            "streams": [
                (s.type, s.metadata.get("language"), int(s.disposition)) for s in file.streams
            ],
            "codecs": [
                s.codec_context.name for s in file.streams if s.type in ("audio", "subtitle")
            ],
            "chapters": [
                (c["start"] * c["time_base"], c["end"] * c["time_base"], c["metadata"])
                for c in file.chapters()
            ],
            "attachments": [(s.name, s.data) for s in file.streams if s.type == "attachment"],
            "title": file.metadata.get("title"),
            "end": examine(path).end,
        }
    with av.open(path) as file:
        packets: dict[str, list[tuple[Fraction, bytes]]] = {"audio": [], "subtitle": []}
        for packet in file.demux():
            if packet.stream.type in packets and packet.pts is not None and packet.size:
                entry = (packet.pts * packet.time_base, bytes(packet))
                packets[packet.stream.type].append(entry)
    return {**found, **packets}


def luma(path: Path) -> list[np.ndarray]:
    """Luma of every picture, as it is stored."""
    found = []
    with av.open(path) as file:
        for frame in file.decode(video=0):
            plane = frame.planes[0]
            item = np.dtype("<u2" if "10" in frame.format.name else np.uint8)
            rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height]
            found.append(rows[:, : plane.width * item.itemsize].view(item).copy())
    return found
