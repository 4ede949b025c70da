"""The container of `vdsr serve`, where there is a tool for containers and a base image."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

httpx = pytest.importorskip("httpx", reason="needs 'vdsr[client]'")

import serving  # noqa: E402

ROOT = Path(__file__).parents[2]
TOOL = shutil.which("podman") or shutil.which("docker")
ANALYZE = shutil.which("systemd-analyze")
IMAGE = "vdsr-test"
TOKEN = "a-token-of-the-test"


def test_the_files_say_what_they_promise():
    text = (ROOT / "deploy/Containerfile").read_text("utf-8")
    assert "USER 10001" in text
    assert "torch" not in text.replace("no torch", "")
    unit = (ROOT / "deploy/vdsr-serve.service").read_text("utf-8")
    for line in ("DynamicUser=yes", "ProtectSystem=strict", "NoNewPrivileges=yes"):
        assert line in unit


@pytest.mark.skipif(ANALYZE is None, reason="needs systemd-analyze")
def test_systemd_knows_every_line_of_the_unit(tmp_path):
    assert ANALYZE is not None
    unit = tmp_path / "vdsr-serve.service"
    text = (ROOT / "deploy/vdsr-serve.service").read_text("utf-8")
    unit.write_text(text.replace("/opt/vdsr/bin/vdsr", sys.executable))
    run = subprocess.run([ANALYZE, "verify", unit], capture_output=True, text=True, check=False)
    said = [line for line in run.stderr.splitlines() if unit.name in line]
    assert (run.returncode, said) == (0, [])


@pytest.mark.slow
@pytest.mark.skipif(TOOL is None, reason="needs podman or docker")
def test_the_container_serves(tmp_path):
    assert TOOL is not None
    base = subprocess.run([TOOL, "pull", "python:3.12-slim"], capture_output=True, check=False)
    if base.returncode != 0:
        pytest.skip("needs the base image python:3.12-slim, which cannot be had here")
    build = [TOOL, "build", "-q", "-f", str(ROOT / "deploy/Containerfile"), "-t", IMAGE, str(ROOT)]
    subprocess.run(build, check=True)
    tokens = tmp_path / "tokens"
    tokens.write_text(f"{TOKEN}\n")
    tokens.chmod(0o644)
    port = serving.free_port()
    options = ["--rm", "-d", "--read-only", "--tmpfs", "/tmp", "--tmpfs", "/data:mode=1777"]
    options += ["-v", f"{tokens}:/run/tokens:ro", "-p", f"127.0.0.1:{port}:8000"]
    run = subprocess.run([TOOL, "run", *options, IMAGE], capture_output=True, check=True, text=True)
    name = run.stdout.strip()
    try:
        for _ in range(100):
            try:
                httpx.get(f"http://127.0.0.1:{port}/readyz").raise_for_status()
                break
            except httpx.HTTPError:
                time.sleep(0.3)
        answer = httpx.post(
            f"http://127.0.0.1:{port}/v1/upscale?scale=2",
            content=serving.photograph(40, 60),
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=120,
        )
        assert answer.status_code == 200
        who = subprocess.run([TOOL, "exec", name, "id", "-u"], capture_output=True, check=True)
        assert who.stdout.strip() == b"10001"
    finally:
        subprocess.run([TOOL, "stop", "-t", "10", name], check=False, capture_output=True)
