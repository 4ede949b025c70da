"""Fixtures that every kind of test uses."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ray_cluster import RayCluster, ray_cluster

# A shell starts what runs in its background with SIGINT ignored, nohup with SIGHUP, and commands
# inherit that: the tests that interrupt them would wait for nothing.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with reference arrays and evaluation images, beside the checkout."""
    named = os.environ.get("VDSR_SHARED")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("needs the reference data: no folder 'shared' beside the checkout")
    return folder


_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a window, by `playwright`; of the system, or named by VDSR_CHROMIUM."""
    named = os.environ.get("VDSR_CHROMIUM")
    found = named or next(filter(None, map(shutil.which, _BROWSERS)), None)
    if found is None:
        pytest.skip("needs a browser: no Chromium here (Debian: apt-get install chromium)")
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright, of the extra 'dev'")
    with api.sync_playwright() as play:
        # Root in a container has no sandbox to put it into.
        options = ["--no-sandbox", "--disable-dev-shm-usage"]
        one = play.chromium.launch(executable_path=found, args=options)
        yield one
        one.close()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    """A Ray cluster of this machine; it takes seconds to start, so that all tests share it."""
    pytest.importorskip("ray", reason="needs Ray, of the extra 'cluster'")
    with ray_cluster(tmp_path_factory.mktemp("ray") / "site") as found:
        yield found
