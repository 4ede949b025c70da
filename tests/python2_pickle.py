"""Writes pickles as Python 2's cPickle did, and PyTorch's legacy files around them.

Text is bytes (SHORT_BINSTRING), modules have their old names, and every object is
put into the memo. Test files can so be made that no living program writes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C
SYS_INFO = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"long": 4}}


@dataclass(frozen=True)
class Name:
    """A class or function, by name."""

    module: str
    name: str


@dataclass(frozen=True)
class Call:
    """`name(*args)` by REDUCE, or `name.__new__` by NEWOBJ; then BUILD with the state."""

    name: object
    args: object = ()
    state: object = None
    new: bool = False


@dataclass(frozen=True)
class Outside:
    """An object that the pickle refers to by a persistent id."""

    pid: object


@dataclass(frozen=True)
class Raw:
    """Instructions, as they are."""

    code: bytes


@dataclass
class Writer:
    """One pickle of protocol 2."""

    memo: dict[object, int] = field(default_factory=dict)
    entries: int = 0

    def dump(self, value: object) -> bytes:
        return b"\x80\x02" + self.encode(value) + b"."

    def encode(self, value: object) -> bytes:
        for kind, write in self.writers.items():
            if isinstance(value, kind):
                return write(self, value)
        raise TypeError(type(value))

    def _put(self, code: bytes) -> bytes:
        index = self.entries
        self.entries += 1
        return code + (b"q" + bytes([index]) if index < 256 else b"r" + struct.pack("<I", index))

    def _get(self, index: int) -> bytes:
        return b"h" + bytes([index]) if index < 256 else b"j" + struct.pack("<I", index)

    def _name(self, value: Name) -> bytes:
        if value in self.memo:
            return self._get(self.memo[value])
        code = self._put(f"c{value.module}\n{value.name}\n".encode())
        self.memo[value] = self.entries - 1
        return code

    def _call(self, value: Call) -> bytes:
        step = b"\x81" if value.new else b"R"
        code = self._put(self.encode(value.name) + self.encode(value.args) + step)
        return code if value.state is None else code + self.encode(value.state) + b"b"

    def _integer(self, value: int) -> bytes:
        if 0 <= value < 256:
            return b"K" + bytes([value])
        if -(2**31) <= value < 2**31:
            return b"J" + struct.pack("<i", value)
        if -(2**63) <= value < 2**63:
            return f"I{value}\n".encode()
        data = value.to_bytes(10, "little", signed=True)
        return b"\x8a" + bytes([len(data)]) + data

    def _text(self, value: str) -> bytes:
        data = value.encode("latin-1")
        if len(data) < 256:
            return self._put(b"U" + bytes([len(data)]) + data)
        return self._put(b"T" + struct.pack("<i", len(data)) + data)

    def _tuple(self, value: tuple[object, ...]) -> bytes:
        parts = b"".join(self.encode(item) for item in value)
        if not value:
            return b")"
        if len(value) > 3:
            return self._put(b"(" + parts + b"t")
        return self._put(parts + bytes([0x84 + len(value)]))

    def _list(self, value: list[object]) -> bytes:
        code = self._put(b"]")
        return code + b"(" + b"".join(self.encode(item) for item in value) + b"e"

    def _dict(self, value: dict[object, object]) -> bytes:
        code = self._put(b"}") + b"("
        for pair in value.items():
            code += self.encode(pair[0]) + self.encode(pair[1])
        return code + b"u"

    writers = {  # noqa: RUF012 - bool before int, of which it is a kind
        Name: _name,
        Call: _call,
        Raw: lambda self, value: value.code,
        Outside: lambda self, value: self.encode(value.pid) + b"Q",
        type(None): lambda self, value: b"N",
        bool: lambda self, value: b"\x88" if value else b"\x89",
        int: _integer,
        float: lambda self, value: b"G" + struct.pack(">d", value),
        str: _text,
        tuple: _tuple,
        list: _list,
        dict: _dict,
    }


def legacy_bytes(root: object, storages: dict[str, np.ndarray]) -> bytes:
    """A legacy file: `root` pickled, then the storages."""
    pickles = [MAGIC, 1001, SYS_INFO, root, sorted(storages)]
    data = b"".join(Writer().dump(item) for item in pickles)
    for key in sorted(storages):
        array = np.ascontiguousarray(storages[key])
        data += struct.pack("<q", array.size) + array.tobytes()
    return data


def ordered(entries: dict[str, object]) -> Call:
    """An OrderedDict as Python 2 pickled it: a list of pairs."""
    pairs = [[key, value] for key, value in entries.items()]
    return Call(Name("collections", "OrderedDict"), (pairs,))


def storage(key: str, size: int, kind: str = "FloatStorage", view: object = None) -> Outside:
    """A reference to a storage on a GPU."""
    return Outside(("storage", Name("torch.cuda", kind), key, "cuda:0", size, view))


def tensor(of: Outside, shape: tuple[int, ...], *, offset: int = 0, strides: object = None) -> Call:
    """A tensor as PyTorch 0.1 to 0.3 pickled it."""
    if strides is None:
        strides = tuple(int(np.prod(shape[i + 1 :])) for i in range(len(shape)))
    return Call(Name("torch._utils", "_rebuild_tensor"), (of, offset, shape, strides))


def module(path: str, name: str, *, source: bool = False, **state: object) -> Call:
    """A module as PyTorch 0.1 to 0.4 pickled it, its class by persistent id if `source`."""
    cls: object = Name(path, name)
    if source:
        cls = Outside(("module", cls, f"/home/user/{name}.py", f"class {name}(nn.Module):\n  pass"))
    whole = {
        "_backend": Call(Name("torch.nn.backends.thnn", "_get_thnn_function_backend")),
        "_parameters": ordered({}),
        "_buffers": ordered({}),
        "_backward_hooks": ordered({}),
        "_forward_hooks": ordered({}),
        "_modules": ordered({}),
        "training": True,
        **state,
    }
    return Call(cls, (), whole, new=True)


def convolution(weight: Call) -> Call:
    """A Conv2d without bias; its Parameter by REDUCE and BUILD."""
    hooks = ordered({})
    parameter = Call(Name("torch.nn.parameter", "Parameter"), (weight,), (True, False, hooks))
    return module(
        "torch.nn.modules.conv",
        "Conv2d",
        _parameters=ordered({"weight": parameter, "bias": None}),
        stride=(1, 1),
        padding=(1, 1),
        dilation=(1, 1),
        groups=1,
        transposed=False,
    )


def public_network(weights: list[np.ndarray], path: str = "vdsr") -> bytes:
    """The file that pytorch-vdsr's `torch.save({"epoch": 50, "model": model})` wrote."""
    storages = {str(94_000_000 + i): weight for i, weight in enumerate(weights)}
    convs = [
        convolution(tensor(storage(key, w.size), w.shape)) for key, w in sorted(storages.items())
    ]

    def relu() -> Call:
        return module("torch.nn.modules.activation", "ReLU", threshold=0, value=0, inplace=True)

    blocks = {
        str(i): module(
            path,
            "Conv_ReLU_Block",
            source=i == 0,
            _modules=ordered({"conv": conv, "relu": relu()}),
        )
        for i, conv in enumerate(convs[1:-1])
    }
    sequential = module("torch.nn.modules.container", "Sequential", _modules=ordered(blocks))
    net = module(
        path,
        "Net",
        source=True,
        _modules=ordered(
            {"residual_layer": sequential, "input": convs[0], "output": convs[-1], "relu": relu()}
        ),
    )
    return legacy_bytes({"epoch": 50, "model": net}, storages)


def save(path: Path, root: object, **storages: np.ndarray) -> Path:
    """Write a legacy file and return its path."""
    path.write_bytes(legacy_bytes(root, storages))
    return path
