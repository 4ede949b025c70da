"""What a job really takes, measured on a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import pyvips

from networks import model, random_layers
from vdsr.inference.memory import MIB

CAP = 64 * MIB
# Pages that the allocators of Python, OpenVINO and libvips keep, and thread stacks.
SLACK = 12 * MIB

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="reads resident sizes from /proc"
)

MEASURED = """
import json, re, sys
from pathlib import Path
import numpy as np
from vdsr import Upscaler
from vdsr.inference import memory

def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

folder, cap, backend = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
planned = set()
with Upscaler(folder / "m.onnx", backend=backend, max_memory=cap) as upscaler:
    upscaler.upscale(folder / "tiny.png", folder / "tiny_large.png", scale=4)
    idle = resident()
    upscaler.upscale(
        folder / "in.png", folder / "out.png", scale=4,
        progress=lambda now: planned.add(now.memory),
    )
    print(json.dumps([idle, memory.peak_resident(), *planned]))
"""


def write_picture(path: Path, side: int, bands: int) -> None:
    rows, columns = np.mgrid[:side, :side]
    plane = (rows + columns * 2 + 40 * (rows // 37 % 2)) % 251
    pyvips.Image.new_from_array(
        np.stack([plane, plane[::-1], plane.T, plane % 97 + 150][:bands], -1).astype(np.uint8),
        interpretation="srgb",
    ).write_to_file(path)


@pytest.mark.parametrize(
    ("backend", "side", "bands"),
    [("openvino", 1000, 3), ("openvino", 300, 4), ("onnxruntime", 300, 3), ("torch", 300, 3)],
)
def test_a_job_stays_within_the_memory_it_is_given(backend, side, bands, tmp_path: Path, capsys):
    (tmp_path / "m.onnx").write_bytes(model(random_layers(*[3] * 8, width=8)).data)
    write_picture(tmp_path / "tiny.png", 40, bands)
    write_picture(tmp_path / "in.png", side, bands)
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(tmp_path), str(CAP), backend],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    idle, peak, planned = json.loads(done.stdout)
    with capsys.disabled():
        sys.stdout.write(
            f"\n{backend}, {side}x{side} px, {bands} bands, x4: idle {idle / MIB:.0f} MiB,"
            f" grew by {(peak - idle) / MIB:.0f} MiB, planned {planned / MIB:.0f} MiB\n"
        )
    assert planned <= CAP
    assert peak - idle < CAP + SLACK


WRITTEN = """
import sys
from pathlib import Path
import numpy as np
from vdsr.imaging.files import FORMATS, PictureWriter, PixelLayout
from vdsr.inference import memory

layout = PixelLayout(width=6000, height=6000, bands=3, dtype="uint8")
rows = np.random.default_rng(0).integers(0, 256, (100, 6000, 3), np.uint8)
before = None
with PictureWriter(Path(sys.argv[1]), layout, FORMATS["jpeg"], quality=90) as writer:
    for _ in range(60):
        writer.write(rows)
        before = before or memory.peak_resident()
print(memory.peak_resident() - before)
"""


def test_a_large_jpeg_is_not_held_by_its_encoder(tmp_path: Path):
    """The coefficients of 36 Mpx would be 412 MiB."""
    done = subprocess.run(
        [sys.executable, "-c", WRITTEN, str(tmp_path / "large.jpg")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < 100 * MIB
