"""The commands, as they are typed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from vdsr import write_image
from vdsr.cli.console import duration, json_argument
from vdsr.imaging.files import FORMATS, PictureReader, PictureWriter, PixelLayout
from vdsr.model.architecture import Architecture, Layer
from vdsr.model.file import load_model
from vdsr.model.metadata import ModelMetadata
from vdsr.model.onnx_writer import write_model

KEYS = [
    "input",
    "output",
    "width",
    "height",
    "scale",
    "model",
    "precision",
    "backend",
    "seconds",
    "megapixels_per_second",
    "peak_memory_bytes",
    "notices",
]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """An RGB picture of 20x14 px."""
    path = tmp_path / "in.png"
    layout = PixelLayout(width=20, height=14, bands=3, dtype="uint8")
    with PictureWriter(path, layout, FORMATS["png"]) as writer:
        writer.write(np.random.default_rng(0).integers(0, 256, (14, 20, 3), dtype=np.uint8))
    return path


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file of two layers, so that commands answer at once."""
    rng = np.random.default_rng(0)
    shapes = [(4, 1, 3, 3), (1, 4, 3, 3)]
    layers = tuple(Layer(weight=rng.normal(0, 0.05, s).astype(np.float32)) for s in shapes)
    path = tmp_path_factory.mktemp("model") / "small.onnx"
    metadata = ModelMetadata(name="small", version="3", license="test", psnr={"here": 1.25})
    write_model(Architecture(layers=layers, residual=True), metadata, path)
    return path


def size(path: Path) -> tuple[int, int]:
    reader = PictureReader(path)
    return reader.width, reader.height


def test_json_to_stdout_is_one_object_and_nothing_else(vdsr, picture: Path, small_model: Path):
    goal = picture.with_name("out.png")
    code, out, err = vdsr("upscale", "--json", picture, goal, "--model", small_model, "-s", "2")
    result = json.loads(out)
    assert (code, err) == (0, "")
    assert list(result) == KEYS
    assert (result["width"], result["height"], result["scale"]) == (40, 28, 2.0)
    assert (result["model"], result["precision"], result["backend"]) == (
        "small",
        "fp32",
        "openvino",
    )
    assert (result["input"], result["output"]) == (str(picture), str(goal))
    assert result["seconds"] > 0
    assert result["megapixels_per_second"] == pytest.approx(40 * 28 / result["seconds"] / 1e6)
    assert result["peak_memory_bytes"] > 10_000_000


def test_json_to_a_file_leaves_the_summary_on_stdout(vdsr, picture: Path, small_model: Path):
    report = picture.with_name("report.json")
    goal = picture.with_name("out.png")
    code, out, _ = vdsr("upscale", picture, goal, "--model", small_model, "--json", report)
    assert code == 0
    assert out.startswith(f"{goal}: 80x56 px, x4 in ")
    assert list(json.loads(report.read_text("utf-8"))) == KEYS


def test_quiet_prints_nothing(vdsr, picture: Path, small_model: Path):
    assert vdsr("upscale", picture, picture.with_name("o.png"), "-m", small_model, "-q") == (
        0,
        "",
        "",
    )


@pytest.mark.parametrize(
    ("options", "shown"),
    [(["--scale", "2.5"], "53x38 px, x2.5 in"), (["--width", "50"], "50x36 px, x2.4 in")],
)
def test_the_scale_that_is_asked_for_is_the_one_that_is_shown(
    vdsr, tmp_path: Path, small_model: Path, options: list[str], shown: str
):
    source, goal = tmp_path / "odd.png", tmp_path / "out.png"
    write_image(source, np.full((15, 21, 3), 90, np.uint8))
    code, out, _ = vdsr("upscale", source, goal, "-m", small_model, *options)
    assert (code, shown in out) == (0, True), out


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], (80, 56)),
        (["--scale", "2.5"], (50, 35)),
        (["--scale", "16"], (320, 224)),
        (["--width", "50"], (50, 35)),
        (["--height", "28"], (40, 28)),
        (["--width", "40", "--height", "14"], (40, 14)),
        (["--fit", "100x30"], (43, 30)),
        (["--restore"], (20, 14)),
    ],
)
def test_sizes(vdsr, picture: Path, small_model: Path, options: list[str], expected):
    goal = picture.with_name("out.tif")
    assert vdsr("upscale", picture, goal, "-m", small_model, *options)[0] == 0
    assert size(goal) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--scale", "1"], "scale 1 is for --restore only"),
        (["--scale", "0.5"], "a scale is above 1 and at most 16, not 0.5"),
        (["--scale", "17"], "a scale is above 1 and at most 16, not 17"),
        (["--scale", "nan"], "a scale is above 1 and at most 16, not nan"),
        (["--scale", "2", "--width", "50"], "give one of scale, width and height, or fit"),
        (["--width", "10"], "20x14 px would shrink to 10x7: this program enlarges"),
        (["--fit", "20x14"], "20x14 px would stay as it is: --restore keeps the size"),
        (["--fit", "large"], "'large' is not a size: write WIDTHxHEIGHT, as 1920x1080"),
        (["--width", "400"], "20x14 px would grow by 20: 16 at most"),
        (["--restore", "--scale", "2"], "restore keeps the size"),
        (["--tile", "0"], "a tile is at least 1 px, not 0"),
        (["--max-memory", "lots"], "'lots' is not a size: write 512MiB or 2GiB"),
        (["--quality", "90"], "png is lossless: a quality does not apply to it"),
        (["--format", "bmp"], "unknown format 'bmp'"),
        (["--model", "best"], "no model named 'best'"),
        (["--backend", "tensorflow"], "unknown backend 'tensorflow'"),
        (["--precision", "int8", "--backend", "torch"], "torch has no int8 on this machine"),
        (["--precision", "int4"], "unknown precision 'int4'"),
    ],
)
def test_wrong_usage_is_one_line_and_2(vdsr, picture: Path, options: list[str], message: str):
    goal = picture.with_name("out.png")
    code, out, err = vdsr("upscale", picture, goal, *options)
    assert (code, out) == (2, "")
    assert err.startswith("vdsr: error: ")
    assert err.count("\n") == 1
    assert message in err
    assert not goal.exists()


def test_preview_says_where_it_is_and_equals_the_whole(vdsr, tmp_path: Path, small_model: Path):
    source, goal = tmp_path / "in.png", tmp_path / "out.png"
    layout = PixelLayout(width=300, height=200, bands=3, dtype="uint8")
    with PictureWriter(source, layout, FORMATS["png"]) as writer:
        writer.write(np.random.default_rng(1).integers(0, 256, (200, 300, 3), dtype=np.uint8))
    command = ("upscale", source, goal, "-m", small_model, "--scale", "4")
    code, out, _ = vdsr(*command, "--preview")
    preview = tmp_path / "out.preview.png"
    assert code == 0
    assert f"{preview}: the 512x512 px from (344, 144) on" in out
    # It stops there.
    assert not goal.exists()
    code, out, _ = vdsr(*command, "--preview", "--overwrite", "--json")
    place = {"left": 344, "top": 144, "width": 512, "height": 512}
    assert json.loads(out) == {"input": str(source), "output": str(preview), **place}
    code, _, err = vdsr(*command, "--preview")
    assert (code, "exists already: --overwrite" in err) == (1, True)
    assert vdsr(*command)[0] == 0
    whole = np.concatenate(list(PictureReader(goal).strips())).astype(int)
    part = np.concatenate(list(PictureReader(preview).strips())).astype(int)
    assert np.abs(whole[144:656, 344:856] - part).max() <= 1


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["upscale", "IN", "o.png", "-m", "vdrs"], "'vdsr'"),
        (["upscale", "IN", "o.pgn"], "'png'"),
        (["upscale", "IN", "o.png", "--format", "JPGE"], "'jpeg'"),
        (["upscale", "IN", "o.png", "--backend", "openvio"], "'openvino'"),
        (["upscale", "IN", "o.png", "--precision", "int-8"], "'int8'"),
        (["train", "smoek", "-o", "m.onnx"], "'smoke'"),
        (["export", "vdsr", "-f", "tensort", "-o", "m"], "'tensorrt'"),
        (["evaluate", "-d", "set5", "-p", "papr"], "'paper'"),
        (["evaluate", "-d", "set5", "--metrics", "consitency"], "'consistency'"),
        (["quantize", "-c", "x", "-o", "m.onnx", "--target", "vni"], "'vnni'"),
        (["data", "fetch", "set-5"], "'set5'"),
    ],
)
def test_did_you_mean(vdsr, picture: Path, monkeypatch, arguments, hint: str):
    monkeypatch.chdir(picture.parent)
    code, _, err = vdsr(*(picture if one == "IN" else one for one in arguments))
    assert (code, f"did you mean {hint}?" in err) == (2, True), err


def test_a_json_file_is_replaced_with_overwrite_only(vdsr, picture: Path, small_model: Path):
    report, goal = picture.with_name("r.json"), picture.with_name("out.png")
    report.write_text("mine")
    command = ("upscale", picture, goal, "-m", small_model, "--json", report)
    code, out, err = vdsr(*command)
    assert (code, out, "r.json: it exists already: --overwrite" in err) == (1, "", True)
    assert (report.read_text(), goal.exists()) == ("mine", False)
    assert vdsr(*command, "--overwrite")[0] == 0
    assert json.loads(report.read_text("utf-8"))["notices"] == []
    for name in (["doctor"], ["info", small_model]):
        assert vdsr(*name, "--json", report)[0] == 1
        assert vdsr(*name, "--json", report, "--overwrite", "-q") == (0, "", "")


def test_notices_are_in_the_json(vdsr, picture: Path, small_model: Path):
    residual = picture.with_name("r.png")
    goal = picture.with_name("out.png")
    options = ("-m", small_model, "--residual", residual, "--json")
    code, out, err = vdsr("upscale", picture, goal, *options)
    (notice,) = json.loads(out)["notices"]
    assert (code, f"note: {notice}" in err) == (0, True)
    assert notice.startswith(f"{residual}: what was added: 128 + 4 x")


def commands() -> list[list[str]]:
    names = [
        "upscale",
        "status",
        "info",
        "import",
        "export",
        "evaluate",
        "vacc",
        "train",
        "quantize",
    ]
    return [[name] for name in (*names, "benchmark", "doctor")] + [
        ["data", "fetch"],
        ["data", "pack"],
    ]


@pytest.mark.parametrize("name", commands(), ids=" ".join)
def test_help_has_an_example_that_can_be_typed(vdsr, monkeypatch, name: list[str]):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERMINAL_WIDTH", "200")
    code, out, _ = vdsr(*name, "--help")
    assert code == 0
    assert not re.search(r"<\w+>|Usage:.*\{", out), out
    example = re.search(r"Example: vdsr ([^\n│]*)", out)
    assert example is not None
    assert example[1].split()[: len(name)] == name
    options = set(re.findall(r"(?<![\w-])(--?[a-z][\w-]*)", example[1]))
    assert options <= set(re.findall(r"(?<![\w-])(--?[a-z][\w-]*)", out.replace(example[0], "")))
    # A default stands once.
    for row in re.split(r"\n│ (?=[*]? *--)", out):
        assert len(re.findall(r"[(\[]default:", row)) <= 1, row


def test_recipes_are_listed_in_the_help(vdsr, monkeypatch):
    from vdsr.training.recipe_file import recipe_names

    monkeypatch.setenv("COLUMNS", "300")
    out = vdsr("train", "--help")[1]
    assert all(re.search(rf"\b{name}\b", out) for name in recipe_names())


def test_info_prints_the_published_counts(vdsr):
    code, out, _ = vdsr("info", "vdsr", "--size", "256x256")
    assert code == 0
    for text in ("43.562 GMAC", "87.124 GFLOP", "96.805 G", "41 px (20 to every side)", "665,921"):
        assert text in out
    code, out, _ = vdsr("info", "--json")
    content = json.loads(out)
    assert (code, content["layers"], content["receptive_field"]) == (0, 20, 41)
    assert content["sha256"] == load_model().digest


def test_import_carries_what_was_said_of_the_model(vdsr, tmp_path: Path):
    safetensors = pytest.importorskip("safetensors.numpy")
    rng = np.random.default_rng(0)
    shapes = {"a.0": (4, 1, 3, 3), "a.1": (4, 4, 3, 3), "a.2": (1, 4, 3, 3)}
    tensors = {f"{k}.weight": rng.random(s, dtype=np.float32) for k, s in shapes.items()}
    checkpoint, output = tmp_path / "net.safetensors", tmp_path / "net.onnx"
    safetensors.save_file(tensors, checkpoint)
    options = ["--name", "mine", "--version", "2", "--luma", "full", "--residual"]
    options += ["--license", "CC0-1.0", "--training-data", "mine", "--scales", "2,4"]
    code, out, _ = vdsr("import", checkpoint, "-o", output, *options, "--psnr", "Set5 x2=30.5")
    assert code == 0
    assert out.startswith(f"{output}: 3 layers, 216 parameters")
    card = load_model(output).metadata
    assert (card.name, card.version, card.luma, card.license) == ("mine", "2", "full", "CC0-1.0")
    assert (card.scales, dict(card.psnr)) == ((2, 4), {"Set5 x2": 30.5})
    code, _, err = vdsr("import", checkpoint, "-o", output)
    assert (code, "exists already" in err) == (1, True)
    code, _, err = vdsr("import", checkpoint, "-o", tmp_path / "net.pt")
    assert (code, "ends in .onnx" in err) == (2, True)


def test_doctor_runs_every_backend(vdsr):
    code, out, _ = vdsr("doctor", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["backends"]["openvino"]["works"] is True
    assert found["would_use"]["model"].startswith(("vdsr-fast ", "vdsr-fast-int8 "))
    assert "vdsr" in found["models"]
    assert "would use" in vdsr("doctor")[1]


def test_version(vdsr):
    from vdsr import __version__

    assert vdsr("--version") == (0, f"vdsr {__version__}\n", "")


def test_a_bare_json_option_takes_only_json_files():
    assert json_argument(["--json", "a.png", "b.png"]) == ["--json", "-", "a.png", "b.png"]
    assert json_argument(["a", "--json", "r.json"]) == ["a", "--json", "r.json"]
    assert json_argument(["a", "--json"]) == ["a", "--json", "-"]
    assert json_argument(["--json=x", "a"]) == ["--json=x", "a"]
    assert json_argument(["--", "--json"]) == ["--", "--json"]


def test_durations():
    assert [duration(s) for s in (0.04, 9.94, 12, 200, 18720)] == [
        "0.0 s",
        "9.9 s",
        "12 s",
        "3 min 20 s",
        "5 h 12 min",
    ]


def test_help_loads_nothing_heavy():
    heavy = "{'numpy', 'pyvips', 'openvino', 'torch', 'onnx', 'onnxruntime'}"
    code = (
        "import sys\nfrom vdsr.cli import main\nsys.argv = ['vdsr', '--help']\n"
        "try:\n    main.main()\nexcept SystemExit:\n    pass\n"
        f"sys.exit(repr(loaded) if (loaded := {heavy} & set(sys.modules)) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "upscale" in done.stdout


@pytest.mark.parametrize(
    ("package", "arguments", "extra"),
    [
        ("torch", ["train", "smoke", "--data", "PICTURES", "-o", "m.onnx"], "train"),
        ("pytorch_lightning", ["train", "smoke", "--data", "PICTURES", "-o", "m.onnx"], "train"),
        ("PIL", ["data", "pack", "PICTURES", "-o", "p.pack"], "train"),
        ("safetensors", ["import", "CHECKPOINT", "-o", "m.onnx"], "models"),
        ("onnx", ["import", "CHECKPOINT", "-o", "m.onnx"], "models"),
        ("cv2", ["evaluate", "-d", "PICTURES", "-s", "4", "-p", "fixed256"], "evaluate"),
    ],
)
def test_a_missing_extra_is_one_line(tmp_path: Path, package: str, arguments, extra: str):
    pictures, checkpoint = tmp_path / "pictures", tmp_path / "net.safetensors"
    pictures.mkdir()
    layout = PixelLayout(width=80, height=80, bands=3, dtype="uint8")
    for i in range(3):
        with PictureWriter(pictures / f"{i}.png", layout, FORMATS["png"]) as writer:
            writer.write(np.random.default_rng(i).integers(0, 256, (80, 80, 3), dtype=np.uint8))
    save_file = pytest.importorskip("safetensors.numpy").save_file
    save_file({"a.weight": np.ones((1, 1, 3, 3), np.float32)}, checkpoint)
    places = {"PICTURES": str(pictures), "CHECKPOINT": str(checkpoint)}
    typed = [places.get(argument, argument) for argument in arguments]
    code = (
        f"import sys\nsys.modules[{package!r}] = None\nfrom vdsr.cli import main\n"
        f"sys.argv = {['vdsr', *typed]!r}\nmain.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 2, done.stderr
    assert f"pip install 'vdsr[{extra}]'" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_bar_is_drawn_on_a_terminal_only(picture: Path, small_model: Path):
    pty = pytest.importorskip("pty")
    import os

    command = [sys.executable, "-m", "vdsr", "upscale", str(picture)]
    command += [str(picture.with_name("o.png")), "--model", str(small_model)]
    primary, secondary = pty.openpty()
    done = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=secondary)
    os.close(secondary)
    shown = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            chunk = os.read(primary, 65536)
        except OSError:
            break
        if not chunk:
            break
        shown += chunk
    os.close(primary)
    assert done.wait(60) == 0
    assert b"in.png" in shown
    assert b"100%" in shown
    plain = subprocess.run([*command, "--overwrite"], capture_output=True, check=True)
    assert plain.stderr == b""
