"""The pickles inside PyTorch's checkpoints, read without running anything in them.

A pickle is a program for a small stack machine, and Python's own machine lets it
call any function by name. This one knows the same instructions (the standard
library's `pickletools` documents them), but has nothing to call: a name is looked
up by `torch_names.find_class`, a call of it becomes an inert `Instance` that keeps
the arguments, and what is not needed to describe tensors ends the reading. Neither
`pickle` nor `torch` is used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from vdsr.checkpoints.pickle_literals import LITERALS, Reader
from vdsr.checkpoints.stored_tensors import shown
from vdsr.checkpoints.torch_names import Global, Kind, find_class
from vdsr.errors import CheckpointError

# Steps, and entries that one step makes of many; bytes of one pickle, storages not counted.
_MAX_STEPS = 1_000_000
_MAX_BYTES = 32 << 20
_KEY_TYPES = (str, int, float, bytes, type(None))


@dataclass(eq=False)
class Instance:
    """What stands for the result of a call: the callable and what it was given."""

    origin: Global
    args: tuple[object, ...] = ()
    state: object = None
    items: dict[object, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class StorageId:
    """A reference to a storage outside of the pickle.

    Attributes:
        dtype: type of its elements, or `uint8` for a storage without a type.
        key: name of the storage.
        size: number of its elements.
        view: first element and number of elements of the part that is meant, if any.
    """

    dtype: str
    key: str
    size: int
    view: tuple[int, int] | None = None


class Machine:
    """Runs one pickle, from `reader`'s position to its end.

    Attributes:
        storages: every storage that the pickle refers to, by key, as a whole.
    """

    def __init__(self, reader: Reader) -> None:
        self.storages: dict[str, StorageId] = {}
        self._reader = reader
        self._stack: list[object] = []
        self._below: list[list[object]] = []
        self._memo: dict[int, object] = {}
        self._steps = 0

    def load(self) -> object:
        """The pickled object, made of plain values, `Global`, `Instance` and `StorageId`.

        Raises:
            CheckpointError: if the pickle is damaged, or asks for anything that a
                description of tensors does not need.
        """
        start = self._reader.position
        try:
            while True:
                self._count(1)
                code = self._reader.take(1)
                if code == b".":
                    return self._stack.pop()
                self._step(code)
                if self._reader.position - start > _MAX_BYTES:
                    raise CheckpointError(f"its pickle has over {_MAX_BYTES >> 20} MiB")
        except (IndexError, KeyError, TypeError, ValueError) as error:
            where = self._reader.position
            raise CheckpointError(f"its pickle is damaged at byte {where}") from error

    def _count(self, steps: int) -> None:
        """Take note of work done, by one instruction or, for entries of a list, by many.

        Raises:
            CheckpointError: if it was too much.
        """
        self._steps += steps
        if self._steps > _MAX_STEPS:
            raise CheckpointError(f"its pickle has over {_MAX_STEPS} steps")

    def _step(self, code: bytes) -> None:
        if (value := LITERALS.get(code)) is not None:
            self._stack.append(value(self._reader))
        elif (action := _ACTIONS.get(code)) is not None:
            action(self)
        else:
            where = self._reader.position - 1
            raise CheckpointError(
                f"its pickle has an instruction at byte {where} that is not "
                f"used for weights: 0x{code.hex()}; nothing was run"
            )

    def _protocol(self) -> None:
        if (version := self._reader.number("B")) > 5:
            raise CheckpointError(f"its pickle is of the unknown protocol {version}")

    def _frame(self) -> None:
        self._reader.take(8)  # only a hint for reading ahead

    def _mark(self) -> None:
        self._below.append(self._stack)
        self._stack = []

    def _since_mark(self) -> list[object]:
        items, self._stack = self._stack, self._below.pop()
        return items

    def _pop(self) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self._pop_mark()

    def _pop_mark(self) -> None:
        self._since_mark()

    def _tuple(self) -> None:
        items = self._since_mark()
        self._stack.append(tuple(items))

    def _last(self, count: int) -> None:
        if len(self._stack) < count:
            raise IndexError
        self._stack[-count:] = [tuple(self._stack[-count:])]

    def _put(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    def _get(self, index: int) -> None:
        self._stack.append(self._memo[index])

    def _append(self, items: list[object]) -> None:
        target = self._stack[-1]
        if not isinstance(target, list):
            raise CheckpointError(f"its pickle appends to a {_kind_of(target)}; nothing was run")
        target.extend(items)

    def _set_items(self, items: list[object]) -> None:
        target = self._stack[-1]
        if isinstance(target, Instance) and target.origin.kind is Kind.MAPPING:
            target = target.items
        if not isinstance(target, dict):
            raise CheckpointError(f"its pickle sets items of a {_kind_of(target)}; nothing was run")
        for key, value in zip(items[::2], items[1::2], strict=True):
            _set_item(target, key, value)

    def _set_item(self) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._set_items([key, value])

    def _global(self) -> None:
        module = self._reader.line()
        self._stack.append(find_class(module, self._reader.line()))

    def _stack_global(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise TypeError
        self._stack.append(find_class(module, name))

    def _old_instance(self) -> None:
        module = self._reader.line()
        origin = find_class(module, self._reader.line())
        args = self._since_mark()
        self._stack.append(self._call(origin, tuple(args)))

    def _old_object(self) -> None:
        origin, *args = self._since_mark()
        self._stack.append(self._call(origin, tuple(args)))

    def _reduce(self) -> None:
        args, origin = self._stack.pop(), self._stack.pop()
        self._stack.append(self._call(origin, args))

    def _call(self, origin: object, args: object) -> Instance:
        if not isinstance(origin, Global) or not isinstance(args, tuple):
            raise CheckpointError(f"its pickle calls a {_kind_of(origin)}; nothing was run")
        if origin.kind is Kind.RECONSTRUCTOR:
            origin, args = args[0], ()
            if not isinstance(origin, Global) or origin.kind is Kind.RECONSTRUCTOR:
                raise CheckpointError(f"its pickle calls a {_kind_of(origin)}; nothing was run")
        instance = Instance(origin, args)
        if origin.kind is Kind.MAPPING and args:  # Python 2 gave the items as one list of pairs
            (pairs,) = args
            if not isinstance(pairs, list):
                raise TypeError
            # The same list may be handed over again and again, by a step each.
            self._count(len(pairs))
            for key, value in pairs:
                _set_item(instance.items, key, value)
        return instance

    def _build(self) -> None:
        state, target = self._stack.pop(), self._stack[-1]
        if not isinstance(target, Instance):
            raise CheckpointError(f"its pickle changes a {_kind_of(target)}; nothing was run")
        target.state = state

    def _persistent(self) -> None:
        match self._stack.pop():
            case ("module", Global(kind=Kind.MODULE) as module, _, _):
                self._stack.append(module)
            case ("storage", Global(kind=Kind.STORAGE) as kind, str(key), _, int(size), *rest):
                self._stack.append(self._storage(kind.detail, key, size, rest))
            case _:
                raise CheckpointError("it refers to something outside that is not a storage")

    def _storage(self, dtype: str, key: str, size: int, rest: list[object]) -> StorageId:
        whole = StorageId(dtype=dtype, key=key, size=size)
        if size < 0 or self.storages.setdefault(key, whole) != whole:
            raise CheckpointError(f"its storage {shown(key)} has contradictory or negative sizes")
        match rest:
            case [] | [None]:
                return whole
            case [(_, int(offset), int(length))] if 0 <= offset <= offset + length <= size:
                return StorageId(dtype=dtype, key=key, size=size, view=(offset, length))
        raise CheckpointError(f"a view of its storage {shown(key)} reaches outside of it")


def _set_item(target: dict[object, object], key: object, value: object) -> None:
    # Hashing a tuple recurses: a deep one would overrun the interpreter's own stack.
    if not isinstance(key, _KEY_TYPES):
        raise TypeError
    target[key] = value


def _kind_of(value: object) -> str:
    if isinstance(value, Instance):
        return f"{shown(value.origin.name)} object"
    return shown(value.name) if isinstance(value, Global) else type(value).__name__


_ACTIONS: dict[bytes, Callable[[Machine], None]] = {
    b"\x80": Machine._protocol,
    b"\x95": Machine._frame,
    b"(": Machine._mark,
    b"0": Machine._pop,
    b"1": Machine._pop_mark,
    b"2": lambda m: m._stack.append(m._stack[-1]),
    b"t": Machine._tuple,
    b"\x85": lambda m: m._last(1),
    b"\x86": lambda m: m._last(2),
    b"\x87": lambda m: m._last(3),
    b"q": lambda m: m._put(m._reader.number("B")),
    b"r": lambda m: m._put(m._reader.number("I")),
    b"\x94": lambda m: m._put(len(m._memo)),
    b"h": lambda m: m._get(m._reader.number("B")),
    b"j": lambda m: m._get(m._reader.number("I")),
    b"a": lambda m: m._append([m._stack.pop()]),
    b"e": lambda m: m._append(m._since_mark()),
    b"\x90": lambda m: m._append(m._since_mark()),
    b"s": Machine._set_item,
    b"u": lambda m: m._set_items(m._since_mark()),
    b"c": Machine._global,
    b"\x93": Machine._stack_global,
    b"i": Machine._old_instance,
    b"o": Machine._old_object,
    b"R": Machine._reduce,
    b"\x81": Machine._reduce,  # NEWOBJ takes the same two things as REDUCE
    b"b": Machine._build,
    b"Q": Machine._persistent,
}
