"""One picture at a time through one network: into memory, or into a file."""

from __future__ import annotations

import logging
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vdsr.errors import InputError, OutOfMemory, UsageError
from vdsr.imaging.files import PictureWriter
from vdsr.imaging.files.decode import Samples
from vdsr.imaging.files.encode import check_goal
from vdsr.imaging.files.formats import Format
from vdsr.imaging.files.images import Goal, delivered, log_notices, name_of
from vdsr.inference import memory
from vdsr.inference.backends import Backend, Choice
from vdsr.inference.beside import Beside, Extras
from vdsr.inference.consistency import BOUND, Consistency, spools
from vdsr.inference.ensemble import ensembled
from vdsr.inference.order import Order
from vdsr.inference.pictures import Picture
from vdsr.inference.pipeline import ValueRange
from vdsr.inference.plan import Plan, plan_picture
from vdsr.inference.selection import int8_notice
from vdsr.inference.strips import KeptStrips, kept_strips
from vdsr.inference.target import plan_passes
from vdsr.inference.tiling import Run
from vdsr.model.file import ModelFile
from vdsr.outputs import refuse_existing, refuse_same
from vdsr.version import __version__

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

# Bands are handed to the encoder in pieces, so that few of their bytes are held twice.
_WRITE_ROWS = 64
# Where strips are kept, nobody may lack the memory to go on with them; more is no faster.
_GIANT_MEMORY = 640 * memory.MIB

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Result:
    """What was done to a file.

    Attributes:
        input, output: paths; what is not a path is named in angle brackets.
        width, height: of the output, px.
        scale: that was asked for; where a size was, by which the side grew that grew more.
        model: name of the model.
        precision, backend: that were used.
        seconds: from opening the input to the finished output.
        megapixels_per_second: of the output.
        peak_memory_bytes: largest resident size of the process so far.
        notices: what was changed or could not be kept, a line each.
        pages: how many were enlarged; size and scale are those of the first.
        why: `auto` chose this model; None where nothing was chosen.
    """

    input: str
    output: str
    width: int
    height: int
    scale: float
    model: str
    precision: str
    backend: str
    seconds: float
    megapixels_per_second: float
    peak_memory_bytes: int
    notices: tuple[str, ...] = ()
    pages: int = 1
    why: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """As an object for JSON; `pages` where there are several, `why` where one was chosen."""
        content = asdict(self)
        if self.pages == 1:
            del content["pages"]
        if self.why is None:
            del content["why"]
        return content


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A network, and what a picture may cost. Holds nothing of a picture between two.

    Attributes:
        model: the model file.
        choice: backend and precision.
        network: where it runs.
        max_memory: bytes of working memory; None is half of what is free at the start of
            each picture.
        tile: largest side of a tile in px; None lets the memory decide.
        why: this model was chosen for a picture; None where nothing was chosen.
    """

    model: ModelFile
    choice: Choice
    network: Backend
    max_memory: int | None
    tile: int | None
    why: str | None = None

    def into_memory(
        self, picture: Picture, order: Order, values: ValueRange | None = None
    ) -> NDArray[Any] | PillowImage:
        """Enlarge a picture, and return the result.

        Args:
            picture: what is enlarged.
            order: what it is to become.
            values: what is black and white in it; None finds out.

        Returns:
            What `picture.finish` makes of it. It counts as working memory.

        Raises:
            UsageError, InputError, OutOfMemory: see `Upscaler.upscale`.
        """
        height, width = plan_passes(picture.layout.height, picture.layout.width, order.target)[
            -1
        ].shape_out
        shape = (height, width, picture.layout.bands)
        held = math.prod(shape) * np.dtype(picture.layout.dtype).itemsize
        plan, values = self._plan(picture, order, values, held=held)
        result = np.empty(shape, picture.layout.dtype)
        top = 0
        for band in self._bands(picture, plan, order, values, Path(tempfile.gettempdir()))[0]:
            result[top : top + len(band)] = band
            top += len(band)
        if picture.reader is not None:
            log_notices(picture.name, picture.reader.notices)
        return picture.finish(result)

    def into_file(self, picture: Picture, goal: Goal, order: Order) -> Result:
        """Enlarge a picture into a file, which is whole or not there.

        Raises:
            UsageError, InputError, OutputError, OutOfMemory: see `Upscaler.upscale`.
        """
        start = time.perf_counter()
        with delivered(goal, order.format) as (path, format):
            order.check_file(format)
            is_path = isinstance(goal, str | os.PathLike)
            if order.resume and (picture.reader is None or not is_path):
                raise UsageError("resume is for picture files that become files: name both")
            if order.resume is None and not is_path:
                order = replace(order, resume=False)
            plan, notices = self._write(picture, path, format, order)
        seconds = time.perf_counter() - start
        result = Result(
            input=picture.name or "<array>",
            output=str(path) if is_path else name_of(goal),
            width=plan.layout.width,
            height=plan.layout.height,
            scale=plan.scale,
            model=self.model.metadata.name,
            precision=self.choice.precision,
            backend=self.choice.backend,
            seconds=seconds,
            megapixels_per_second=plan.layout.width * plan.layout.height / seconds / 1e6,
            peak_memory_bytes=memory.peak_resident(),
            notices=notices,
            why=self.why,
        )
        _log.info(
            "%s: %dx%d px in %.2f s", result.output, result.width, result.height, result.seconds
        )
        return result

    def _write(
        self, picture: Picture, path: Path, format: Format, order: Order
    ) -> tuple[Plan, tuple[str, ...]]:
        """Returns what was done, and what is to be said of it."""
        overwrite = order.overwrite or order.in_place
        if picture.reader is not None:
            refuse_same(picture.reader.path, path, in_place=order.in_place)
        extras = order.extras
        if extras is not None:
            extras.check(path, picture.name)
        refuse_existing(path, overwrite=overwrite)
        with self._kept(picture, path, order) or nullcontext() as kept:
            return self._make(picture, path, format, order, kept)

    def _kept(self, picture: Picture, path: Path, order: Order) -> KeptStrips | None:
        # Sizes are checked before a float picture is searched for its range.
        sizes = plan_passes(picture.layout.height, picture.layout.width, order.target)
        made_with = {
            "model": self.model.digest,
            "backend": self.choice.backend,
            "precision": self.choice.precision,
            "tile": self.tile,
        }
        return kept_strips(picture, path, order, sizes[-1].shape_out, made_with)

    def help(self, picture: Picture, path: Path, order: Order) -> int:
        """Make strips of a giant picture that another process is making a file of.

        Args:
            picture: what is enlarged there.
            path: the file.
            order: as it is there.

        Returns:
            How many strips were made; 0 where there is nothing to help with.

        Raises:
            UsageError, InputError, OutOfMemory: see `Upscaler.upscale`.
        """
        kept = self._kept(picture, path, order)
        budget = None if kept is None else kept.begun()
        most = self.max_memory or memory.available() // 2
        if kept is None or budget is None or budget > most:
            return 0
        plan, _ = self._plan(picture, order, budget=self._share(order, budget))
        given = plan.unrounded() if order.consistent else plan
        return kept.help(given, picture.strips, budget)

    def _make(
        self,
        picture: Picture,
        path: Path,
        format: Format,
        order: Order,
        kept: KeptStrips | None,
    ) -> tuple[Plan, tuple[str, ...]]:
        """See `_write`."""
        overwrite, extras = order.overwrite or order.in_place, order.extras
        budget = self.max_memory or memory.available() // 2
        if kept is not None:
            begin = budget if self.max_memory else min(budget, _GIANT_MEMORY)
            budget = kept.memory(begin, most=budget)
        plan, values = self._plan(picture, order, budget=self._share(order, budget))
        check_goal(path, plan.layout, format, overwrite=overwrite)
        if kept is not None:
            given = plan.unrounded() if order.consistent else plan
            disk = order.storage.disk(format, plan.layout)
            if order.consistent:
                disk += spools(picture.layout, plan.layout)
            kept.begin(given, budget, disk)
        writer = PictureWriter(
            path,
            plan.layout,
            format,
            source=picture.reader,
            quality=order.quality,
            storage=order.storage,
            provenance=self._provenance(picture, plan, order),
            values=(values.low, values.high),
            overwrite=overwrite,
        )
        beside = None if extras is None else self._beside(extras, picture, plan, values)
        bands, consistency = self._bands(picture, plan, order, values, path.parent, kept)
        with beside or nullcontext(), writer:
            for band in bands:
                if beside is not None:
                    beside.take(band)
                for top in range(0, len(band), _WRITE_ROWS):
                    writer.write(band[top : top + _WRITE_ROWS])
        made = () if beside is None else beside.notices
        if consistency is not None:
            made = (*consistency.notices, *made)
        return plan, (*self._notices(picture, values), *writer.notices, *made)

    @staticmethod
    def _share(order: Order, budget: int) -> int:
        # Interpolating once more, without the network, takes as much beside the tiles.
        return budget if order.extras is None else budget // 2

    def _bands(
        self,
        picture: Picture,
        plan: Plan,
        order: Order,
        values: ValueRange,
        folder: Path,
        kept: KeptStrips | None = None,
    ) -> tuple[Iterator[Samples], Consistency | None]:
        """The bands of the result; and what makes them consistent, where that is asked for."""
        if order.consistent:
            plan = plan.unrounded()
        if kept is None:
            bands = plan.run(picture.strips(), order.progress)
        else:
            bands = kept.through(plan, picture.strips, order.progress)
        if not order.consistent:
            return bands, None
        consistency = Consistency(picture.layout, plan.layout, values, folder)
        return consistency.bands(bands, picture.strips()), consistency

    def _beside(self, extras: Extras, picture: Picture, plan: Plan, values: ValueRange) -> Beside:
        metadata = self.model.metadata
        return Beside(
            extras,
            plan.layout,
            plan.without_network().run(picture.strips(), None),
            values=values,
            gray=self.model.architecture.planes == 1,
            small=(picture.layout, picture.strips),
            title=f"{Path(picture.name).name or 'a picture'}, x{plan.scale:g} by {metadata.name}"
            f" {metadata.version}",
        )

    def _notices(self, picture: Picture, values: ValueRange) -> list[str]:
        """What is to be said of a picture before it is written."""
        notices = [] if picture.reader is None else list(picture.reader.notices)
        if (notice := int8_notice(self.model)) is not None:
            notices.append(notice)
        if picture.layout.dtype == "float32" and not values.is_unit:
            notices.append(
                f"float samples were taken as {values.low:g} (black) to {values.high:g} (white)"
            )
        return notices

    def _provenance(self, picture: Picture, plan: Plan, order: Order) -> dict[str, str]:
        metadata, digest = self.model.metadata, picture.digest()
        how = {"Target": str(order.target)}
        if self.why is not None:
            how["ModelChosenFor"] = self.why
        if order.ensemble:
            how["Ensemble"] = "8"
        if order.consistent:
            how["Consistent"] = f"{BOUND:g}"
        if order.compression is not None:
            how["Compression"] = order.compression
        if order.quality is not None:
            how["Quality"] = str(order.quality)
        if picture.reader is not None and picture.reader.page is not None:
            how["Page"] = str(picture.reader.page)
        return {
            "Program": f"vdsr {__version__}",
            "Model": f"{metadata.name} {metadata.version}",
            "ModelDigest": f"sha256:{self.model.digest}",
            "Scale": f"{plan.scale:g}",
            "Precision": self.choice.precision,
            "Backend": self.choice.backend,
            **how,
            **({} if digest is None else {"SourceDigest": f"sha256:{digest}"}),
        }

    def _plan(
        self,
        picture: Picture,
        order: Order,
        values: ValueRange | None = None,
        held: int = 0,
        budget: int | None = None,
    ) -> tuple[Plan, ValueRange]:
        layout = picture.layout
        run: Run = self.network.run
        if order.ensemble:
            run = ensembled(run, self.model.architecture.fold)
        try:
            values = values or ValueRange.of(layout.dtype, picture.strips(), layout.has_alpha)
            plan = plan_picture(
                layout,
                values,
                order.target,
                model=self.model,
                run=run,
                budget=budget or self.max_memory or memory.available() // 2,
                tile=self.tile,
                held=held,
            )
        except (InputError, OutOfMemory) as error:
            raise picture.named(error) from error
        return plan, values


# Gives what enlarges a picture.
EngineFor = Callable[[Picture], Engine]
