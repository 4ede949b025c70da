"""To an accelerator and back: export, stand-in or a make-believe card, evaluation."""

from __future__ import annotations

import importlib.machinery
import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from networks import small_network
from vdsr.errors import BackendError
from vdsr.evaluation.candidates import read_picture, write_picture
from vdsr.imaging.degrade import degrade
from vdsr.imaging.resample import imresize


def waves(seed: int, height: int = 96, width: int = 80) -> np.ndarray:
    """A smooth color picture, another one for every seed."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    planes = [
        np.sin(y / rng.uniform(4, 9) + rng.uniform(0, 6)) * np.cos(x / rng.uniform(4, 9))
        for _ in range(3)
    ]
    return (np.stack(planes, -1) * 90 + 120).clip(0, 255).astype(np.uint8)


@pytest.fixture
def originals(tmp_path: Path) -> Path:
    folder = tmp_path / "Set5"
    folder.mkdir()
    for i in range(2):
        write_picture(folder / f"p{i}.png", waves(i))
    return folder


@pytest.fixture
def card(vdsr, tmp_path: Path, originals: Path) -> Path:
    """An accelerator folder of a small network, two inputs and one calibration picture."""
    (tmp_path / "net.onnx").write_bytes(small_network().data)
    enlarged, calibration = tmp_path / "enlarged", tmp_path / "calibration"
    enlarged.mkdir()
    calibration.mkdir()
    for path in originals.iterdir():
        planes = read_picture(path).transpose(2, 0, 1).astype(np.float64)
        low = np.rint(degrade(planes, 4)).clip(0, 255).astype(np.uint8).transpose(1, 2, 0)
        write_picture(enlarged / f"{path.stem}_scale_4.png", low)
    write_picture(calibration / "c.png", waves(7))
    code, out, _ = vdsr(
        *("export", tmp_path / "net.onnx", "-f", "vacc", "-o", tmp_path / "card", "--no-check"),
        *("--pictures", enlarged, "--calibration", calibration),
    )
    assert code == 0
    assert "builds fp16, int8, int8-equalized" in out
    return tmp_path / "card"


def test_the_round_through_the_stand_in(vdsr, card: Path, originals: Path, tmp_path: Path):
    code, out, err = vdsr("vacc", card)
    assert code == 0
    assert "they say nothing about the card" in err
    folders = sorted((card / "outputs").iterdir())
    assert {f"stand-in-{name}" for name in ("fp32", "fp16", "int8")} <= {f.name for f in folders}
    names = [f"stand-in-{name}" for name in ("fp32", "fp16", "int8")]
    options = [o for name in names for o in ("--outputs", card / "outputs" / name)]
    goal = tmp_path / "restored"
    code, out, err = vdsr("evaluate", "-d", originals, *options, "--save-pictures", goal)
    assert code == 0
    # They are called Set5, and show something else.
    assert "published" not in err + out
    assert out.count("stand-in ONNX Runtime") == 3
    rows = json.loads(vdsr("evaluate", "-d", originals, *options, "--json")[1])
    assert [row["precision"] for row in rows] == [None, "fp32", "fp16", "int8"]
    assert not any("published" in row for row in rows)
    assert [image["image"] for image in rows[1]["images"]] == ["p0.png", "p1.png"]

    # The same, by the program's own protocol.
    options = ("-p", "fixed256", "-s", 4, "--inputs", tmp_path / "enlarged", "--json")
    own = json.loads(vdsr("evaluate", "-d", originals, "-m", tmp_path / "net.onnx", *options)[1])
    for key in ("psnr", "ssim", "psnr_rounded"):
        assert rows[0][key] == pytest.approx(own[0][key], abs=1e-9)
        assert rows[1][key] == pytest.approx(own[1][key], abs=1e-4)
        assert rows[2][key] == pytest.approx(own[1][key], abs=0.05)
        assert rows[3][key] == pytest.approx(own[1][key], abs=2.0)
    assert rows[3]["psnr"] != pytest.approx(own[1]["psnr"], abs=1e-4)

    restored = read_picture(goal / "stand-in-fp32" / "p0_scale_4.png")
    assert restored.shape == (256, 256, 3)
    code, _, err = vdsr(
        *("evaluate", "-d", originals, "--outputs", card / "outputs" / names[0]),
        *("--save-pictures", goal),
    )
    assert (code, "--overwrite replaces it" in err) == (1, True)


def test_an_export_is_the_same_every_time_and_replaces_nothing(vdsr, card: Path, tmp_path: Path):
    command = (
        *("export", tmp_path / "net.onnx", "-f", "vacc"),
        *("--pictures", tmp_path / "enlarged", "--calibration", tmp_path / "calibration"),
    )
    code, out, _ = vdsr(*command, "-o", tmp_path / "again")
    assert code == 0
    assert "checked by ONNX Runtime on 2 pictures" in out
    assert "checked by PyTorch on 2 pictures" in out
    files = sorted(p.relative_to(card) for p in card.rglob("*") if p.is_file())
    assert files == sorted(
        p.relative_to(tmp_path / "again") for p in (tmp_path / "again").rglob("*") if p.is_file()
    )
    for file in files:
        if file.suffix != ".pt":
            assert (card / file).read_bytes() == (tmp_path / "again" / file).read_bytes()
    assert "--overwrite replaces it" in vdsr(*command, "-o", card)[2]
    (card / "deploy_weights").mkdir()
    code, _, err = vdsr(*command, "-o", card, "--overwrite")
    assert (code, "it also holds deploy_weights" in err) == (1, True)


def test_what_cannot_be_exported(vdsr, card: Path, tmp_path: Path):
    command = ("export", tmp_path / "net.onnx", "-f", "vacc", "-o", tmp_path / "no")
    code, _, err = vdsr(*command)
    assert (code, "needs a folder of pictures" in err) == (2, True)
    enlarged = tmp_path / "enlarged"
    code, _, err = vdsr(*command, "--pictures", enlarged, "--calibration", enlarged)
    assert (code, "p0_scale_4: it shows the evaluation picture" in err) == (1, True)
    code, _, err = vdsr(*command[:-1], tmp_path / "a.onnx", "-f", "onnx", "--calibration", enlarged)
    assert (code, "calibration does not apply to the format onnx" in err) == (2, True)
    assert not (tmp_path / "no").exists()


def outputs(card: Path, folder: Path, names: list[str]) -> Path:
    """What the card's tools would write: the input as it is, under these names."""
    folder.mkdir(parents=True)
    for line, name in zip((card / "inputs.txt").read_text().splitlines(), names, strict=True):
        with np.load(card / line) as arrays:
            y = arrays["input_0"][None, :1].astype(np.float32) / 255
        np.savez(folder / f"{name}.npz", output_0=y)
    return folder


def test_outputs_of_the_card_in_list_order(vdsr, card: Path, originals: Path, tmp_path: Path):
    folder = outputs(card, card / "outputs" / "test_int8", ["output_9", "output_10"])
    rows = json.loads(vdsr("evaluate", "-d", originals, "--outputs", folder, "--json")[1])
    assert (rows[1]["precision"], rows[1]["backend"]) == ("int8", "card")
    assert rows[1]["psnr"] == pytest.approx(rows[0]["psnr"], abs=1e-4)
    # Elsewhere there is no manifest: the enlarged pictures tell the order.
    away = outputs(card, tmp_path / "away", ["output_0", "output_1"])
    command = ("evaluate", "-d", originals, "--outputs", away, "--json")
    again = json.loads(vdsr(*command, "--inputs", tmp_path / "enlarged")[1])
    assert again[1]["psnr"] == rows[1]["psnr"]
    code, _, err = vdsr(*command)
    assert (code, "the names do not tell" in err) == (2, True)
    made = json.loads(vdsr(*command, "-s", 4)[1])
    assert made[1]["psnr"] == pytest.approx(rows[1]["psnr"], abs=0.01)


def test_outputs_that_do_not_fit(vdsr, card: Path, originals: Path, tmp_path: Path):
    folder = outputs(card, card / "outputs" / "x", ["p0_scale_4", "p1_scale_4"])

    def error(*more: object) -> str:
        code, out, err = vdsr("evaluate", "-d", originals, "--outputs", folder, *more)
        assert (code, out) == (1, "")
        return err

    swapped = tmp_path / "swapped"
    swapped.mkdir()
    for a, b in (("p0", "p1"), ("p1", "p0")):
        data = (tmp_path / "enlarged" / f"{a}_scale_4.png").read_bytes()
        (swapped / f"{b}_scale_4.png").write_bytes(data)
    assert "another picture than the card was given" in error("--inputs", swapped)
    (folder / "p1_scale_4.npz").unlink()
    assert "1 missing: p1_scale_4.npz" in error()
    write_picture(originals / "p2.png", waves(5))
    assert "the card was not given p2.png" in error()
    (originals / "p2.png").unlink()
    (originals / "p0.png").unlink()
    assert "no original for p0_scale_4" in error()
    code, _, err = vdsr("evaluate", "-d", originals, "--outputs", folder, "-m", "vdsr")
    assert (code, "without --model" in err) == (2, True)


def test_calibration_on_evaluation_pictures_is_asked_for_and_marked(
    vdsr, card: Path, originals: Path, tmp_path: Path
):
    goal = tmp_path / "marked"
    command = (
        *("export", tmp_path / "net.onnx", "-f", "vacc", "-o", goal, "--no-check"),
        *("--pictures", tmp_path / "enlarged"),
    )
    code, _, err = vdsr(*command, "--calibration", originals)
    assert (code, "it shows the evaluation picture p0_scale_4" in err) == (1, True)
    code, _, err = vdsr(*command, "--allow-evaluated")
    assert (code, "no folder of calibration pictures" in err) == (2, True)
    code, out, _ = vdsr(*command, "--calibration", originals, "--allow-evaluated")
    assert (code, "int8 calibrated on evaluation pictures" in out) == (0, True)
    shown = {"p0": "p0_scale_4", "p1": "p1_scale_4"}
    assert json.loads((goal / "manifest.json").read_text())["evaluated"] == shown
    assert "**measured on, too: p0_scale_4, p1_scale_4**" in (goal / "README.md").read_text()
    # A folder whose calibration pictures are strangers says nothing of the kind.
    assert json.loads((card / "manifest.json").read_text())["evaluated"] == {}
    assert "none of them is measured on" in (card / "README.md").read_text()

    mark = "calibrated on evaluation pictures"
    code, out, _ = vdsr("vacc", goal, "--precision", "fp16,int8")
    marked = {line.split(":")[0].rpartition("-")[2]: mark in line for line in out.splitlines()}
    assert (code, marked) == (0, {"fp16": False, "int8": True})
    folders = [goal / "outputs" / name for name in ("stand-in-fp16", "stand-in-int8")]
    # What the card's own tools write has no note, and is told by the manifest.
    folders.append(outputs(goal, goal / "outputs" / "test_int8", ["output_0", "output_1"]))
    options = [option for folder in folders for option in ("--outputs", folder)]
    rows = json.loads(vdsr("evaluate", "-d", originals, *options, "--json")[1])
    assert [mark in (row["backend"] or "") for row in rows] == [False, False, True, True]
    code, out, err = vdsr("evaluate", "-d", originals, *options, "--csv", tmp_path / "rows.csv")
    assert (code, out.count(mark), out.count("int8*"), "flatters it" in err) == (0, 2, 2, True)
    assert (tmp_path / "rows.csv").read_text().count(mark) >= 2


class Card(types.ModuleType):
    """A make-believe `vaststreamx`: it gives back what it is given, as a float16 tensor."""

    def __init__(self) -> None:
        super().__init__("vaststreamx")
        self.__spec__ = importlib.machinery.ModuleSpec("vaststreamx", None)
        self.log: list[object] = []
        self.waiting: list[np.ndarray] = []
        self.most = 0
        self.size = (256, 256)
        self.runs = 0
        self.ImageFormat = types.SimpleNamespace(RGB_PLANAR="planar")
        self.StreamBalanceMode = types.SimpleNamespace(ONCE="once")
        load = lambda path: [("prepare", json.loads(Path(path).read_text())["OpType"])]  # noqa: E731
        self.Operator = types.SimpleNamespace(load_ops_from_json_file=load)
        self.Stream = lambda graph, mode: self
        self.Graph = lambda: self

    def set_device(self, device: int) -> int:
        return device

    def Model(self, prefix: str, batch: int) -> str:  # noqa: N802
        self.log.append((prefix, batch))
        self.batch = batch
        return prefix

    def ModelOperator(self, model: str) -> tuple[str, str]:  # noqa: N802
        return ("network", model)

    def add_operators(self, *operators: object) -> None:
        self.log.append([kind for kind, _ in operators])

    def register_operator_output(self, operator: object) -> None:
        self.log.append("registered")

    def build(self) -> None:
        self.log.append("built")

    def create_image(self, planes, kind, width, height, device):
        assert (kind, height, width, device) == ("planar", *self.size, 0)
        assert (planes.dtype, planes.shape) == (np.dtype(np.uint8), (3, *self.size))
        return planes[:1].astype(np.float16)[None] / np.float16(255)

    def run_sync(self, images):
        assert len(images) == self.batch
        self.runs += len(images)
        return [[image] for image in images]

    def run_async(self, images) -> None:
        assert len(images) == self.batch
        self.waiting.append([[image] for image in images])
        self.most = max(self.most, len(self.waiting))

    def get_operator_output(self, operator):
        assert operator[0] == "network"
        return self.waiting.pop(0)

    def as_numpy(self, tensor):
        return tensor

    def close_input(self) -> None:
        self.log.append("closed")

    def wait_until_done(self) -> None:
        assert not self.waiting
        self.log.append("done")


def compiled(card: Path, *names: str) -> None:
    """What `vamc compile` leaves, as far as this program looks at it."""
    for name in names:
        folder = card / "deploy_weights" / name
        folder.mkdir(parents=True)
        (folder / "mod.so").write_bytes(b"")


@pytest.fixture
def vaststreamx(monkeypatch: pytest.MonkeyPatch) -> Card:
    module = Card()
    monkeypatch.setitem(sys.modules, "vaststreamx", module)
    monkeypatch.delitem(sys.modules, "vdsr.inference.backends.vaststreamx", raising=False)
    return module


def test_without_the_module_the_card_is_refused(vdsr, card: Path, originals: Path):
    for command in (
        ("vacc", card, "--backend", "vaststreamx"),
        ("evaluate", "-d", originals, "-m", card / "test.onnx", "--backend", "vaststreamx"),
        ("upscale", originals / "p0.png", card / "x.png", "--backend", "vaststreamx"),
    ):
        code, _, err = vdsr(*command)
        assert (code, "there is no module vaststreamx here" in err) == (2, True)


def test_the_card_runs_what_was_compiled(vdsr, card: Path, originals: Path, vaststreamx: Card):
    code, _, err = vdsr("vacc", card, "--backend", "vaststreamx", "--precision", "int8")
    assert (code, "vamp" in err, "run 'vamc compile build/test_int8.yaml'" in err) == (
        2,
        False,
        True,
    )
    compiled(card, "test_int8", "test-equalized_int8", "test_fp16")
    assert vdsr("vacc", card, "--device", 1)[0] == 2
    code, _, err = vdsr("vacc", card, "--backend", "vaststreamx", "--device", 1)
    assert (code, "there is no card 1 on this machine" in err) == (2, True)
    code, out, _ = vdsr("vacc", card, "--backend", "vaststreamx", "--overwrite", "--device", 0)
    assert (code, "test_fp16: 2 outputs, fp16, card vaststreamx" in out) == (0, True)
    prefix = str(card / "deploy_weights" / "test_fp16" / "mod")
    started = [(prefix, 1), ["prepare", "network"], "registered", "built", "closed", "done"]
    assert vaststreamx.log[:6] == started
    assert vaststreamx.most == 2
    folder = card / "outputs" / "test_int8"
    single = {path.name: path.read_bytes() for path in folder.glob("*.npz")}
    rows = json.loads(vdsr("evaluate", "-d", originals, "--outputs", folder, "--json")[1])
    assert (rows[1]["precision"], rows[1]["backend"]) == ("int8", "card vaststreamx")
    # Three at once are the same two, the batch filled.
    command = ("vacc", card, "--precision", "int8", "--batch", 3)
    assert vdsr(*command, "--backend", "vaststreamx", "--overwrite")[0] == 0
    assert vaststreamx.batch == 3
    assert {path.name: path.read_bytes() for path in folder.glob("*.npz")} == single
    assert vdsr(*command)[0] == 2
    # Halves of the input are what the make-believe card gives back.
    assert rows[1]["psnr"] == pytest.approx(rows[0]["psnr"], abs=0.05)

    options = ("-p", "fixed256", "-s", 4, "--backend", "vaststreamx", "--precision", "fp16,int8")
    rows = json.loads(
        vdsr("evaluate", "-d", originals, "-m", card / "test.onnx", *options, "--json")[1]
    )
    assert [row["precision"] for row in rows] == [None, "fp16", "int8"]
    assert rows[1]["psnr"] == pytest.approx(rows[0]["psnr"], abs=0.05)
    # Where the folder was calibrated on evaluation pictures, such rows say so.
    manifest = json.loads((card / "manifest.json").read_text()) | {"evaluated": {"c": "p0"}}
    (card / "manifest.json").write_text(json.dumps(manifest))
    rows = json.loads(
        vdsr("evaluate", "-d", originals, "-m", card / "test.onnx", *options, "--json")[1]
    )
    marked = "vaststreamx, calibrated on evaluation pictures"
    assert [row["backend"] for row in rows[1:]] == ["vaststreamx", marked]


def test_the_card_runs_pictures_of_any_size_in_windows(card: Path, vaststreamx: Card):
    from vdsr.inference.backends.vaststreamx import VastStreamXBackend
    from vdsr.model.file import load_model

    compiled(card, "test_fp16")
    model = load_model(card / "test.onnx")
    y = np.random.default_rng(0).random((2, 1, 300, 530), np.float32)
    for batch in (1, 4):
        backend = VastStreamXBackend(model, precision="fp16", batch=batch)
        # The make-believe card gives back what it is given, in bytes and then in halves.
        assert np.abs(backend.run(y) - y).max() < 0.5 / 255 + 1e-3
        small = backend.run(y[:1, :, :70, :])
        assert (small.shape, np.abs(small - y[:1, :, :70]).max() < 3e-3) == ((1, 1, 70, 530), True)
        backend.close()
    (card / "vdsp_params.json").write_text('{"OpConfig": {"OimageHeight": 0}}')
    with pytest.raises(BackendError, match="the input size cannot be read from it"):
        VastStreamXBackend(model, precision="fp16")


@pytest.fixture
def wide(vdsr, card: Path, tmp_path: Path) -> Path:
    """An accelerator folder like `card`, for inputs of 64x96."""
    goal = tmp_path / "wide"
    code, out, _ = vdsr(
        *("export", tmp_path / "net.onnx", "-f", "vacc", "-o", goal, "--static", "1x1x64x96"),
        *("--pictures", tmp_path / "enlarged", "--calibration", tmp_path / "calibration"),
    )
    assert (code, "shape 1x1x64x96" in out) == (0, True)
    return goal


def test_another_fixed_size_is_followed_everywhere(
    vdsr, card: Path, wide: Path, originals: Path, tmp_path: Path
):
    assert "input: [1, 1, 64, 96]" in (wide / "build" / "test_int8.yaml").read_text()
    guide = (wide / "README.md").read_text()
    assert guide.count("-s [3,64,96]") == 2
    # The vendor's own program resizes to 256x256, and its figures are of that.
    for text in ("256x256", "vsx_inference", "30.9"):
        assert (text in guide, text in (card / "README.md").read_text()) == (False, True)
    with np.load(wide / "inputs" / "p0_scale_4.npz") as arrays:
        assert arrays["input_0"].shape == (3, 64, 96)

    assert vdsr("vacc", wide)[0] == 0
    folder = wide / "outputs" / "stand-in-fp32"
    command = ("evaluate", "-d", originals, "--outputs", folder)
    rows = json.loads(vdsr(*command, "--json")[1])
    assert [row["protocol"] for row in rows] == ["fixed:64x96"] * 2
    options = ("-p", "fixed:64x96", "-s", 4, "--inputs", tmp_path / "enlarged", "--json")
    own = json.loads(vdsr("evaluate", "-d", originals, "-m", tmp_path / "net.onnx", *options)[1])
    for i in range(2):
        assert rows[i]["psnr"] == pytest.approx(own[i]["psnr"], abs=1e-4)
    goal = tmp_path / "restored"
    assert vdsr(*command, "--save-pictures", goal)[0] == 0
    assert read_picture(goal / "stand-in-fp32" / "p0_scale_4.png").shape == (64, 96, 3)

    # What is not of one size does not stand in one table.
    code, _, err = vdsr(*command, "-p", "fixed256")
    assert (code, "these are outputs of fixed:64x96, not fixed256" in err) == (2, True)
    assert vdsr("vacc", card, "--precision", "fp32")[0] == 0
    code, _, err = vdsr(*command, "--outputs", card / "outputs" / "stand-in-fp32")
    assert (code, "measure them by themselves" in err) == (2, True)
    # Elsewhere there is no manifest: the protocol tells the size.
    away = outputs(wide, tmp_path / "away", ["p0_scale_4", "p1_scale_4"])
    command = ("evaluate", "-d", originals, "--outputs", away, "--inputs", tmp_path / "enlarged")
    assert "float32 [1, 1, 64, 96], not float [1, 1, 256, 256]" in vdsr(*command)[2]
    again = json.loads(vdsr(*command, "-p", "fixed:64x96", "--json")[1])
    assert again[1]["psnr"] == pytest.approx(rows[0]["psnr"], abs=1e-4)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ("2x1x64x96", "one picture per input: 1x1x64x96"),
        ("1x1x65536x65536", "px at most, not 65536x65536"),
        ("1x3x64x96", "N x 1 x H x W"),
    ],
)
def test_sizes_that_cannot_be_exported(vdsr, card: Path, tmp_path: Path, shape: str, message: str):
    command = ("export", tmp_path / "net.onnx", "-f", "vacc", "-o", tmp_path / "no")
    code, _, err = vdsr(*command, "--pictures", tmp_path / "enlarged", "--static", shape)
    assert (code, message in err) == (2, True)


@pytest.mark.parametrize(
    "protocol", ["fixed:", "fixed:64", "fixed:0x64", "fixed:HxW", "fixed:9999999x9999999"]
)
def test_a_fixed_protocol_names_a_size(vdsr, originals: Path, protocol: str):
    code, _, err = vdsr("evaluate", "-d", originals, "-p", protocol)
    assert (code, "is followed by height and width, as fixed:256x256" in err) == (2, True)


def test_pictures_go_through_the_card_in_windows_of_its_folder(
    vdsr, wide: Path, originals: Path, tmp_path: Path, vaststreamx: Card
):
    vaststreamx.size = (64, 96)
    compiled(wide, "test_fp16", "test_int8", "test-equalized_int8")
    card = ("-m", wide / "test.onnx", "--backend", "vaststreamx")
    result = tmp_path / "result.png"
    command = ("upscale", originals / "p0.png", result, *card, "--precision", "int8", "-s", 2)
    code, _, err = vdsr(*command)
    assert (code, err) == (0, "")
    # 192x160 px in windows of 64x96: the make-believe card adds nothing to the bicubic.
    assert vaststreamx.runs > 4
    planes = read_picture(originals / "p0.png").transpose(2, 0, 1).astype(np.float64)
    bicubic = np.stack([imresize(plane, scale=2) for plane in planes], -1).clip(0, 255)
    assert np.abs(read_picture(result) - bicubic).max() <= 2.0

    assert vdsr("vacc", wide, "--backend", "vaststreamx")[0] == 0
    rows = json.loads(
        vdsr("evaluate", "-d", originals, *card, "-p", "float,fixed256", "-s", 4, "--json")[1]
    )
    assert [row["model"] for row in rows] == ["bicubic", "test"] * 2
    for bicubic_row, row in zip(rows[::2], rows[1::2], strict=True):
        # The card takes luma in 8 bits, which alone ends at 58.9 dB.
        assert row["psnr"] == pytest.approx(bicubic_row["psnr"], abs=2.5)
    # Elsewhere the file is made for one size, and that is said.
    code, _, err = vdsr(*command[:2], tmp_path / "b.png", "-m", wide / "test.onnx")
    assert (code, "made for 1x1x64x96 alone" in err) == (2, True)
    # Parameters of another size than the network's are not those it was compiled with.
    parameters = (wide / "vdsp_params.json").read_text().replace("96", "128")
    (wide / "vdsp_params.json").write_text(parameters)
    code, _, err = vdsr(*command, "--overwrite")
    assert (code, "it is for inputs of 64x128 px" in err) == (2, True)
