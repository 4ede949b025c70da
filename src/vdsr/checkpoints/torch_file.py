"""PyTorch's checkpoint files, zip and legacy, as named tensors.

`torch.save` writes a zip archive since 1.6: one pickle, `NAME/data.pkl`, and one
uncompressed member `NAME/data/KEY` per storage. Before that it wrote one stream:
pickles of a magic number, a version, the writer's sizes, the object and the
storages' keys, then for every key its number of elements (int64) and its data,
little-endian (`torch/serialization.py`: `_save`, `_legacy_save`).
"""

from __future__ import annotations

import io
import struct
import zipfile

from vdsr.checkpoints.pickle_literals import Reader
from vdsr.checkpoints.stored_tensors import DTYPES, Buffer, StoredTensor, shown
from vdsr.checkpoints.torch_network import named_tensors
from vdsr.checkpoints.torch_pickle import Machine, StorageId
from vdsr.errors import CheckpointError

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001

_ENTRY = b"PK\x01\x02"
_MAX_MEMBERS = 20_000
# What zipfile raises for damaged archives, beside its own error.
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    struct.error,
    EOFError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)


def read_zip(data: bytes) -> dict[str, StoredTensor]:
    """Read a checkpoint in PyTorch's zip format.

    Args:
        data: the whole file.

    Returns:
        The tensors of its network by their `state_dict` names, in order.

    Raises:
        CheckpointError: if it is damaged, holds no network, or asks for code to be run.
    """
    archive = _Archive(data)
    root = Machine(Reader(archive.read("data.pkl"))).load()

    def open_storage(storage: StorageId) -> Buffer:
        return archive.read(f"data/{storage.key}", _bytes_of(storage))

    return named_tensors(root, open_storage, big_endian=archive.big_endian)


class _Archive:
    """The members of a zip archive, by their names below its only folder."""

    def __init__(self, data: bytes) -> None:
        # Each entry of the list of members becomes an object of half a kilobyte.
        if data.count(_ENTRY) > _MAX_MEMBERS:
            raise CheckpointError(f"it is a zip archive of over {_MAX_MEMBERS} members")
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except _ZIP_ERRORS as error:
            raise CheckpointError("it is a damaged zip archive") from error
        infos = self._zip.infolist()
        # torch.save does not compress. Insisting on that keeps every member within
        # the file, so that a small file cannot ask for much memory.
        if any(info.compress_type != zipfile.ZIP_STORED for info in infos):
            raise CheckpointError("it is a compressed zip archive, which torch.save never writes")
        if sum(info.file_size for info in infos) > len(data):
            raise CheckpointError("it is a damaged zip archive: its members exceed the file")
        names = [info.filename for info in infos]
        roots = [n for n in names if n.rpartition("/")[2] == "data.pkl" and n.count("/") < 2]
        if len(roots) != 1:
            raise CheckpointError("it is a zip archive, but not one that torch.save wrote")
        self._folder = roots[0].removesuffix("data.pkl")
        self._sizes = {info.filename: info.file_size for info in infos}
        self._cache: dict[str, bytes] = {}

    @property
    def big_endian(self) -> bool:
        """Byte order of the storages; archives from before 2.1 are little-endian."""
        if self._folder + "byteorder" not in self._sizes:
            return False
        order = self.read("byteorder")
        if order not in (b"little", b"big"):
            raise CheckpointError("its byte order is neither little nor big")
        return order == b"big"

    def read(self, name: str, size: int | None = None) -> bytes:
        """A member, kept for the next tensor that shares it; of `size` bytes if given."""
        path = self._folder + name
        if path not in self._sizes or size not in (None, self._sizes[path]):
            raise CheckpointError(f"its member {shown(path)} is missing or of another size")
        if path not in self._cache:
            try:
                self._cache[path] = self._zip.read(path)
            except _ZIP_ERRORS as error:
                raise CheckpointError(f"its member {shown(path)} is damaged") from error
        return self._cache[path]


def read_legacy(data: bytes) -> dict[str, StoredTensor]:
    """Read a checkpoint in the format of PyTorch before 1.6.

    Args, returns and errors: as `read_zip`.
    """
    reader = Reader(data)
    if Machine(reader).load() != LEGACY_MAGIC:
        raise CheckpointError("it is a pickle, but not one that torch.save wrote")
    if Machine(reader).load() != LEGACY_PROTOCOL:
        raise CheckpointError("it is of an unknown version of PyTorch's legacy format")
    Machine(reader).load()  # the writer's sizes of int and long: the data do not depend on them
    pickle = Machine(reader)
    root = pickle.load()
    storages = _legacy_storages(reader, Machine(reader).load(), pickle.storages)

    def open_storage(storage: StorageId) -> Buffer:
        if storage.key not in storages:
            raise CheckpointError(f"its storage {shown(storage.key)} is missing")
        return storages[storage.key]

    return named_tensors(root, open_storage, big_endian=False)


def _legacy_storages(
    reader: Reader, keys: object, known: dict[str, StorageId]
) -> dict[str, Buffer]:
    if not isinstance(keys, list):
        raise CheckpointError("its list of storages is damaged")
    storages: dict[str, Buffer] = {}
    for key in keys:
        if not isinstance(key, str) or key not in known or key in storages:
            raise CheckpointError("its list of storages does not fit its tensors")
        if reader.number("q") != known[key].size:
            raise CheckpointError(f"its storage {shown(key)} is not of the size announced")
        size = _bytes_of(known[key])
        start = reader.skip(size)
        storages[key] = memoryview(reader.data)[start : start + size]
    return storages


def _bytes_of(storage: StorageId) -> int:
    return storage.size * int(DTYPES[storage.dtype][1:])
