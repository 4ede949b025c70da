"""Building a TensorRT engine from ONNX, where TensorRT is installed.

The calls are those of https://docs.nvidia.com/deeplearning/tensorrt (Python API, versions
8.6 to 10).
"""

from __future__ import annotations

from typing import Any

from vdsr.errors import BackendError

Shape = tuple[int, int, int, int]


def build_engine(data: bytes, *, half: bool, shapes: tuple[Shape, Shape, Shape] | None) -> bytes:
    """Build an engine for the GPU of this machine.

    Args:
        data: an ONNX file with the input `input`.
        half: whether it is in halves.
        shapes: least, best and largest input shape; None for a file of one shape.

    Returns:
        The serialized engine.

    Raises:
        BackendError: if TensorRT refuses the file, or cannot build.
    """
    import tensorrt

    logger = tensorrt.Logger(tensorrt.Logger.WARNING)
    builder = tensorrt.Builder(logger)
    flags = tensorrt.NetworkDefinitionCreationFlag
    # The types of the ONNX file are kept where this version can: the residual in float32.
    typed = hasattr(flags, "STRONGLY_TYPED")
    network = builder.create_network(
        1 << int(flags.STRONGLY_TYPED if typed else flags.EXPLICIT_BATCH)
    )
    parser = tensorrt.OnnxParser(network, logger)
    if not parser.parse(data):
        errors = "; ".join(str(parser.get_error(i)) for i in range(parser.num_errors))
        raise BackendError(f"TensorRT refuses the ONNX file: {errors}")
    config = builder.create_builder_config()
    # TF32 has 10 bits of mantissa: fp32 would not be fp32.
    config.clear_flag(tensorrt.BuilderFlag.TF32)
    if half and not typed:
        config.set_flag(tensorrt.BuilderFlag.FP16)
    if shapes is not None:
        profile = builder.create_optimization_profile()
        profile.set_shape("input", *shapes)
        config.add_optimization_profile(profile)
    engine: Any = builder.build_serialized_network(network, config)
    if engine is None:
        raise BackendError("TensorRT could not build the engine; its messages are above")
    return bytes(engine)
