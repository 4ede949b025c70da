"""Checkpoints of other programs, read into a chain of convolutions.

Read are safetensors and what `torch.save` writes: zip and legacy files, state
dictionaries and whole modules, from PyTorch 0.1 on. Needed is neither PyTorch nor
the author's class, and nothing in the file is run (see `torch_pickle`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from vdsr.checkpoints.stored_tensors import FLOATS, StoredTensor, contiguous_strides, shown
from vdsr.checkpoints.torch_file import read_legacy, read_zip
from vdsr.errors import CheckpointError, InputError, MissingExtra, ModelError
from vdsr.inputs import read_file
from vdsr.model.architecture import Architecture, Layer, shape_of

# Far above any network of this kind with all that its training left beside it: that of the
# paper has 0.7 million parameters.
MAX_BYTES = 256 << 20
MAX_PARAMETERS = 32 << 20

_MAX_SAFETENSORS_HEADER = 4 << 20

_SAFETENSORS_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}
_VDSR_MIN_DEPTH = 4
_HEAD = 9
_NAMED = 6
_DIGITS = re.compile("[0-9]+")
_PARALLEL_PREFIX = re.compile(r"^(module\.)+")


def read_checkpoint(path: str | Path, residual: bool | None = None) -> Architecture:
    """Read the layers of a VDSR or SRCNN from a checkpoint, without running code in it.

    Every tensor with four axes, `[out, in, k, k]`, is taken for a convolution, with
    the `bias` beside it if there is one. Layers whose names differ by numbers alone come in
    the order of these; else the layer that takes the planes of a picture comes first, the
    one that gives them last, the others by name. The number of these channels says fold
    and planes (`vdsr.model.architecture.shape_of`), in the order of torch's
    `pixel_unshuffle`.

    Args:
        path: a safetensors file, or one that `torch.save` wrote.
        residual: whether the network adds its input to its output; None: yes if all
            kernels are 3x3 and there are more than 3 layers (VDSR), else no (SRCNN).

    Returns:
        The chain, weights in float32.

    Raises:
        CheckpointError: if the file cannot be read, is damaged or of another kind, asks
            for code to be run, or holds anything but a chain of convolutions.
        MissingExtra: if it is a safetensors file and safetensors is not installed.
    """
    path = Path(path)
    try:
        layers = _layers(_read_tensors(path))
        if residual is None:
            residual = len(layers) >= _VDSR_MIN_DEPTH and all(la.kernel == 3 for la in layers)
        fold, planes = shape_of(layers[0].in_channels) or (1, 1)
        return Architecture(layers=layers, residual=residual, fold=fold, planes=planes)
    except (CheckpointError, ModelError) as error:
        raise CheckpointError(f"{path}: {error}") from error


def _read_tensors(path: Path) -> dict[str, StoredTensor]:
    try:
        data = read_file(path, MAX_BYTES)
    except InputError as error:
        raise CheckpointError(f"the checkpoint cannot be read: {error}") from error
    return _reader_of(data[:_HEAD])(data)


def _reader_of(head: bytes) -> Callable[[bytes], dict[str, StoredTensor]]:
    if not head:
        raise CheckpointError("it is empty")
    # A safetensors header is shorter than 4 GiB, and its length may begin like a pickle.
    if head[4:] == b"\0\0\0\0{":
        return _read_safetensors
    if head.startswith(b"PK\x03\x04"):
        return read_zip
    if head.startswith(b"\x80"):
        return read_legacy
    raise CheckpointError("it is neither a safetensors file nor one that torch.save wrote")


def _read_safetensors(data: bytes) -> dict[str, StoredTensor]:
    # Format: https://huggingface.co/docs/safetensors. safetensors.numpy has no bfloat16.
    try:
        import safetensors
    except ImportError as error:
        raise MissingExtra("safetensors", "models") from error
    if int.from_bytes(data[:8], "little") > _MAX_SAFETENSORS_HEADER:
        raise CheckpointError("it is a damaged safetensors file: its header is too long")
    deserialize: Callable[[bytes], list[tuple[str, dict[str, Any]]]] = safetensors.deserialize
    try:
        entries = deserialize(data)
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"it is a damaged safetensors file: {shown(str(error))}") from error
    return {name: _safetensor(entry) for name, entry in entries}


def _safetensor(entry: dict[str, Any]) -> StoredTensor:
    shape = tuple(int(length) for length in entry["shape"])
    data = memoryview(entry["data"])
    return StoredTensor(
        dtype=_SAFETENSORS_DTYPES.get(entry["dtype"], entry["dtype"]),
        shape=shape,
        strides=contiguous_strides(shape),
        offset=0,
        storage=lambda: data,
    )


def _layers(tensors: Mapping[str, StoredTensor]) -> tuple[Layer, ...]:
    tensors = _plain_names(tensors)
    weights = [name for name, t in tensors.items() if len(t.shape) == 4 and t.dtype in FLOATS]
    biases = {name: bias for name in weights if (bias := _bias_of(name, tensors)) is not None}
    _refuse_others(tensors, {*weights, *biases.values()})
    if not weights:
        raise CheckpointError("it holds no weights of convolutions")
    # Tensors may share a storage, so that the file's size does not bound theirs.
    if sum(tensors[name].size for name in (*weights, *biases.values())) > MAX_PARAMETERS:
        raise CheckpointError("its tensors are larger than any network of this kind")
    return tuple(_layer(tensors, name, biases.get(name)) for name in _in_order(tensors, weights))


def _plain_names(tensors: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
    """Names without the `module.` that DataParallel puts before them."""
    plain: dict[str, StoredTensor] = {}
    for name, tensor in tensors.items():
        short = _PARALLEL_PREFIX.sub("", name)
        if short in plain:
            raise CheckpointError(f"it holds {shown(short)} twice, with and without 'module.'")
        plain[short] = tensor
    return plain


def _bias_of(weight: str, tensors: Mapping[str, StoredTensor]) -> str | None:
    if weight.rpartition(".")[2] != "weight":
        return None
    name = weight.removesuffix("weight") + "bias"
    tensor = tensors.get(name)
    return (
        name if tensor is not None and len(tensor.shape) == 1 and tensor.dtype in FLOATS else None
    )


def _refuse_others(tensors: Mapping[str, StoredTensor], used: Collection[str]) -> None:
    counters = [name for name, t in tensors.items() if not t.shape and t.dtype not in FLOATS]
    others = [shown(name) for name in tensors if name not in used and name not in counters]
    if others:
        names = ", ".join(others[:_NAMED]) + (", ..." if len(others) > _NAMED else "")
        raise CheckpointError(
            f"it is not a plain chain of convolutions; no place for {len(others)} tensors: {names}"
        )


def _in_order(tensors: Mapping[str, StoredTensor], weights: list[str]) -> list[str]:
    weights = sorted(weights, key=_natural)
    taken, given = ({tensors[name].shape[axis] for name in weights} for axis in (1, 0))
    ends = sorted(count for count in taken & given if shape_of(count) is not None)
    if not ends:
        raise CheckpointError(
            "its first layer does not take, or its last does not give, one channel (luma), or as"
            " many as a folded network or one of Y, Cb, Cr has: no other can be imported"
        )
    if len(weights) == 1 or len({_DIGITS.sub("#", name) for name in weights}) == 1:
        return weights
    first = [name for name in weights if tensors[name].shape[1] == ends[0]]
    last = [name for name in weights if tensors[name].shape[0] == ends[0]]
    if len(first) > 1 or len(last) > 1 or first == last:
        names = ", ".join(shown(name) for name in sorted({*first, *last}))
        channels = "one channel" if ends[0] == 1 else f"{ends[0]} channels"
        raise CheckpointError(f"the order of its layers cannot be told: {channels} in {names}")
    middle = [name for name in weights if name not in (first[0], last[0])]
    return [first[0], *middle, last[0]]


def _natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts `a.2` before `a.10`; text and numbers alternate."""
    pieces = _DIGITS.split(name)
    numbers = (number.lstrip("0") for number in _DIGITS.findall(name))
    ordered: list[tuple[int, str]] = [(0, pieces[0])]
    for number, text in zip(numbers, pieces[1:], strict=True):
        ordered += [(len(number), number), (0, text)]
    return ordered


def _layer(tensors: Mapping[str, StoredTensor], weight: str, bias: str | None) -> Layer:
    name = weight
    try:
        values = tensors[weight].to_float32()
        if bias is None:
            return Layer(weight=values)
        name = bias
        return Layer(weight=values, bias=tensors[bias].to_float32())
    except (CheckpointError, ModelError) as error:
        raise CheckpointError(f"tensor {shown(name)}: {error}") from error
