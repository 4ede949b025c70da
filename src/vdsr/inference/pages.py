"""All pages of a TIFF file, one after the other, into a TIFF file of as many pages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vdsr.errors import UsageError
from vdsr.imaging.files.decode import PictureReader, page_count
from vdsr.imaging.files.images import Encoded, Goal, delivered, name_of, on_disk
from vdsr.imaging.files.tiff_pages import join
from vdsr.inference.engine import EngineFor, Result
from vdsr.inference.order import Order
from vdsr.inference.pictures import of_file
from vdsr.outputs import put, refuse_existing, refuse_same, work_folder


def enlarge_pages(engine_for: EngineFor, image: Encoded, goal: Goal, order: Order) -> Result:
    """Enlarge each page by itself, and join them.

    A file of one page becomes what it would become without `pages`.

    Args:
        engine_for: gives what enlarges a page.
        image: a picture file.
        goal: where the pages go.
        order: what each page is to become.

    Returns:
        That of the first page, with the time of all; notices name their page.

    Raises:
        UsageError: if the goal is not a TIFF file.
        InputError, OutputError, OutOfMemory: see `Upscaler.upscale`; nothing is left then.
    """
    with on_disk(image) as path:
        count, name = page_count(path), name_of(image)
        if count == 1:
            picture = of_file(PictureReader(path), name)
            return engine_for(picture).into_file(picture, goal, order)
        if order.extras is not None:
            raise UsageError("the residual and the comparison are of one page: choose it")
        with delivered(goal, order.format) as (place, format):
            if format.name != "tiff":
                raise UsageError(
                    f"{name_of(goal)}: {format.name} holds one page, not {count}: choose tiff,"
                    " or one page"
                )
            overwrite = order.overwrite or order.in_place
            refuse_same(path, place, in_place=order.in_place)
            refuse_existing(place, overwrite=overwrite)
            one = replace(order, format="tiff", overwrite=False, in_place=False, resume=False)
            with work_folder(place.parent) as work:
                pages = (
                    of_file(PictureReader(path, number), f"{name} (page {number})")
                    for number in range(1, count + 1)
                )
                results = [
                    engine_for(page).into_file(
                        page,
                        work / f"{number}.tif",
                        one,
                    )
                    for number, page in enumerate(pages, 1)
                ]
                made = work / "all.tif"
                with made.open("wb") as file:
                    join([Path(page.output) for page in results], file)
                put(made, place, overwrite=overwrite)
    return _summed(results, name, name_of(goal))


def _summed(results: list[Result], name: str, output: str) -> Result:
    seconds = sum(one.seconds for one in results)
    pixels = sum(one.width * one.height for one in results)
    # What is true of all pages is said once.
    common = [n for n in results[0].notices if all(n in one.notices for one in results)]
    chosen = [
        f"page {number}: {one.model} was chosen: {one.why}"
        for number, one in enumerate(results, 1)
        if one.model != results[0].model
    ]
    notices = [
        f"page {number}: {notice}"
        for number, one in enumerate(results, 1)
        for notice in one.notices
        if notice not in common
    ]
    return replace(
        results[0],
        input=name,
        output=output,
        pages=len(results),
        seconds=seconds,
        megapixels_per_second=pixels / seconds / 1e6,
        notices=(*common, *chosen, *notices),
    )
