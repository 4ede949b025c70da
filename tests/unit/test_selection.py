"""What `auto` stands for: int8 where the processor is faster in it."""

from __future__ import annotations

import numpy as np
import pytest

from networks import int8_network, small_network
from vdsr.errors import BackendError
from vdsr.imaging.files import FORMATS, PictureWriter, PixelLayout
from vdsr.inference import backends, cpu
from vdsr.inference.selection import int8_form, int8_notice, select
from vdsr.inference.upscaler import Upscaler
from vdsr.model.file import load_model, shipped_models


def kind(
    monkeypatch: pytest.MonkeyPatch, *, machine: str = "x86_64", flags: tuple[str, ...] = ()
) -> None:
    """Have the processor be one of this kind."""
    monkeypatch.setattr(cpu.platform, "machine", lambda: machine)
    monkeypatch.setattr(cpu, "instructions", lambda: flags)


@pytest.fixture
def faster(monkeypatch: pytest.MonkeyPatch) -> None:
    kind(monkeypatch, flags=("AVX2",))


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


@pytest.mark.parametrize(
    ("machine", "flags", "backend", "precision"),
    [
        ("AMD64", ("AVX2",), "openvino", "int8"),
        ("x86_64", ("AVX2", "AVX-512", "AVX-512 VNNI"), "openvino", "int8"),
        ("x86_64", (), "openvino", "int8"),
        ("x86_64", ("AVX2",), "onnxruntime", "int8"),
        ("x86_64", (), "onnxruntime", "fp32"),
        ("arm64", ("NEON dot product",), "openvino", "fp32"),
        ("aarch64", ("NEON dot product",), "onnxruntime", "fp32"),
    ],
)
def test_auto_is_int8_where_it_was_measured_to_be_faster(
    monkeypatch: pytest.MonkeyPatch,
    machine: str,
    flags: tuple[str, ...],
    backend: str,
    precision: str,
):
    kind(monkeypatch, machine=machine, flags=flags)
    assert select("vdsr", backend)[1].precision == precision
    assert select("vdsr", backend, precision="int8")[1].precision == "int8"
    assert select("vdsr", backend, precision="fp32")[1].precision == "fp32"


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


@pytest.mark.parametrize("name", [n for n in shipped_models() if int8_form(n) is not None])
def test_the_int8_form_is_of_the_shipped_float_model(name: str):
    floats, integers = load_model(name), load_model(f"{name}-int8")
    assert integers.metadata.source == floats.digest
    assert integers.metadata.version == floats.metadata.version
    assert integers.metadata.license == floats.metadata.license
    assert integers.metadata.calibration["psnr_drop"] <= 0.02


def test_8_bit_weights_are_warned_of_where_they_saturate(monkeypatch: pytest.MonkeyPatch, tmp_path):
    integers = int8_network()
    assert (integers.largest_integer, integers.weight_bits) == (127, 8)
    monkeypatch.setattr(cpu, "int8_saturates", lambda: False)
    assert int8_notice(integers) is None
    monkeypatch.setattr(cpu, "int8_saturates", lambda: True)
    assert int8_notice(load_model("vdsr")) is None
    assert "quantize --target any" in (int8_notice(integers) or "")
    layout = PixelLayout(width=8, height=8, bands=1, dtype="uint8")
    with PictureWriter(tmp_path / "a.png", layout, FORMATS["png"]) as writer:
        writer.write(np.zeros((8, 8, 1), np.uint8))
    with Upscaler(integers) as upscaler:
        result = upscaler.upscale(tmp_path / "a.png", tmp_path / "b.png", scale=2)
    assert any("no VNNI" in notice for notice in result.notices)


def test_the_shipped_integers_saturate_nowhere(monkeypatch: pytest.MonkeyPatch):
    integers = load_model("vdsr-int8")
    assert (integers.weight_bits, integers.metadata.calibration["weight_bits"]) == (7, 7)
    assert integers.largest_integer == 63
    monkeypatch.setattr(cpu, "int8_saturates", lambda: True)
    assert int8_notice(integers) is None
    # Any two products fit in 16 bits.
    assert 2 * 255 * integers.largest_integer < 2**15


CPUINFO = """\
processor\t: 0
model name\t: A Processor @ 2.00GHz
flags\t\t: fpu sse2 avx2 {}
"""


@pytest.mark.parametrize(
    ("flags", "fast"),
    [
        ("avx512f avx512_vnni", ("AVX-512 VNNI",)),
        ("avx_vnni", ("AVX VNNI",)),
        ("avx512f", ()),
        ("", ()),
    ],
)
def test_the_processor_is_read_from_its_flags(
    monkeypatch: pytest.MonkeyPatch, tmp_path, flags: str, fast: tuple[str, ...]
):
    path = tmp_path / "cpuinfo"
    path.write_text(CPUINFO.format(flags), "utf-8")
    monkeypatch.setattr(cpu, "_CPUINFO", path)
    for variable in cpu.LIMIT_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    assert cpu.name() == "A Processor @ 2.00GHz"
    assert "AVX2" in cpu.instructions()
    assert cpu.int8_instructions() == fast
    monkeypatch.setenv("DNNL_MAX_CPU_ISA", "avx2")
    assert (cpu.limit(), cpu.instructions()) == ("AVX2", ("AVX2",))
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "SSE41")
    assert (cpu.limit(), cpu.instructions()) == ("SSE41", ())
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "DEFAULT")
    assert (cpu.limit(), cpu.int8_instructions()) == (None, fast)


@pytest.mark.parametrize(
    ("machine", "flags", "saturates", "name"),
    [
        ("x86_64", ("AVX2", "AVX-512 VNNI"), False, "VNNI"),
        ("AMD64", ("AVX2",), True, "AVX2 without VNNI"),
        ("x86_64", (), True, "without AVX2"),
        ("arm64", (), False, "arm64"),
        ("", (), False, "unknown"),
    ],
)
def test_kinds_of_processors(
    monkeypatch: pytest.MonkeyPatch,
    machine: str,
    flags: tuple[str, ...],
    saturates: bool,
    name: str,
):
    kind(monkeypatch, machine=machine, flags=flags)
    monkeypatch.setattr(cpu, "int8_saturates", lambda: saturates)
    assert cpu.kind() == name


def test_without_cpuinfo_numpy_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path):
    monkeypatch.setattr(cpu, "_CPUINFO", tmp_path / "none")
    assert isinstance(cpu.instructions(), tuple)
    for variable in cpu.LIMIT_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(cpu, "_numpy_features", lambda: {"AVX512_CLX"})
    assert cpu.int8_instructions() == ("AVX-512 VNNI",)


def test_a_mac_says_its_name_and_its_instructions(monkeypatch: pytest.MonkeyPatch, tmp_path):
    monkeypatch.setattr(cpu, "_CPUINFO", tmp_path / "none")
    monkeypatch.setattr(cpu, "_numpy_features", set)
    monkeypatch.setattr(cpu.sys, "platform", "darwin")
    monkeypatch.setattr(cpu.platform, "machine", lambda: "arm64")
    said = {"machdep.cpu.brand_string": "Apple M4", "hw.optional.arm.FEAT_DotProd": "1"}
    monkeypatch.setattr(cpu, "_sysctl", said.__getitem__)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert (cpu.name(), cpu.instructions(), cpu.kind()) == (
        "Apple M4",
        ("NEON dot product",),
        "arm64",
    )
    monkeypatch.setattr(cpu, "_sysctl", lambda name: "")
    assert (bool(cpu.name()), cpu.instructions()) == (True, ())
