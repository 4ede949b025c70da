"""`vdsr video`, as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from films import FILMS, make_film
from networks import zero_network

pytest.importorskip("av", reason="needs PyAV: pip install 'vdsr[video]'")


def test_a_film_and_what_is_refused(vdsr, tmp_path: Path):
    network = tmp_path / "net.onnx"
    network.write_bytes(zero_network().data)
    film, goal = make_film(tmp_path / "in.mkv", FILMS["chapters.mkv"]), tmp_path / "out.mkv"
    common = ("-s", "2", "--model", network)
    code, out, err = vdsr("video", film, goal, *common, "--json", "-")
    result = json.loads(out)
    assert (code, err) == (0, "")
    assert (result["frames"], result["width"], result["codec"]) == (17, 192, "h264")
    assert vdsr("video", film, goal, *common)[0] == 1  # it exists already
    code, _, err = vdsr("video", film, tmp_path / "out.mp4", *common)
    assert code == 2
    assert "drop attachments" in err
    assert vdsr("video", film, goal, "--start", "later")[0] == 2
    woven = make_film(tmp_path / "woven.mkv", FILMS["interlaced.mkv"])
    code, _, err = vdsr("video", woven, tmp_path / "whole.mkv", *common)
    assert code == 1
    assert "--deinterlace makes whole pictures" in err
    code, out, _ = vdsr("video", woven, tmp_path / "whole.mkv", *common, "--deinterlace")
    assert (code, "12 frames, 192x128 px" in out) == (0, True)
    assert vdsr("video", film, goal, *common, "--preview", "0.2")[0] == 0
    assert (tmp_path / "out.preview.mkv").is_file()
