"""The accelerator folder's files, byte for byte, and what is refused of them."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vdsr.errors import InputError
from vdsr.evaluation.candidates import write_picture
from vdsr.evaluation.opencv_protocol import prepare_fixed
from vdsr.vacc.configuration import build_configuration, preprocessing_parameters
from vdsr.vacc.layout import Build, Input, Manifest, file_name, read_manifest
from vdsr.vacc.outputs import Origin, origin_of, read_outputs, write_outputs
from vdsr.vacc.pictures import (
    Picture,
    bmp,
    card_input,
    evaluated_among,
    network_input,
    read_bmp,
    read_folder,
    read_input,
    refuse_evaluated,
)

INT8 = """\
name: some_int8

frontend:
  shape:
    input: [1, 1, 256, 256]
  type: onnx
  checkpoint: some.onnx
  dtype: fp32

backend:
  type: tvm_vacc
  dtype: int8
  compile:
    data_transport_mode: 1
  quantize:
    calibrate_mode: kl_divergence
    quantize_per_channel: true

dataset:
  type: tvm
  path: calibration
  sampler:
    suffix: bmp
    get_data_num: 7
  process_ops:
    - type: DecodeImage
    - type: CvtColor
      code: COLOR_RGB2YCrCb
    - type: Resize
      size: [256, 256]
    - type: ChannelSplit
      index: 0
    - type: Normalize
      norm_type: None
    - type: ToTensor

workspace:
  path: ./deploy_weights/
"""


def noise(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_the_build_configurations_are_the_vendors():
    build = Build(network="some.onnx", precision="int8")
    assert build_configuration(build, (256, 256), "calibration", 7) == INT8
    # Height comes first, as in the vendor's configurations of other sizes.
    other = INT8.replace("[1, 1, 256, 256]", "[1, 1, 96, 160]").replace("[256, 256]", "[96, 160]")
    assert build_configuration(build, (96, 160), "calibration", 7) == other
    floats = build_configuration(Build(network="some.onnx", precision="fp16"), (256, 256))
    assert "dtype: fp16" in floats
    assert "quantize" not in floats
    assert "dataset" not in floats
    # What YAML could take for something else is quoted.
    odd = build_configuration(Build(network="1: #.onnx", precision="fp16"), (256, 256))
    assert 'checkpoint: "1: #.onnx"' in odd
    assert 'name: "1: #_fp16"' in odd


def test_the_preprocessing_parameters_are_the_vendors():
    parameters = json.loads(preprocessing_parameters((256, 256)))
    assert parameters["OpType"] == "FUSION_OP_RGB_RESIZE_CVTCOLOR_NORM_TENSOR"
    assert parameters["OpConfig"] == {
        "IimageFormat": "RGB_PLANAR",
        "IimageWidth": 256,
        "IimageHeight": 256,
        "OimageWidth": 256,
        "OimageHeight": 256,
        "IimageWidthPitch": 256,
        "IimageHeightPitch": 256,
        "Mean": [0.485107421875, 0.4560546875, 0.406005859375],
        "Std": [0.22900390625, 0.2239990234375, 0.2249755859375],
        "NormaType": "DIV255",
        "ColorCvtCode": "NO_CHANGE",
        "ResizeType": "BILINEAR_CV",
    }
    other = json.loads(preprocessing_parameters((96, 160)))["OpConfig"]
    assert {name: other[name] for name in other if "Height" in name or "Width" in name} == {
        "IimageWidth": 160,
        "IimageHeight": 96,
        "OimageWidth": 160,
        "OimageHeight": 96,
        "IimageWidthPitch": 160,
        "IimageHeightPitch": 96,
    }


@pytest.mark.parametrize("size", [(256, 256), (96, 160)])
def test_an_input_is_the_luma_three_times_and_what_the_protocol_sees(
    tmp_path: Path, size: tuple[int, int]
):
    picture = Picture(name="one", samples=noise(300, 280, 3))
    path = tmp_path / "one.npz"
    path.write_bytes(card_input(picture.luma(size)))
    with np.load(path) as arrays:
        assert arrays.files == ["input_0"]
        array = arrays["input_0"]
    assert (array.dtype, array.shape) == (np.dtype(np.uint8), (3, *size))
    assert all(np.array_equal(plane, picture.luma(size)) for plane in array)
    assert card_input(read_input(path, size)) == path.read_bytes()

    seen = {}

    class Spy:
        model_luma = "full"

        def luma(self, y: NDArray[np.float32]) -> NDArray[np.float32]:
            seen["y"] = y
            return y

    case = prepare_fixed(noise(300, 280, 3, seed=1), 4, picture.samples, size)
    case.restore(Spy())  # type: ignore[arg-type]
    assert np.array_equal(network_input(read_input(path, size))[0, 0], seen["y"])


@pytest.mark.parametrize("shape", [(5, 7, 3), (5, 7)])
def test_a_bmp_has_24_bits_and_the_same_samples(tmp_path: Path, shape: tuple[int, ...]):
    samples = noise(*shape)
    data = bmp(samples)
    assert data[:2] == b"BM"
    offset, width, height = (
        *struct.unpack_from("<I", data, 10),
        *struct.unpack_from("<ii", data, 18),
    )
    bits, compression = struct.unpack_from("<HI", data, 28)
    assert (width, abs(height), bits, compression) == (7, 5, 24, 0)
    # Rows stand upside down, in blue, green, red, padded to multiples of four bytes.
    bottom = np.frombuffer(data, np.uint8, 21, offset).reshape(7, 3)[:, ::-1]
    color = samples if samples.ndim == 3 else np.repeat(samples[..., None], 3, axis=2)
    assert height < 0 or np.array_equal(bottom, color[-1])
    path = tmp_path / "a.bmp"
    path.write_bytes(data)
    assert np.array_equal(read_bmp(path), color)


def test_a_folder_of_pictures_is_read_in_the_order_of_names(tmp_path: Path):
    for name in ("b.png", "a.png"):
        write_picture(tmp_path / name, noise(20, 20))
    assert [picture.name for picture in read_folder(tmp_path)] == ["a", "b"]
    (tmp_path / "a.tif").write_bytes((tmp_path / "a.png").read_bytes())
    with pytest.raises(InputError, match="has the same name"):
        list(read_folder(tmp_path))


def test_calibration_pictures_that_are_evaluation_pictures_are_refused():
    waves = np.sin(np.mgrid[:200, :180][0] / 9.0) * np.cos(np.mgrid[:200, :180][1] / 13.0)
    one = Picture(name="one", samples=(waves * 100 + 120).astype(np.uint8))
    turned = np.rot90(one.samples)[::2, ::2]
    strangers = [Picture(name="two", samples=noise(200, 180, 3))]
    refuse_evaluated(evaluated_among(strangers, [one]))
    with pytest.raises(InputError, match="copy: it shows the evaluation picture one"):
        refuse_evaluated(evaluated_among([*strangers, Picture(name="copy", samples=turned)], [one]))


def test_set5_is_refused_for_calibration(shared: Path):
    pictures = list(read_folder(shared / "reference/set5-scale4"))
    with pytest.raises(InputError, match="baby_GT_scale_4: it shows the evaluation picture"):
        refuse_evaluated(evaluated_among(pictures, []))


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path):
    manifest = Manifest(
        name="some",
        model={"name": "some", "version": "1", "sha256": "0" * 64},
        builds={"int8": Build(network="some.onnx", precision="int8")},
        inputs=(Input(name="a", width=3, height=2, luma_sha256="1" * 64),),
        calibration={"b": "2" * 64},
        files={"some.onnx": "3" * 64},
        evaluated={"b": "Set5/baby"},
        size=(96, 160),
    )
    path = tmp_path / "manifest.json"
    path.write_text(manifest.as_json(), "utf-8")
    assert read_manifest(tmp_path) == manifest
    # Folders of before there were other sizes do not tell theirs.
    content = json.loads(manifest.as_json())
    del content["size"]
    path.write_text(json.dumps(content), "utf-8")
    assert read_manifest(tmp_path).shape == (1, 1, 256, 256)
    for bad in ([96], [96, 0], [96, 160.0], "96x160", [1 << 16, 1 << 16], [True, 160]):
        path.write_text(json.dumps(content | {"size": bad}), "utf-8")
        with pytest.raises(InputError, match="not a manifest"):
            read_manifest(tmp_path)
    path.write_text(manifest.as_json().replace('"format": 1', '"format": 2'), "utf-8")
    with pytest.raises(InputError, match="format 2 is unknown"):
        read_manifest(tmp_path)
    path.write_text('{"format": 1}', "utf-8")
    with pytest.raises(InputError, match="not a manifest"):
        read_manifest(tmp_path)
    path.unlink()
    with pytest.raises(InputError, match="'vdsr export --format vacc' makes one"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("name", "file"), [("a b/c", "a-b-c"), ("x.1_y", "x.1_y"), ("??", "network")]
)
def test_a_name_becomes_a_file_name(name: str, file: str):
    assert file_name(name) == file


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """Outputs of three inputs, named as these."""
    planes = {name: np.full((1, 1, 256, 256), i, np.float32) for i, name in enumerate("cab")}
    write_outputs(tmp_path, Origin(by="stand-in", precision="fp32"), planes)
    return tmp_path


def first_values(folder: Path) -> list[float]:
    return [
        float(plane[0, 0]) for plane in read_outputs(folder, ["c", "a", "b"], (256, 256)).values()
    ]


def test_outputs_are_found_by_name(outputs: Path):
    assert first_values(outputs) == [0.0, 1.0, 2.0]
    assert origin_of(outputs, None) == Origin(by="stand-in", precision="fp32")
    with np.load(outputs / "a.npz") as arrays:
        assert arrays.files == ["output_0"]


def test_outputs_are_found_in_list_order(outputs: Path):
    # As the card's tools name them; without leading zeros 10 stands behind 9.
    for name, number in zip("cab", (8, 9, 10), strict=True):
        (outputs / f"{name}.npz").rename(outputs / f"output_{number}.npz")
    assert first_values(outputs) == [0.0, 1.0, 2.0]
    (outputs / "output_9.npz").unlink()
    with pytest.raises(InputError, match="2 outputs for 3 inputs"):
        first_values(outputs)


def test_missing_and_extra_outputs_are_named(outputs: Path):
    (outputs / "a.npz").rename(outputs / "z.npz")
    with pytest.raises(InputError, match=r"1 missing: a\.npz"):
        first_values(outputs)
    (outputs / "a.npz").write_bytes((outputs / "z.npz").read_bytes())
    with pytest.raises(InputError, match=r"1 of no input: z\.npz"):
        first_values(outputs)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"output_0": np.zeros((1, 256, 256), np.float32)}, r"float32 \[1, 256, 256\], not float"),
        ({"output_0": np.zeros((1, 1, 256, 256), np.uint8)}, "is uint8"),
        ({"input_0": np.zeros(3)}, "no output_0 in it, but input_0"),
        ({"output_0": np.array([None])}, "is object"),
    ],
)
def test_what_is_no_output_is_named(outputs: Path, arrays: dict[str, object], message: str):
    np.savez(outputs / "a.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=rf"a\.npz: .*{message}"):
        first_values(outputs)


def test_outputs_that_are_no_numbers_are_named(outputs: Path):
    plane = np.zeros((1, 1, 256, 256), np.float16)
    plane[0, 0, 5, :2] = np.nan, np.inf
    np.savez(outputs / "b.npz", output_0=plane)
    with pytest.raises(InputError, match=r"b\.npz: 2 of 65536 values are not finite"):
        first_values(outputs)
    (outputs / "b.npz").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"b\.npz: it is not a readable"):
        first_values(outputs)


@pytest.mark.parametrize(
    ("folder", "precision"), [("x_int8", "int8"), ("my-fp16", "fp16"), ("results", "")]
)
def test_the_cards_outputs_are_known_by_the_name_of_their_folder(
    tmp_path: Path, folder: str, precision: str
):
    assert origin_of(tmp_path / folder, None) == Origin(by="card", precision=precision)
