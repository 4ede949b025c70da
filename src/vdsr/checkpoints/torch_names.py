"""The names that a checkpoint of a network's weights may ask for.

Python's pickles name classes and functions, and whoever writes the file chooses
the names. Here a name is looked up in a closed list and becomes a `Global`, which
can do nothing: no module is imported, no attribute is followed.

The list is what PyTorch 0.1 to 2.13 writes to describe tensors and modules
(`torch/serialization.py`, `torch/_utils.py`, `torch/_tensor.py`), and the classes
of the public implementation pytorch-vdsr, which was saved as a whole object.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

from vdsr.checkpoints.stored_tensors import shown
from vdsr.errors import CheckpointError


class Kind(Enum):
    """What a name stands for."""

    STORAGE = auto()  # the type of a storage; `detail` is its dtype
    DTYPE = auto()  # `detail` is the dtype
    REBUILD = auto()  # called with (storage, offset, shape, strides, ...)
    OLD_TENSOR = auto()  # its state is (storage, offset, shape, strides)
    PARAMETER = auto()  # a tensor's wrapper: first argument, or else first of its state
    TYPED_REBUILD = auto()  # called with (function, type, arguments, state)
    SIZE = auto()  # called with (shape,)
    MAPPING = auto()
    MODULE = auto()
    RECONSTRUCTOR = auto()  # called with (class, base, state): an instance of the class
    INERT = auto()  # kept, but of no interest


@dataclass(frozen=True, eq=False)
class Global:
    """A class or function that a file names; nothing but its name is ever used."""

    name: str
    kind: Kind
    detail: str = ""


_STORAGE_TYPES = {
    "Double": "float64",
    "Float": "float32",
    "Half": "float16",
    "BFloat16": "bfloat16",
    "Long": "int64",
    "Int": "int32",
    "Short": "int16",
    "Char": "int8",
    "Byte": "uint8",
    "Bool": "bool",
}

_EXACT = {
    Kind.REBUILD: (
        "torch._utils._rebuild_tensor",
        "torch._utils._rebuild_tensor_v2",
        "torch._utils._rebuild_tensor_v3",
    ),
    Kind.PARAMETER: (
        "torch._utils._rebuild_parameter",
        "torch._utils._rebuild_parameter_with_state",
        "torch.nn.parameter.Parameter",
        "torch.autograd.variable.Variable",
    ),
    Kind.TYPED_REBUILD: ("torch._tensor._rebuild_from_type_v2",),
    Kind.SIZE: ("torch.Size",),
    Kind.MAPPING: ("collections.OrderedDict",),
    Kind.MODULE: (
        "vdsr.Net",
        "vdsr.Conv_ReLU_Block",
        "__main__.Net",
        "__main__.Conv_ReLU_Block",
        "torch.nn.parallel.data_parallel.DataParallel",
    ),
    Kind.RECONSTRUCTOR: ("copyreg._reconstructor", "copy_reg._reconstructor"),
    Kind.INERT: (
        "builtins.object",
        "builtins.set",
        "__builtin__.object",
        "__builtin__.set",
        "torch.Tensor",
        "torch._tensor.Tensor",
        "torch.device",
        "torch.nn.backends.thnn._get_thnn_function_backend",
    ),
}


def _allowed() -> dict[str, Global]:
    found = [Global(name, kind) for kind, names in _EXACT.items() for name in names]
    found += [Global(f"torch.{t}", Kind.DTYPE, t) for t in _STORAGE_TYPES.values()]
    for module in ("torch", "torch.cuda"):
        for name, dtype in _STORAGE_TYPES.items():
            found.append(Global(f"{module}.{name}Storage", Kind.STORAGE, dtype))
            found.append(Global(f"{module}.{name}Tensor", Kind.OLD_TENSOR))
    for module in ("torch", "torch.storage"):
        for name in ("UntypedStorage", "_UntypedStorage"):
            found.append(Global(f"{module}.{name}", Kind.STORAGE, "uint8"))
    return {entry.name: entry for entry in found}


_ALLOWED = _allowed()
_MODULE_PATH = re.compile(r"torch\.nn\.modules\.[a-z][a-z0-9_]*")
_CLASS_NAME = re.compile(r"_?[A-Z][A-Za-z0-9_]*")


def find_class(module: str, name: str) -> Global:
    """The inert stand-in for a name.

    Allowed are the names listed above and plain classes of `torch.nn.modules.*`.

    Args:
        module: the module that the file asks for.
        name: the name in it, without a dot.

    Raises:
        CheckpointError: for every other name.
    """
    full = f"{module}.{name}"
    if "." not in name and full in _ALLOWED:
        return _ALLOWED[full]
    if _MODULE_PATH.fullmatch(module) and _CLASS_NAME.fullmatch(name):
        return Global(full, Kind.MODULE)
    raise CheckpointError(
        f"it asks for {shown(full)}, which is not part of a network's weights; nothing was run "
        "(is it a network class of your own? save its state_dict())"
    )
