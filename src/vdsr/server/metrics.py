"""What operators see: counters and histograms for Prometheus."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from vdsr.server.settings import SMALL_PIXELS
from vdsr.server.store import Kept

_SECONDS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300, 900, 3600)
# How much the latest tile counts in the mean speed.
_WEIGHT = 0.05


class Metrics:
    """The metrics of one server.

    Attributes:
        pixels_per_second: of the network, a running mean over its tiles.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "vdsr_requests",
            "Answers, by what was asked for and status",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._pictures = Counter(
            "vdsr_pictures", "Pictures that are done or failed", ("state",), registry=self.registry
        )
        self._pixels = Counter("vdsr_pixels", "Pixels of finished results", registry=self.registry)
        self._seconds = Histogram(
            "vdsr_picture_seconds",
            "From the end of the upload to the result",
            ("size",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.pixels_per_second = 0.0
        self._lock = threading.Lock()

    def tile(self, pixels: int, seconds: float) -> None:
        """A tile was run."""
        speed = pixels / max(seconds, 1e-6)
        with self._lock:
            before = self.pixels_per_second or speed
            self.pixels_per_second = before + _WEIGHT * (speed - before)

    def picture(self, kept: Kept, seconds: float) -> None:
        """A picture is finished."""
        self._pictures.labels(kept.state).inc()
        if kept.state == "done":
            self._pixels.inc(kept.pixels)
            size = "small" if kept.pixels <= SMALL_PIXELS else "large"
            self._seconds.labels(size).observe(seconds)

    def watch(self, gauges: Callable[[], dict[str, tuple[str, float]]]) -> None:
        """Show values that are asked for when somebody looks: name, meaning, value."""
        self.registry.register(_Gauges(gauges))

    def text(self) -> bytes:
        """All of them, in Prometheus' text format."""
        return generate_latest(self.registry)


class _Gauges(Collector):
    def __init__(self, gauges: Callable[[], dict[str, tuple[str, float]]]) -> None:
        self._gauges = gauges

    def collect(self) -> Iterable[Metric]:
        for name, (meaning, value) in self._gauges().items():
            yield GaugeMetricFamily(name, meaning, value=value)
