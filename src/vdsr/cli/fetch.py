"""`vdsr data fetch`: a dataset or a network from its public address."""

from __future__ import annotations

from typing import Annotated

import typer

from vdsr.cli.console import report
from vdsr.cli.options import Quiet
from vdsr.cli.progress import Counter


def fetch(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="set5, set14, b100, urban100; or inception, the network of FID."
        ),
    ],
    quiet: Quiet = False,
) -> None:
    """Fetch a dataset from its public address, check it, and print where it is.

    Example: vdsr data fetch set5
    """
    from vdsr.data import datasets

    with Counter(quiet=quiet) as counter:

        def progress(done: int, total: int | None) -> None:
            counter(done // 2**20, (total or 0) // 2**20, f"{name}, MiB")

        place = datasets.fetch(name, progress=progress)
    # Where it is, is what was asked for.
    report(str(place), {"place": str(place)}, quiet=False, json=None)
