"""Try calibrations, measure them on a real runtime, keep the best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from vdsr.errors import UsageError
from vdsr.inference import backends
from vdsr.model.file import ModelFile
from vdsr.model.metadata import ModelMetadata
from vdsr.model.onnx_writer import model_bytes
from vdsr.quantization.pictures import Pictures
from vdsr.quantization.quantizer import Quantized, quantize_variants
from vdsr.quantization.settings import QuantizationSettings
from vdsr.quantization.thresholds import METHODS

AUTO = "auto"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One calibration, measured.

    Attributes:
        quantized: the network.
        model: as a model file.
        psnr: on the validation pictures, `{"x2": 39.1, ...}` in dB.
        drop: what it lost to the float model, by scale, in dB.
    """

    quantized: Quantized
    model: ModelFile
    psnr: dict[str, float]
    drop: dict[str, float]

    @property
    def worst(self) -> float:
        """The largest loss at any scale, in dB."""
        return max(self.drop.values())


def trials(
    model: ModelFile,
    pictures: Pictures,
    settings: Sequence[QuantizationSettings],
    *,
    name: str | None = None,
    backend: str = "auto",
    done: Callable[[Trial], None] = lambda trial: None,
) -> tuple[Trial, ...]:
    """Quantize a model with several settings.

    Args:
        model: a model file in float.
        pictures: to calibrate and measure on.
        settings: share `equalize`, `split` and `keep_float`.
        name: of the int8 model; its float model's name and `-int8` if None.
        backend: what int8 and float are measured on.
        done: called after each.

    Returns:
        One for every setting, best first: least loss at the worst scale.

    Raises:
        UsageError: if the model is in int8 already, or a layer is not there.
        VdsrError: if a layer has no scale.
    """
    if model.metadata.precision == "int8":
        raise UsageError(f"{model.source}: it is in int8 already: quantize the float model")
    name = name or f"{model.metadata.name}-int8"
    networks = quantize_variants(model.architecture, pictures.patches, settings)
    exact = _measure(model, pictures, backend, "fp32")
    found = []
    for quantized in networks:
        result = _file(model, quantized, pictures, name)
        psnr = _measure(result, pictures, backend, "int8")
        drop = {scale: exact[scale] - value for scale, value in psnr.items()}
        # What the file says of its quality is known only now.
        calibration = {**result.metadata.calibration, "psnr_drop": round(max(drop.values()), 4)}
        result = _written(quantized, replace(result.metadata, calibration=calibration))
        found.append(Trial(quantized=quantized, model=result, psnr=psnr, drop=drop))
        done(found[-1])
    return tuple(sorted(found, key=lambda trial: trial.worst))


def settings_to_try(
    settings: QuantizationSettings, method: str
) -> tuple[QuantizationSettings, ...]:
    """The settings to try: with `method`, or with all for `auto`."""
    methods = METHODS if method == AUTO else (method,)
    return tuple(replace(settings, method=one) for one in methods)


def failure(best: Trial, most: float) -> str | None:
    """Why a network does not pass, in words: it loses more than `most` dB at some scale.

    Returns:
        None if it passes.
    """
    # What is not a number, which infinite outputs give, does not pass, either.
    if best.worst <= most:
        return None
    scale = max(best.drop, key=lambda name: best.drop[name])
    return (
        f"int8 by {best.quantized.settings.method} loses {best.worst:.4f} dB at {scale}, and"
        f" {most:g} may be lost"
    )


def _file(model: ModelFile, quantized: Quantized, pictures: Pictures, name: str) -> ModelFile:
    settings = quantized.settings
    metadata = replace(
        model.metadata,
        name=name,
        precision="int8",
        psnr={},
        source=model.digest,
        calibration={
            "method": settings.method,
            "weight_bits": settings.weight_bits,
            "equalize": settings.equalize,
            "pictures": len(pictures.names),
            "pixels": quantized.pixels,
            "table": quantized.digest,
        },
    )
    return _written(quantized, metadata)


def _written(quantized: Quantized, metadata: ModelMetadata) -> ModelFile:
    data = model_bytes(quantized.architecture, metadata, quantized=quantized.layers)
    return ModelFile(data, metadata.name)


def _measure(
    model: ModelFile, pictures: Pictures, backend: str, precision: str
) -> dict[str, float]:
    network = backends.open_backend(model, backends.choose(model, backend, precision))
    try:
        return pictures.validation.measure(network.run)
    finally:
        network.close()
