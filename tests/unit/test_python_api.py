"""The doors of the package: what can be given, what comes back, and what is said of the rest."""

from __future__ import annotations

import inspect
import io
import logging
import pickle
import subprocess
import sys
import typing
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vdsr
from networks import small_network, zero_network
from vdsr import Upscaler, errors
from vdsr.inference.memory import MIB

FOREIGN_BASES = {
    "UsageError": ValueError,
    "MissingExtra": ImportError,
    "OutOfMemory": MemoryError,
    "UnsupportedType": TypeError,
}


@pytest.fixture(scope="module")
def small() -> typing.Iterator[Upscaler]:
    with Upscaler(small_network(), backend="openvino", threads=2) as upscaler:
        yield upscaler


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture
def png(tmp_path: Path) -> Path:
    path = tmp_path / "in.png"
    vdsr.write_image(path, noise(9, 7, 3))
    return path


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


# The names


def test_every_name_is_there_and_shown():
    asked = {
        *("upscale", "Upscaler", "errors", "Target", "Progress", "ModelFile", "load_model"),
        *("Backend", "read_image", "write_image", "psnr", "ssim", "imresize", "degrade"),
        *("Mapped", "Result", "VdsrError", "__version__"),
    }
    assert asked <= set(vdsr.__all__)
    assert set(vdsr.__all__) <= set(dir(vdsr))
    assert all(getattr(vdsr, name) is not None for name in vdsr.__all__)
    with pytest.raises(AttributeError, match="no attribute 'enlarge'"):
        _ = vdsr.enlarge  # type: ignore[attr-defined]


def error_classes() -> list[type[Exception]]:
    return [
        one for one in vars(errors).values() if inspect.isclass(one) and issubclass(one, Exception)
    ]


def test_every_error_of_the_tree_is_a_name_of_the_package():
    tree = {one.__name__ for one in error_classes()}
    assert tree == {name for name in vdsr.__all__ if name in tree}
    assert all(name in (errors.__doc__ or "") for name in tree)


def test_importing_the_package_loads_nothing_heavy():
    code = (
        "import sys, vdsr; dir(vdsr)\n"
        "print({'numpy', 'pyvips', 'openvino', 'torch', 'PIL'} & set(sys.modules))"
    )
    assert (run(code).stdout, run(code).stderr) == ("set()\n", "")


@pytest.mark.parametrize("first", ["vdsr", "openvino"])
def test_openvino_reports_nothing_unless_it_was_there_before(first: str):
    """What a program has loaded itself is left to it."""
    code = (
        "import sys\n"
        "if sys.argv[1] == 'openvino': sys.modules['openvino'] = sys\n"
        "import vdsr\n"
        "print('openvino_telemetry' in sys.modules)\n"
        "if sys.argv[1] == 'vdsr':\n"
        "    import openvino\n"
        "    assert sys.modules['openvino_telemetry'] is None\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, first], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(first == "vdsr")


def test_the_package_runs_as_a_module():
    found = subprocess.run(
        [sys.executable, "-m", "vdsr", "--version"], capture_output=True, text=True, check=True
    )
    assert found.stdout == f"vdsr {vdsr.__version__}\n"


@pytest.mark.parametrize("name", FOREIGN_BASES)
def test_errors_are_what_python_calls_them(name: str):
    found = getattr(errors, name)
    assert issubclass(found, FOREIGN_BASES[name])
    assert issubclass(found, errors.VdsrError)


def test_errors_survive_the_way_between_processes():
    for kind in error_classes():
        arguments = ("torch", "train") if kind is errors.MissingExtra else ("in.png: gone",)
        given = kind(*arguments)
        back = pickle.loads(pickle.dumps(given))
        assert (type(back), str(back), vars(back)) == (kind, str(given), vars(given))


# What is taken, and what comes back


@pytest.mark.parametrize(
    ("given", "back"),
    [("uint8", "uint8"), ("uint16", "uint16"), ("float16", "float16"), ("float32", "float32"),
     ("float64", "float32"), (">u2", "uint16"), (">f4", "float32")],
)  # fmt: skip
@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 1), (5, 6, 2), (5, 6, 3), (5, 6, 4)])
def test_arrays_keep_their_type_and_axes(small: Upscaler, given: str, back: str, shape):
    image = noise(*shape)
    image = (image / 255 if "f" in given else image).astype(given)
    found = small.upscale(image, scale=2)
    assert found.dtype == np.dtype(back)
    assert found.shape == (10, 12, *shape[2:])


def test_halves_are_the_floats_rounded(small: Upscaler):
    image = (noise(8, 9, 3) / 255).astype(np.float16)
    floats = small.upscale(image.astype(np.float32), scale=3)
    assert np.array_equal(small.upscale(image, scale=3), floats.astype(np.float16))


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_batch_is_its_pictures(small: Upscaler, dtype: str, bands: int):
    batch = noise(3, 6, 5, bands).astype(dtype)  # floats far beyond 0..1, each in its own range
    found = small.upscale(batch, scale=2)
    assert found.shape == (3, 12, 10, bands)
    assert np.array_equal(found, np.stack([small.upscale(one, scale=2) for one in batch]))


@contextmanager
def encoded_forms(path: Path) -> typing.Iterator[dict[str, typing.Any]]:
    data = path.read_bytes()
    with path.open("rb") as file, path.open("rb", buffering=0) as unbuffered:
        yield {
            "text": str(path),
            "path": path,
            "bytes": data,
            "bytearray": bytearray(data),
            "memoryview": memoryview(data),
            "BytesIO": io.BytesIO(data),
            "file": file,
            "unbuffered file": unbuffered,
        }


def test_a_picture_file_is_taken_in_every_form(small: Upscaler, png: Path, tmp_path: Path):
    expected = small.upscale(noise(9, 7, 3), scale=2)
    with encoded_forms(png) as forms:
        for name, one in forms.items():
            assert np.array_equal(small.upscale(one, scale=2), expected), name
    with encoded_forms(png) as forms:
        for name, one in forms.items():
            result = small.upscale(one, tmp_path / f"{name}.png", scale=2)
            assert (result.width, result.height) == (14, 18)
            assert np.array_equal(vdsr.read_image(tmp_path / f"{name}.png"), expected), name
    with encoded_forms(png) as forms:
        for name, one in forms.items():
            assert np.array_equal(vdsr.read_image(one), noise(9, 7, 3)), name


def test_a_file_object_is_read_from_where_it_stands_and_left_open(small: Upscaler, png: Path):
    file = io.BytesIO(b"header" + png.read_bytes())
    file.seek(6)
    assert small.upscale(file, scale=2).shape == (18, 14, 3)
    assert not file.closed


def test_a_file_object_is_written_where_it_stands(small: Upscaler, png: Path, tmp_path: Path):
    out = io.BytesIO()
    out.write(b"before")
    result = small.upscale(png, out, scale=2, format="png")
    assert (result.output, result.input) == ("<BytesIO>", str(png))
    assert out.getvalue().startswith(b"before\x89PNG")
    assert vdsr.read_image(out.getvalue()[6:]).shape == (18, 14, 3)
    with (tmp_path / "named.png").open("wb") as file:  # its name tells the format
        small.upscale(png, file, scale=2)
    assert vdsr.read_image(tmp_path / "named.png").shape == (18, 14, 3)
    with pytest.raises(errors.UsageError, match="name the format"):
        small.upscale(png, io.BytesIO(), scale=2)
    with pytest.raises(errors.OutputError, match="cannot be written"):
        small.upscale(png, io.StringIO(), scale=2, format="png")


def test_arrays_become_files(small: Upscaler, tmp_path: Path):
    image = noise(6, 5)
    result = small.upscale(image, tmp_path / "out.png", scale=2)
    assert (result.input, result.width) == ("<array>", 10)
    assert np.array_equal(vdsr.read_image(tmp_path / "out.png"), small.upscale(image, scale=2))


@pytest.mark.parametrize(
    ("mode", "back"),
    [("L", "L"), ("LA", "LA"), ("RGB", "RGB"), ("RGBA", "RGBA"), ("1", "L"), ("P", "RGB"),
     ("I;16", "I;16"), ("I", "I;16"), ("F", "F"), ("YCbCr", "RGB"), ("HSV", "RGB"),
     ("RGBX", "RGB"), ("RGBa", "RGBA"), ("La", "LA")],
)  # fmt: skip
def test_pillow_images_become_pillow_images(small: Upscaler, mode: str, back: str):
    plain = Image.fromarray(noise(6, 5, 4), "RGBA") if mode in ("RGBa",) else None
    if plain is None:
        plain = Image.fromarray(noise(6, 5, 2)) if mode == "La" else Image.fromarray(noise(6, 5, 3))
    if mode in ("I;16", "I"):
        plain = Image.fromarray(noise(6, 5).astype(np.uint16) * 257)
    image = plain if plain.mode == mode else plain.convert(mode)
    found = small.upscale(image, scale=2)
    assert isinstance(found, Image.Image)
    assert (found.mode, found.size) == (back, (10, 12))
    given = image if image.mode in (back, "I") else image.convert(back)
    pixels = np.asarray(given).astype("uint16" if back == "I;16" else np.asarray(given).dtype)
    assert np.array_equal(np.asarray(found), small.upscale(pixels, scale=2))


def test_transparent_palettes_stay_transparent(small: Upscaler):
    image = Image.new("P", (4, 4))
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.info["transparency"] = 0
    found = small.upscale(image, scale=2)
    assert (found.mode, found.getpixel((0, 0))[3]) == ("RGBA", 0)


def test_a_pillow_image_keeps_what_it_knows(small: Upscaler):
    image = Image.fromarray(noise(6, 5, 3))
    exif = Image.Exif()
    exif[0x010E] = "a picture"
    image.info = {"icc_profile": b"profile", "exif": exif.tobytes(), "dpi": (300, 300), "gamma": 1}
    found = small.upscale(image, scale=2)
    assert set(found.info) == {"icc_profile", "exif", "dpi"}
    assert found.getexif()[0x010E] == "a picture"


@pytest.mark.parametrize("mode", ["CMYK", "LAB"])
def test_pillow_images_of_uncertain_color_are_refused(small: Upscaler, mode: str):
    with pytest.raises(errors.InputError, match="depends on its profile"):
        small.upscale(Image.new(mode, (4, 4)), scale=2)


def test_a_damaged_pillow_image_is_an_input_error(small: Upscaler, png: Path):
    vdsr.write_image(png, noise(90, 70, 3), overwrite=True)
    image = Image.open(io.BytesIO(png.read_bytes()[:9000]))
    with pytest.raises(errors.InputError, match="cannot be decoded"):
        small.upscale(image, scale=2)


@pytest.mark.parametrize(
    "bad", [None, 5, [[1, 2]], {"a": 1}, object(), iter([]), complex(1), np.float32(1), int]
)
def test_a_wrong_type_says_what_is_taken(small: Upscaler, bad):
    with pytest.raises(errors.UnsupportedType, match="an array, a path, a Pillow image, bytes of"):
        small.upscale(bad, scale=2)
    with pytest.raises(TypeError, match="is taken, not"):
        vdsr.read_image(bad)
    with pytest.raises(TypeError, match="an array or a Pillow image is written"):
        vdsr.write_image("never.png", bad)


def test_texts_are_no_bytes(small: Upscaler):
    with pytest.raises(TypeError, match="binary mode"):
        small.upscale(io.StringIO("text"), scale=2)
    with pytest.raises(errors.InputError, match=r"^<3 bytes>: "):
        small.upscale(b"abc", scale=2)
    closed = io.BytesIO()
    closed.close()
    with pytest.raises(errors.InputError, match="cannot be read"):
        small.upscale(closed, scale=2)


def test_messages_name_what_was_given_and_not_the_copy(small: Upscaler, png: Path):
    cut = png.read_bytes()[:90]
    with pytest.raises(errors.InputError) as caught:
        small.upscale(cut, scale=2)
    assert str(caught.value).startswith("<90 bytes>: ")
    assert str(caught.value).count("<90 bytes>") == 1
    assert "/vdsr-" not in str(caught.value)


# Options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": "4"}, "a scale is a number"),
        ({"scale": True}, "a scale is a number"),
        ({"width": 10.5}, "whole number of px"),
        ({"width": 10**400}, "at most"),
        ({"fit": 10}, "fit is a pair"),
        ({"fit": (10, "x")}, "fit is a pair"),
        ({"target": 4}, r"a vdsr\.Target"),
        ({"target": vdsr.Target(scale=2), "scale": 2}, "not both"),
        ({"format": 5}, "a format is a name"),
        ({"quality": "high"}, "quality is 1..100"),
        ({"quality": 90}, "are for an output"),
    ],
)
def test_wrong_options_are_usage_errors(small: Upscaler, options, message: str):
    with pytest.raises(ValueError, match=message):
        small.upscale(noise(4, 4), **options)


def test_an_unknown_option_is_a_type_error_that_helps(small: Upscaler):
    with pytest.raises(TypeError, match="did you mean 'scale'"):
        small.upscale(noise(4, 4), scal=2)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="no keyword argument 'factor'"):
        small.map([], factor=2)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="no keyword argument 'denoise'"):
        vdsr.upscale(noise(4, 4), denoise=2)  # type: ignore[call-overload]


def test_a_target_is_a_size_as_one_object(small: Upscaler):
    image, target = noise(4, 6), vdsr.Target(fit=(20, 20))
    assert small.upscale(image, target=target).shape == (14, 20)
    assert [one.result.shape for one in small.map([image], target=target)] == [(14, 20)]


@pytest.mark.parametrize("scale", [np.float32(2), np.int64(2), 2])
def test_numbers_of_numpy_are_numbers(small: Upscaler, scale):
    assert small.upscale(noise(4, 4), scale=scale).shape == (8, 8)


def test_memory_can_be_named_in_words():
    with Upscaler(zero_network(), max_memory="1GiB") as upscaler:
        assert upscaler._engines.first.max_memory == 1024 * MIB
    for bad in ("much", "1 MiB", 0, -5, 1.5, True, [1]):
        with pytest.raises(ValueError, match=r"memory|size"):
            Upscaler(zero_network(), max_memory=bad)


def test_one_call_does_everything(png: Path, tmp_path: Path):
    result = vdsr.upscale(
        png, tmp_path / "out.jpg", scale=2, quality=80, model=zero_network(), max_memory="512MiB"
    )
    assert (result.width, result.height) == (14, 18)
    assert vdsr.upscale(noise(4, 4), scale=2, model=zero_network()).shape == (8, 8)


def test_given_back_results_count_as_memory():
    image = noise(2000, 1000, 4)  # x4 it is 122 MiB
    with (
        Upscaler(zero_network(), max_memory="100MiB") as upscaler,
        pytest.raises(errors.OutOfMemory, match="100 MiB may be used"),
    ):
        upscaler.upscale(image, scale=4)


def test_progress_is_told(small: Upscaler):
    told: list[vdsr.Progress] = []
    small.upscale(noise(9, 9), scale=2, progress=told.append)
    assert (told[-1].done, told[-1].total) == (18 * 18, 18 * 18)


# Many pictures


@pytest.mark.parametrize(
    "one", [noise(4, 4, 3), Image.new("L", (4, 4)), b"abc", io.BytesIO(b"abc"), "in.png", Path("a")]
)
def test_map_refuses_one_picture_with_a_word(small: Upscaler, one):
    with pytest.raises(errors.UsageError, match=r"is one p.*: put it in a list"):
        small.map(one)
    with pytest.raises(errors.UsageError, match="many pictures, not int"):
        small.map(5)  # type: ignore[call-overload]


def test_map_takes_every_kind(small: Upscaler, png: Path, tmp_path: Path):
    image = noise(9, 7, 3)
    pairs = [
        (image, tmp_path / "a.png"),
        (png.read_bytes(), str(tmp_path / "b.png")),
        (Image.fromarray(image), io.BytesIO()),
    ]
    with encoded_forms(png) as forms:
        given = [image, Image.fromarray(image), *forms.values(), *pairs]
        found = list(small.map(given, scale=2))
    expected = small.upscale(image, scale=2)
    for one in found[:-3]:
        assert one.error is None, one
        assert np.abs(np.asarray(one.result).astype(int) - expected).max() <= 1
    assert isinstance(found[1].result, Image.Image)
    assert isinstance(found[-3].result, vdsr.Result)
    assert "name the format" in str(found[-1].error)
    for name in "ab":
        assert np.abs(vdsr.read_image(tmp_path / f"{name}.png").astype(int) - expected).max() <= 1
    [batch] = small.map([np.stack([image])], scale=2)
    assert "one by one" in str(batch.error)


def test_plain_paths_stay_within_the_memory_plan(png: Path):
    vdsr.write_image(png, noise(1200, 1200, 3), overwrite=True)
    with Upscaler(zero_network(), threads=2, max_memory=80 * MIB) as upscaler:
        # Enlarged they have 16.5 MiB: beside decoder and tiles one fits 80 MiB, not 20.
        [alone] = upscaler.map([png], scale=2, in_flight=1)
        assert alone.result.shape == (2400, 2400, 3)
        [among] = upscaler.map([png], scale=2, in_flight=4)
    assert isinstance(among.error, errors.OutOfMemory)
    assert str(among.error).startswith(f"{png}: ")


# A backend of one's own


class Own:
    """A network that does nothing, in the caller's hands."""

    def __init__(self, gives: typing.Callable[[np.ndarray], object] = lambda y: y) -> None:
        self.gives, self.runs, self.closed = gives, 0, 0

    def run(self, y: np.ndarray) -> typing.Any:
        assert (y.dtype, y.ndim, y.shape[:2]) == (np.float32, 4, (1, 1))
        self.runs += 1
        return self.gives(y)

    def close(self) -> None:
        self.closed += 1


def test_a_backend_is_anything_with_run_and_close(png: Path, tmp_path: Path):
    own: vdsr.Backend = Own()
    with Upscaler(small_network(), backend=own) as upscaler:
        assert (upscaler.backend, upscaler.precision) == ("Own", "fp32")
        with Upscaler(zero_network(), backend="openvino") as zero:
            image = noise(9, 7, 3)
            assert np.array_equal(upscaler.upscale(image, scale=2), zero.upscale(image, scale=2))
        assert own.runs == 1
        assert len(list(upscaler.map([image] * 5, scale=2))) == 5
        assert own.runs == 6
        assert upscaler.upscale(png, tmp_path / "out.png").backend == "Own"
        assert own.closed == 0
    upscaler.close()
    assert own.closed == 1
    with pytest.raises(errors.BackendError, match="closed"):
        upscaler.upscale(image)


def test_the_shipped_model_is_in_floats_for_a_backend_of_ones_own():
    with Upscaler(backend=Own()) as upscaler:
        assert (upscaler.model.metadata.name, upscaler.precision) == ("vdsr-fast", "fp32")
    with Upscaler(backend=Own(), precision="int8") as upscaler:
        assert (upscaler.model.metadata.name, upscaler.precision) == ("vdsr-fast-int8", "int8")


@pytest.mark.parametrize("bad", [None, 5, object(), Own, [], {"run": 1}])
def test_what_is_no_backend_is_refused(bad):
    with pytest.raises(errors.BackendError, match="an object with run and close, not"):
        Upscaler(small_network(), backend=bad)


@pytest.mark.parametrize(
    ("gives", "found"),
    [
        (lambda y: y[..., 1:], r"float32 \[1, 1, 8, 7\]"),
        (lambda y: None, "object"),
        (lambda y: (y * 255).astype(np.uint8), "uint8"),
    ],
)
def test_what_a_backend_gives_is_checked(gives, found: str):
    with (
        Upscaler(small_network(), backend=Own(gives)) as upscaler,
        pytest.raises(errors.BackendError, match=rf"Own\.run gave {found}"),
    ):
        upscaler.upscale(noise(4, 4), scale=2)


def test_doubles_of_a_backend_are_taken():
    with Upscaler(zero_network(), backend=Own(lambda y: y.astype(np.float64))) as upscaler:
        assert upscaler.upscale(noise(4, 4), scale=2).dtype == np.uint8


def test_torch_keeps_its_number_of_threads():
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with Upscaler(small_network(), backend="torch", threads=1) as upscaler:
            assert torch.get_num_threads() == 3
            upscaler.upscale(noise(4, 4), scale=2)
            assert torch.get_num_threads() == 3
            list(upscaler.map([noise(4, 4)] * 4, scale=2))
            assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_torch_runs_on_the_threads_asked_for(monkeypatch: pytest.MonkeyPatch):
    import torch

    from vdsr.inference.backends.torch import TorchBackend

    seen = []
    forward = TorchBackend._forward

    def watched(self, *given):
        seen.append(torch.get_num_threads())
        return forward(self, *given)

    monkeypatch.setattr(TorchBackend, "_forward", watched)
    with Upscaler(small_network(), backend="torch", threads=5) as upscaler:
        upscaler.upscale(noise(4, 4), scale=2)
    assert seen == [5]


# Files and arrays


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("shape", [(70, 6), (5, 6, 2), (130, 6, 3), (5, 6, 4)])
def test_what_is_written_is_read_again(tmp_path: Path, shape, dtype: str, suffix: str):
    image = noise(*shape).astype(dtype) * (257 if dtype == "uint16" else 1)
    vdsr.write_image(tmp_path / f"a{suffix}", image)
    found = vdsr.read_image(tmp_path / f"a{suffix}")
    assert found.dtype == image.dtype
    assert np.array_equal(found, image)


def test_floats_are_written_as_they_are_or_rounded(tmp_path: Path):
    image = (noise(5, 6, 3) / 255).astype(np.float32)
    vdsr.write_image(tmp_path / "a.tif", image)
    assert np.array_equal(vdsr.read_image(tmp_path / "a.tif"), image)
    vdsr.write_image(tmp_path / "a.png", image)
    found = vdsr.read_image(tmp_path / "a.png")
    white = np.iinfo(found.dtype).max
    assert np.abs(found / white - image).max() <= 0.5 / white + 1e-6


def test_an_existing_file_stays(png: Path):
    with pytest.raises(errors.OutputError, match="exists already"):
        vdsr.write_image(png, noise(4, 4))
    assert vdsr.read_image(png).shape == (9, 7, 3)
    vdsr.write_image(png, Image.new("L", (3, 2)), overwrite=True)
    assert vdsr.read_image(png).shape == (2, 3)
    with pytest.raises(errors.UsageError, match=r"write_image\(goal, image\)"):
        vdsr.write_image(noise(4, 4), png)  # type: ignore[arg-type]


def test_measures_refuse_in_the_programs_own_words():
    plane = noise(9, 9).astype(np.float64)
    assert vdsr.psnr(plane, plane, data_range=255, border=1) == np.inf
    for call in (
        lambda: vdsr.psnr(plane, plane[1:], data_range=255, border=0),
        lambda: vdsr.ssim(plane, plane, data_range=255, border=0),
        lambda: vdsr.degrade(plane, 2),
        lambda: vdsr.imresize(plane),
        lambda: vdsr.imresize(plane, scale=0),
        lambda: vdsr.imresize(plane.astype(int), scale=2),
    ):
        with pytest.raises(errors.VdsrError):
            call()
    assert vdsr.degrade(plane[1:, 1:], 2).shape == (8, 8)


def test_the_package_has_a_logger_that_says_nothing_unasked(
    png: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO, "vdsr")
    with Upscaler(zero_network()) as upscaler:
        upscaler.upscale(png, tmp_path / "out.png", scale=2)
    said = [record.getMessage() for record in caplog.records]
    assert any("in fp32 on openvino" in text for text in said)
    assert any("out.png: 14x18 px" in text for text in said)
    code = "import vdsr, logging; logging.getLogger('vdsr.inference').warning('unasked')"
    assert run(code).stderr == ""


def test_pictures_that_fail_at_the_same_time_each_say_what_they_have(tmp_path: Path):
    kinds = (".png", ".jpg", ".webp", ".gif")
    paths = [tmp_path / f"{i}{kind}" for i in range(4) for kind in kinds]
    for i, path in enumerate(paths):
        vdsr.write_image(path, noise(150, 150, 3, seed=i))
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])

    def said(path: Path) -> str:
        with pytest.raises(errors.InputError) as caught:
            vdsr.read_image(path)
        return str(caught.value)

    alone = [said(path) for path in paths]
    assert len({text.partition(": ")[2] for text in alone}) == len(kinds)
    for _ in range(3):
        with ThreadPoolExecutor(12) as pool:
            assert list(pool.map(said, paths)) == alone
