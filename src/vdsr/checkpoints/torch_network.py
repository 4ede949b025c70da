"""From an unpickled checkpoint to the tensors of the network in it.

A checkpoint is a `state_dict`, a whole module, or a dictionary with one of them
under one of a few usual names. Everything here is made of the inert objects of
`torch_pickle`; tensors get the names that PyTorch's `Module.state_dict` gives them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from vdsr.checkpoints.stored_tensors import DTYPES, Buffer, StoredTensor, shown
from vdsr.checkpoints.torch_names import Global, Kind
from vdsr.checkpoints.torch_pickle import Instance, StorageId
from vdsr.errors import CheckpointError

OpenStorage = Callable[[StorageId], Buffer]

# Where programs put the network among the other things of a checkpoint.
_WRAPPERS = (
    "state_dict",
    "model_state_dict",
    "model",
    "params_ema",
    "params",
    "net",
    "network",
)
_MAX_WRAPPERS = 4
_MAX_VISITED = 10_000
_MAX_DEPTH = 32
_MAX_KEY = 200
_MAX_AXES = 8
_MAX_WRAPPINGS = 4
_NAMED = 5
_TENSORS = (Kind.REBUILD, Kind.OLD_TENSOR, Kind.PARAMETER, Kind.TYPED_REBUILD)
# The layers of torch.nn.modules that a chain of convolutions is made of.
_LAYERS = ("Conv2d", "ReLU", "Sequential", "ModuleList", "Identity")


def named_tensors(
    root: object, open_storage: OpenStorage, *, big_endian: bool
) -> dict[str, StoredTensor]:
    """The tensors of the network in a checkpoint.

    Args:
        root: what `Machine.load` gave.
        open_storage: gives the bytes of a whole storage.
        big_endian: byte order of the storages.

    Returns:
        Tensors by name, in the order of the file; none of them has been read.

    Raises:
        CheckpointError: if there is no network, or one that is not a chain of convolutions
            by the classes of its modules.
    """
    network = _unwrap(root)
    entries = _mapping(network) or {}
    found = _Walk().tensors(network, "", 0) if _is_module(network) else entries.items()
    tensors: dict[str, StoredTensor] = {}
    for name, value in found:
        if isinstance(name, str) and isinstance(value, Instance) and value.origin.kind in _TENSORS:
            try:
                tensors[name] = _stored(_parts_of(value), open_storage, big_endian)
            except CheckpointError as error:
                raise CheckpointError(f"tensor {shown(name)}: {error}") from error
    if not tensors:
        names = ", ".join(shown(str(name)) for name in list(entries)[:_NAMED])
        raise CheckpointError(f"it holds no network's tensors (it holds: {names or 'nothing'})")
    return tensors


def _unwrap(root: object) -> object:
    """The module or state dictionary inside of a checkpoint's outer dictionaries."""
    for _ in range(_MAX_WRAPPERS):
        entries = _mapping(root) or {}
        inner = [entries[name] for name in _WRAPPERS if name in entries]
        networks = [value for value in inner if _is_module(value) or _mapping(value)]
        if not networks:
            break
        root = networks[0]
    return root


def _mapping(value: object) -> dict[object, object] | None:
    if isinstance(value, Instance) and value.origin.kind is Kind.MAPPING:
        return value.items
    return value if isinstance(value, dict) else None


def _is_module(value: object) -> bool:
    return isinstance(value, Instance) and value.origin.kind is Kind.MODULE


class _Walk:
    """Visits a tree of modules; a tree that contains itself must come to an end."""

    def __init__(self) -> None:
        self._visited = 0

    def tensors(self, module: object, prefix: str, depth: int) -> Iterator[tuple[str, object]]:
        """Names and contents of `_parameters` and `_buffers`, this module's first."""
        if not isinstance(module, Instance) or not isinstance(module.state, dict):
            raise CheckpointError(f"its module '{shown(prefix)}' has no contents")
        _check_layer(module.origin.name, module.state, prefix)
        for group in ("_parameters", "_buffers"):
            for key, value in self._entries(module.state.get(group), depth):
                yield prefix + key, value
        for key, child in self._entries(module.state.get("_modules"), depth):
            if child is not None:
                yield from self.tensors(child, f"{prefix}{key}.", depth + 1)

    def _entries(self, group: object, depth: int) -> Iterator[tuple[str, object]]:
        for key, value in (_mapping(group) or {}).items():
            self._visited += 1
            if depth > _MAX_DEPTH or self._visited > _MAX_VISITED:
                raise CheckpointError("its modules are nested too deeply or are too many")
            if not isinstance(key, str) or len(key) > _MAX_KEY:
                raise CheckpointError("its modules have malformed names")
            yield key, value


def _check_layer(class_name: str, state: dict[object, object], prefix: str) -> None:
    path, _, name = class_name.rpartition(".")
    if path.startswith("torch.nn.modules.") and name not in _LAYERS:
        raise CheckpointError(
            f"its layer {shown(prefix.rstrip('.'))} is a {shown(name)}; "
            "a VDSR or SRCNN has only Conv2d and ReLU"
        )
    plain = {"stride": (1, 1), "dilation": (1, 1), "groups": 1, "padding_mode": "zeros"}
    for key, value in plain.items():
        if name == "Conv2d" and state.get(key, value) != value:
            raise CheckpointError(
                f"its layer {shown(prefix.rstrip('.'))} is a convolution whose {key} is not {value}"
            )


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """The arguments that PyTorch rebuilds a tensor from."""

    storage: object
    offset: object
    shape: object
    strides: object
    dtype: str | None = None


def _parts_of(value: object) -> _Parts:
    """What a tensor is made of, whatever it is wrapped in."""
    for _ in range(_MAX_WRAPPINGS):
        match value:
            case Instance(Global(kind=Kind.PARAMETER), (inner, *_)):
                value = inner
            case Instance(Global(kind=Kind.PARAMETER), (), (inner, _, _, _, _)):
                value = inner  # as the first versions wrote Variables
            case Instance(Global(kind=Kind.TYPED_REBUILD), (Global() as origin, _, tuple(args), _)):
                value = Instance(origin, args)
            case Instance(
                Global(name="torch._utils._rebuild_tensor_v3"),
                (storage, offset, shape, strides, _, _, Global(kind=Kind.DTYPE) as dtype, *_),
            ):
                return _Parts(
                    storage=storage,
                    offset=offset,
                    shape=shape,
                    strides=strides,
                    dtype=dtype.detail,
                )
            case Instance(
                Global(kind=Kind.REBUILD), (storage, offset, shape, strides, *_)
            ) | Instance(Global(kind=Kind.OLD_TENSOR), _, (storage, offset, shape, strides)):
                return _Parts(storage=storage, offset=offset, shape=shape, strides=strides)
            case _:
                break
    raise CheckpointError("it is not made of a storage, a shape and strides")


def _stored(parts: _Parts, open_storage: OpenStorage, big_endian: bool) -> StoredTensor:
    storage, offset = parts.storage, parts.offset
    shape, strides = _whole_numbers(parts.shape), _whole_numbers(parts.strides)
    if not isinstance(storage, StorageId) or not isinstance(offset, int):
        raise CheckpointError("it has no storage")
    if shape is None or strides is None or len(shape) != len(strides):
        raise CheckpointError("its shape or strides are damaged")
    size = int(DTYPES[storage.dtype][1:])

    def read() -> Buffer:
        data = memoryview(open_storage(storage))
        if storage.view is None:
            return data
        first, length = storage.view
        return data[first * size : (first + length) * size]

    return StoredTensor(
        dtype=parts.dtype or storage.dtype,
        shape=shape,
        strides=strides,
        offset=offset,
        storage=read,
        big_endian=big_endian,
    )


def _whole_numbers(value: object) -> tuple[int, ...] | None:
    if isinstance(value, Instance) and value.origin.kind is Kind.SIZE and value.args:
        value = value.args[0]
    if not isinstance(value, tuple | list) or len(value) > _MAX_AXES:
        return None
    if not all(isinstance(item, int) for item in value):
        return None
    return tuple(int(item) for item in value)
