"""Optional packages: which extra brings which, and what is missing of them."""

from __future__ import annotations

import importlib.util

from vdsr.errors import MissingExtra

# By the name they are imported by: what they are called in an index, and the extra.
PACKAGES = {
    "onnx": ("onnx", "models"),
    "safetensors": ("safetensors", "models"),
    "onnxruntime": ("onnxruntime", "onnxruntime"),
    "torch": ("torch", "train"),
    "pytorch_lightning": ("pytorch-lightning", "train"),
    "tensorboard": ("tensorboard", "train"),
    "PIL": ("pillow", "train"),
    "cv2": ("opencv-python-headless", "evaluate"),
    "ncnn": ("ncnn", "export"),
    "pnnx": ("pnnx", "export"),
    "av": ("av", "video"),
    "fastapi": ("fastapi", "serve"),
    "uvicorn": ("uvicorn", "serve"),
    "python_multipart": ("python-multipart", "serve"),
    "sse_starlette": ("sse-starlette", "serve"),
    "prometheus_client": ("prometheus-client", "serve"),
    "ray": ("ray", "cluster"),
    "pandas": ("pandas", "cluster-train"),
    "pyarrow": ("pyarrow", "cluster-train"),
    "pydantic": ("pydantic", "cluster-train"),
    "grpc_reflection": ("grpcio-reflection", "cluster"),
    "obstore": ("obstore", "cluster"),
}


def require(*modules: str) -> None:
    """Check that packages are installed, without importing them.

    Args:
        modules: names of `PACKAGES`.

    Raises:
        MissingExtra: that names all that are not, and the extras that bring them.
    """
    missing = [PACKAGES[name] for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        packages = ", ".join(package for package, _ in missing)
        raise MissingExtra(packages, ",".join(sorted({extra for _, extra in missing})))
