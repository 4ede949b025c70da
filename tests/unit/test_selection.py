"""What `auto` stands for: int8 where the processor is faster in it."""

from __future__ import annotations

import numpy as np
import pytest

from networks import small_network
from vdsr.errors import BackendError
from vdsr.imaging.files import FORMATS, PictureWriter, PixelLayout
from vdsr.inference import backends, cpu
from vdsr.inference.selection import int8_notice, select
from vdsr.inference.upscaler import Upscaler
from vdsr.model.file import ModelFile, load_model


@pytest.fixture
def faster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "int8_instructions", lambda: ("AVX-512 VNNI",))


@pytest.mark.usefixtures("faster")
@pytest.mark.parametrize(
    ("backend", "precision", "name", "chosen"),
    [
        ("openvino", "auto", "vdsr-int8", "int8"),
        ("onnxruntime", "auto", "vdsr-int8", "int8"),
        ("torch", "auto", "vdsr", "fp32"),
        ("openvino", "fp32", "vdsr", "fp32"),
        ("openvino", "int8", "vdsr-int8", "int8"),
    ],
)
def test_a_shipped_model_stands_for_its_int8_form(
    backend: str, precision: str, name: str, chosen: str
):
    model, choice = select("vdsr", backend, precision)
    assert (model.metadata.name, choice) == (
        name,
        backends.Choice(backend=backend, precision=chosen),
    )


def test_without_integer_instructions_auto_stays_in_float(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cpu, "int8_instructions", tuple)
    assert select("vdsr")[1].precision == "fp32"
    assert select("vdsr", precision="int8")[1].precision == "int8"


@pytest.mark.usefixtures("faster")
def test_a_model_file_is_what_it_is(tmp_path):
    path = tmp_path / "vdsr.onnx"
    path.write_bytes(load_model("vdsr").data)
    model, choice = select(path)
    assert (model.metadata.name, choice.precision) == ("vdsr", "fp32")
    assert select(str(path))[1].precision == "fp32"
    with pytest.raises(BackendError, match="holds fp32 weights, not int8"):
        select(path, precision="int8")
    small = small_network()
    assert select(small)[0] is small
    with pytest.raises(BackendError, match="holds int8 weights, not fp32"):
        select("vdsr-int8", precision="fp32")


def test_the_int8_form_is_of_the_shipped_float_model():
    floats, integers = load_model("vdsr"), load_model("vdsr-int8")
    assert integers.metadata.source == floats.digest
    assert integers.metadata.version == floats.metadata.version
    assert integers.metadata.licence == floats.metadata.licence
    assert integers.metadata.calibration["psnr_drop"] <= 0.02


def test_8_bit_weights_are_warned_of_where_they_saturate(monkeypatch: pytest.MonkeyPatch, tmp_path):
    integers = load_model("vdsr-int8")
    monkeypatch.setattr(cpu, "int8_saturates", lambda: False)
    assert int8_notice(integers) is None
    monkeypatch.setattr(cpu, "int8_saturates", lambda: True)
    assert int8_notice(load_model("vdsr")) is None
    assert "quantize --target avx2" in (int8_notice(integers) or "")
    layout = PixelLayout(width=8, height=8, bands=1, dtype="uint8")
    with PictureWriter(tmp_path / "a.png", layout, FORMATS["png"]) as writer:
        writer.write(np.zeros((8, 8, 1), np.uint8))
    with Upscaler(integers) as upscaler:
        result = upscaler.upscale(tmp_path / "a.png", tmp_path / "b.png", scale=2)
    assert any("no VNNI" in notice for notice in result.notices)


def test_the_notice_is_not_for_7_bits(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cpu, "int8_saturates", lambda: True)
    integers = load_model("vdsr-int8")
    # A frozen dataclass: its mapping is replaced for this one test.
    calibration = {**integers.metadata.calibration, "weight_bits": 7}
    other = ModelFile(integers.data, "seven")
    object.__setattr__(other.metadata, "calibration", calibration)
    assert int8_notice(other) is None


CPUINFO = """\
processor\t: 0
model name\t: A Processor @ 2.00GHz
flags\t\t: fpu sse2 avx2 {}
"""


@pytest.mark.parametrize(
    ("flags", "fast", "saturates"),
    [
        ("avx512f avx512_vnni", ("AVX-512 VNNI",), False),
        ("avx_vnni", ("AVX VNNI",), False),
        ("avx512f", (), True),
        ("", (), True),
    ],
)
def test_the_processor_is_read_from_its_flags(
    monkeypatch: pytest.MonkeyPatch, tmp_path, flags: str, fast: tuple[str, ...], saturates: bool
):
    path = tmp_path / "cpuinfo"
    path.write_text(CPUINFO.format(flags), "utf-8")
    monkeypatch.setattr(cpu, "_CPUINFO", path)
    monkeypatch.setattr(cpu.platform, "machine", lambda: "x86_64")
    assert cpu.name() == "A Processor @ 2.00GHz"
    assert "AVX2" in cpu.instructions()
    assert (cpu.int8_instructions(), cpu.int8_saturates()) == (fast, saturates)


def test_without_cpuinfo_numpy_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path):
    monkeypatch.setattr(cpu, "_CPUINFO", tmp_path / "none")
    assert isinstance(cpu.instructions(), tuple)
    monkeypatch.setattr(cpu, "_numpy_features", lambda: {"AVX512_CLX"})
    assert cpu.int8_instructions() == ("AVX-512 VNNI",)
