"""Processes forked while networks and pictures are open: it works, or is refused in words."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys

import numpy as np
import pytest
import pyvips

from networks import small_network

CODE = """
import os, sys, gc
import numpy as np, vdsr
from vdsr.inference.upscaler import Upscaler
backend, what = sys.argv[1:]
array = np.random.default_rng(0).integers(0, 255, (90, 70, 3), dtype=np.uint8)
upscaler = Upscaler("small.onnx", backend=backend)
expected = upscaler.upscale(array, scale=2)
if what == "file":
    vdsr.upscale("in.png", "out.png", model="small.onnx", scale=2)
child = os.fork()
if child == 0:
    code = 1
    try:
        if what == "file":
            vdsr.upscale("in.png", "again.png", model="small.onnx", scale=2)
        elif what == "new":
            upscaler = Upscaler("small.onnx", backend=backend)
        elif what == "closed":
            upscaler.close()
        if what in ("same", "new"):
            assert np.array_equal(upscaler.upscale(array, scale=2), expected)
            assert [one.error for one in upscaler.map([array] * 3, scale=2)] == [None] * 3
        del upscaler
        gc.collect()
        code = 0
    except vdsr.VdsrError as error:
        print(error, flush=True)
        code = 2
    os._exit(code)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="this system has no forks"
)
@pytest.mark.parametrize(
    ("backend", "what", "code"),
    [
        ("openvino", "same", 2),
        ("openvino", "new", 2),
        ("openvino", "closed", 0),
        ("openvino", "file", 2),
        ("onnxruntime", "same", 0),
        ("torch", "same", 2),
        ("torch", "closed", 0),
    ],
)
def test_a_fork_after_opening(tmp_path, backend, what, code):
    (tmp_path / "small.onnx").write_bytes(small_network().data)
    pyvips.Image.new_from_array(np.full((20, 30, 3), 99, np.uint8)).write_to_file(
        tmp_path / "in.png"
    )
    done = subprocess.run(
        [sys.executable, "-c", CODE, backend, what],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    *said, ended = done.stdout.splitlines()
    assert ended == str(code), done.stdout
    assert bool(said) == (code == 2)
    assert all("was used before this process was forked" in line for line in said)
