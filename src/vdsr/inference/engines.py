"""The networks of an upscaler: one, or one for each kind of picture."""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import replace

from vdsr.errors import BackendError
from vdsr.inference import backends, memory
from vdsr.inference.backends import Backend
from vdsr.inference.backends.supplied import SuppliedBackend
from vdsr.inference.damage import judge
from vdsr.inference.engine import Engine
from vdsr.inference.pictures import Picture
from vdsr.inference.selection import AUTO, automatic_models, check_free, select
from vdsr.model.file import ModelFile

_log = logging.getLogger(__name__)


class Engines:
    """What enlarges pictures: opened when first needed, the first at once.

    Args:
        model, backend, precision, threads, tile: see `vdsr.inference.upscaler.Upscaler`.
        max_memory: bytes; None is half of what is free at the start of each picture.

    Attributes:
        first: the engine of the model that was asked for; with `auto`, that for clean
            pictures.

    Raises:
        UsageError: if the model, backend or precision is not available; see its subclasses.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | ModelFile,
        backend: str | Backend,
        precision: str,
        *,
        threads: int | None,
        max_memory: int | None,
        tile: int | None,
    ) -> None:
        self._automatic = automatic_models() if isinstance(model, str) and model == AUTO else None
        self._backend, self._precision, self._threads = backend, precision, threads
        self._supplied = None if isinstance(backend, str) else SuppliedBackend(backend)
        self._max_memory, self._tile = max_memory, tile
        self._lock = threading.Lock()
        self._closed = False
        self._engines: dict[str, Engine] = {}
        # Networks for several pictures at once, by model and their number.
        self._parallel: dict[tuple[str, int], Backend] = {}
        if self._automatic is None:
            self._only: str | None = str(getattr(model, "source", model))
            self.first = self._open(self._only, model)
        else:
            clean = self._automatic.clean
            # A backend of the caller's own may know one network.
            self._only = clean if {*self._automatic} == {clean} or self._supplied else None
            self.first = self._open(clean, clean)

    def models(self) -> tuple[ModelFile, ...]:
        """The files of all networks that may be used; those of `auto` are opened for that."""
        return tuple({engine.model.digest: engine.model for engine in self.all()}.values())

    def all(self) -> tuple[Engine, ...]:
        """All that may be used, opened: one, or those of `auto`, by `kind_of` a picture."""
        if self._automatic is None or self._only is not None:
            return (self.first,)
        return tuple(self._engine(name) for name in self._automatic)

    def of(self, picture: Picture, *, restore: bool) -> Engine:
        """The engine for a picture; with `auto`, by how the picture is damaged.

        Args:
            picture: what is to be enlarged.
            restore: whether it keeps its size: then there is nothing to do but restoring.

        Raises:
            BackendError: if it is closed.
            InputError: if the picture cannot be decoded.
        """
        name, why = self._choice(picture, restore)
        return replace(self._engine(name), why=why)

    def budget(self, share: float) -> int:
        """Bytes that one of several pictures may use, by its share of all."""
        return max(1, int(share * (self._max_memory or memory.available() // 2)))

    def several(self, engine: Engine, streams: int) -> Backend:
        """The network of an engine for several pictures at once.

        Raises:
            BackendError: if it is closed.
        """
        self.check_open()
        if streams == 1 or self._supplied is not None:
            return engine.network
        with self._lock:
            key = (engine.model.digest, streams)
            if key not in self._parallel:
                self._parallel[key] = backends.open_backend(
                    engine.model, engine.choice, threads=self._threads, parallel=streams
                )
            return self._parallel[key]

    def close(self) -> None:
        """Release the networks."""
        with self._lock:
            self._closed = True
            for network in (*(e.network for e in self._engines.values()), *self._parallel.values()):
                network.close()

    def check_open(self) -> None:
        """Check that it is not closed.

        Raises:
            BackendError: if it is.
        """
        if self._closed:
            raise BackendError("this upscaler is closed")

    def _choice(self, picture: Picture, restore: bool) -> tuple[str, str | None]:
        """The model for a picture, and why; no reason where there is only one."""
        if self._automatic is None or self._only is not None:
            assert self._only is not None
            return self._only, None
        kind, why = kind_of(picture, restore=restore)
        return self._automatic[kind], why

    def _engine(self, name: str) -> Engine:
        self.check_open()
        with self._lock:
            return self._engines.get(name) or self._open(name, name)

    def _open(self, name: str, model: str | os.PathLike[str] | ModelFile) -> Engine:
        if self._supplied is not None:
            file, choice = self._supplied.select(model, self._precision)
        else:
            assert isinstance(self._backend, str)
            file, choice = select(model, self._backend, self._precision)
        check_free(file, choice)
        self._engines[name] = engine = Engine(
            model=file,
            choice=choice,
            network=self._supplied or backends.open_backend(file, choice, threads=self._threads),
            max_memory=self._max_memory,
            tile=self._tile,
        )
        _log.info(
            "%s %s in %s on %s",
            file.metadata.name,
            file.metadata.version,
            choice.precision,
            choice.backend,
        )
        return engine


def kind_of(picture: Picture, *, restore: bool) -> tuple[int, str | None]:
    """Which of the models of `auto` a picture is for, and why.

    Args:
        picture: what is to be enlarged.
        restore: whether it keeps its size: then there is nothing to do but restoring.

    Returns:
        An index into `AutomaticModels`, and the reason in words.

    Raises:
        InputError: if it cannot be decoded.
    """
    if restore:
        return 2, "it is restored in its own size"
    damage = judge(picture)
    return int(bool(damage.found)), damage.words
